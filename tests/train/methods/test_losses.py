"""The losses: values worked out by hand, then properties that follow from the equations of the paper."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from tgkt_edge.config import Distance
from tgkt_edge.train.methods.losses import (
    distillation,
    domain_loss,
    information_maximisation,
    self_training,
    squared_distance,
)

Loss = Callable[[Tensor, Tensor], Tensor]


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


# squared_distance: L_rec (1) and L_f (8)


@pytest.mark.parametrize(
    ("how", "by_hand"),
    [
        ("mean", 38 / 4),  # differences 3, 4 and 2, 3: squares 9 + 16 + 4 + 9 = 38 over 4 elements
        ("sum", 38 / 2),  # 25 in the first sample, 13 in the second, halved
        ("frobenius", (5 + math.sqrt(13)) / 2),  # their roots, halved
    ],
)
def test_squared_distance_of_two_small_samples(how: Distance, by_hand: float) -> None:
    a = torch.tensor([[3.0, 4.0], [1.0, 1.0]])
    b = torch.tensor([[0.0, 0.0], [3.0, -2.0]])
    assert squared_distance(a, b, how).item() == pytest.approx(by_hand)
    assert squared_distance(b, a, how).item() == pytest.approx(by_hand)


@pytest.mark.parametrize("how", ["mean", "sum", "frobenius"])
def test_squared_distance_does_not_depend_on_the_order_of_the_batch(how: Distance) -> None:
    a, b = noise(5, 3, 4, 4), noise(5, 3, 4, 4, seed=1)
    order = torch.tensor([3, 1, 4, 0, 2])
    torch.testing.assert_close(squared_distance(a[order], b[order], how), squared_distance(a, b, how))
    assert squared_distance(a, a, how).item() == 0
    # Pairs that no longer match are farther apart on average than none at all: the trap of independent crops.
    assert squared_distance(a, a[order], how).item() > 0


@pytest.mark.parametrize("how", ["mean", "sum", "frobenius"])
def test_squared_distance_refuses_to_broadcast(how: Distance) -> None:
    with pytest.raises(ValueError, match=r"\(4, 3, 8, 8\) and \(4, 1, 8, 8\)"):
        squared_distance(torch.zeros(4, 3, 8, 8), torch.zeros(4, 1, 8, 8), how)


# domain_loss: the terms of (2) and (3)


@pytest.mark.parametrize("is_first", [True, False])
def test_an_undecided_discriminator_costs_log_two(is_first: bool) -> None:
    assert domain_loss(torch.zeros(4, 1), is_first).item() == pytest.approx(math.log(2))


def test_domain_loss_is_minus_the_log_of_the_right_answers_probability() -> None:
    logits = torch.tensor([[math.log(3.0)], [-math.log(3.0)]])  # sigmoid: 3/4 and 1/4
    # -(log 3/4 + log 1/4) / 2 = (log 4/3 + log 4) / 2, the same whichever answer is right
    expected = (math.log(4 / 3) + math.log(4)) / 2
    assert domain_loss(logits, True).item() == pytest.approx(expected)
    assert domain_loss(logits, False).item() == pytest.approx(expected)
    assert domain_loss(logits[:1], True).item() == pytest.approx(math.log(4 / 3))
    assert domain_loss(logits[:1], False).item() == pytest.approx(math.log(4))


def test_domain_loss_stays_finite_when_the_discriminator_is_sure_and_wrong() -> None:
    assert domain_loss(torch.tensor([[-200.0]]), True).item() == pytest.approx(200.0)


# information_maximisation: L_IM (5)


def test_information_maximisation_of_the_three_extremes() -> None:
    classes = 5
    undecided = torch.zeros(10, classes)  # conditional entropy log K, marginal entropy log K
    collapsed = torch.zeros(10, classes)
    collapsed[:, 2] = 50.0  # both entropies 0
    ideal = 50.0 * torch.eye(classes).repeat(2, 1)  # conditional entropy 0, marginal entropy log K
    assert information_maximisation(undecided).item() == pytest.approx(0, abs=1e-4)
    assert information_maximisation(collapsed).item() == pytest.approx(0, abs=1e-4)
    assert information_maximisation(ideal).item() == pytest.approx(-math.log(classes), abs=1e-3)


def test_information_maximisation_of_two_half_sure_predictions() -> None:
    # p = (3/4, 1/4) and (1/4, 3/4): entropy of each H(1/4) = 0.5623 nats, mean prediction (1/2, 1/2): log 2
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, math.log(3.0)]])
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert information_maximisation(logits).item() == pytest.approx(entropy - math.log(2), abs=1e-4)


def test_information_maximisation_never_leaves_its_range() -> None:
    for seed in range(20):
        value = information_maximisation(10 * noise(8, 4, seed=seed)).item()
        assert -math.log(4) - 1e-3 <= value <= 1e-3


# distillation: L_kd (7)


def plain_divergence(first: Tensor, second: Tensor) -> float:
    """KL(first || second), the sum p log(p/q) of the definition, in Python numbers."""
    total = 0.0
    for row_p, row_q in zip(first.tolist(), second.tolist(), strict=True):
        p = [math.exp(x) / sum(map(math.exp, row_p)) for x in row_p]
        q = [math.exp(x) / sum(map(math.exp, row_q)) for x in row_q]
        total += sum(a * math.log(a / b) for a, b in zip(p, q, strict=True))
    return total / len(first)


def test_distillation_by_hand_puts_the_student_first() -> None:
    student = torch.tensor([[math.log(3.0), 0.0]])  # (3/4, 1/4)
    teacher = torch.zeros(1, 2)  # (1/2, 1/2)
    student_first = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)  # 0.1308
    teacher_first = 0.5 * math.log(2 / 3) + 0.5 * math.log(2)  # 0.1438
    assert distillation(student, teacher).item() == pytest.approx(student_first)
    assert distillation(student, teacher, "student-first").item() == pytest.approx(student_first)
    assert distillation(student, teacher, "teacher-first").item() == pytest.approx(teacher_first)


def test_distillation_is_the_definition_and_torchs_kl_div_with_its_arguments_turned_round() -> None:
    student, teacher = noise(6, 4), noise(6, 4, seed=1)
    # F.kl_div(input, target) is KL(target || input), input in log space.
    turned = F.kl_div(teacher.log_softmax(1), student.softmax(1), reduction="batchmean")
    straight = F.kl_div(student.log_softmax(1), teacher.softmax(1), reduction="batchmean")
    assert distillation(student, teacher).item() == pytest.approx(
        plain_divergence(student, teacher), rel=1e-5
    )
    torch.testing.assert_close(distillation(student, teacher), turned)
    torch.testing.assert_close(distillation(student, teacher, "teacher-first"), straight)
    assert not torch.allclose(turned, straight, rtol=1e-2)


@pytest.mark.parametrize("order", ["student-first", "teacher-first"])
def test_distillation_is_zero_at_equality_only_and_ignores_a_shift_of_all_logits(
    order: str,
) -> None:
    student, teacher = noise(6, 4), noise(6, 4, seed=1)
    loss: Loss = lambda s, t: distillation(s, t, order)  # type: ignore[arg-type]  # noqa: E731
    assert loss(student, student + 7.0).item() == pytest.approx(0, abs=1e-6)
    assert loss(student, teacher).item() > 0.1


def test_distillation_at_equality_leaves_the_student_where_it_is() -> None:
    student = noise(3, 4).requires_grad_()
    distillation(student, student.detach().clone()).backward()
    assert student.grad is not None
    assert student.grad.abs().max().item() < 1e-6


def test_weighted_distillation_divides_by_the_whole_batch() -> None:
    student, teacher = noise(4, 3), noise(4, 3, seed=1)
    each = torch.stack([distillation(student[i : i + 1], teacher[i : i + 1]) for i in range(4)])
    weight = torch.tensor([1.0, 0.0, 0.5, 1.0])
    torch.testing.assert_close(distillation(student, teacher, weight=weight), (weight * each).sum() / 4)
    torch.testing.assert_close(
        distillation(student, teacher, weight=torch.ones(4)), distillation(student, teacher)
    )
    assert distillation(student, teacher, weight=torch.zeros(4)).item() == 0


# self_training: L_self (9)


def test_self_training_by_hand() -> None:
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])
    labels = torch.tensor([1, 0])
    # -log 1/4 and -log 1/2, averaged: the minus sign that (9) lacks makes it positive
    assert self_training(logits, labels).item() == pytest.approx((math.log(4) + math.log(2)) / 2)


# All of them


LOSSES: dict[str, Loss] = {
    "squared_distance": squared_distance,
    "domain_loss": lambda a, _: domain_loss(a, True),
    "information_maximisation": lambda a, _: information_maximisation(a),
    "distillation": distillation,
    "self_training": lambda a, _: self_training(a, torch.arange(len(a)) % a.shape[1]),
}


@pytest.mark.parametrize("name", LOSSES)
def test_a_loss_in_bf16_is_computed_in_float32(name: str) -> None:
    a, b = noise(8, 4).bfloat16(), noise(8, 4, seed=1).bfloat16()
    found = LOSSES[name](a, b)
    assert found.dtype == torch.float32
    assert found.shape == ()
    # The very same inputs in float32 give the very same value: nothing was rounded to bf16 on the way.
    assert found.item() == LOSSES[name](a.float(), b.float()).item()


@pytest.mark.parametrize("name", LOSSES)
def test_a_small_step_against_the_gradient_lowers_the_loss(name: str) -> None:
    a, b = noise(8, 4).requires_grad_(), noise(8, 4, seed=1)
    before = LOSSES[name](a, b)
    (gradient,) = torch.autograd.grad(before, a)
    assert LOSSES[name](a.detach() - 1e-2 * gradient, b).item() < before.item()


@pytest.mark.parametrize("loss", [squared_distance, distillation])
def test_gradients_reach_only_what_asks_for_them(loss: Loss) -> None:
    student, teacher = noise(4, 3).requires_grad_(), noise(4, 3, seed=1)
    loss(student, teacher).backward()
    assert student.grad is not None
    assert student.grad.abs().sum() > 0
    assert teacher.grad is None
