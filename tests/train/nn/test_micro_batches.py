"""A batch in parts has the gradient of the batch in one piece; what batch norm and dropout do is stated."""

from __future__ import annotations

import copy
import dataclasses

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tgkt_edge.config import build_config
from tgkt_edge.errors import ConfigError, UsageError
from tgkt_edge.train.methods.losses import information_maximisation
from tgkt_edge.train.nn.micro_batches import Objective, Outputs, Terms, slow_norms

ROWS, CLASSES = 11, 3


def rows(seed: int = 0) -> tuple[Tensor, Tensor]:
    torch.manual_seed(seed)
    return torch.randn(ROWS, 5), torch.randint(0, CLASSES, (ROWS,))


def objective(network: nn.Module, parts: int, whole_batch: bool) -> Objective:
    """Cross-entropy, and with ``whole_batch`` L_IM, whose mean answer is that of the batch."""

    def forward(x: Tensor) -> Outputs:
        return (network(x),)

    def losses(outputs: Outputs, known: Outputs, size: int) -> Terms:
        (logits,) = outputs
        terms = {"named": F.cross_entropy(logits, known[0])}
        if whole_batch:
            terms["im"] = information_maximisation(logits)
        return {"loss": sum(terms.values(), torch.zeros(())), **terms}

    return Objective(network, forward, losses, parts, by_row=not whole_batch)


def gradients(network: nn.Module, parts: int, whole_batch: bool) -> tuple[Tensor, Outputs, Terms]:
    network.zero_grad()
    x, y = rows()
    outputs, terms = objective(network, parts, whole_batch).backward((x,), (y,), ROWS)
    flat = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
    return flat, outputs, terms


@pytest.mark.parametrize("whole_batch", [False, True], ids=["means of rows", "L_IM"])
@pytest.mark.parametrize("parts", [2, 3, 11])
def test_parts_have_the_gradient_and_the_terms_of_the_whole(parts: int, whole_batch: bool) -> None:
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(5, 8), nn.Tanh(), nn.Linear(8, CLASSES))
    one, one_outputs, one_terms = gradients(network, 1, whole_batch)
    several, outputs, terms = gradients(network, parts, whole_batch)
    assert one.abs().max() > 0.01
    assert torch.allclose(several, one, rtol=1e-5, atol=1e-7)
    assert torch.allclose(outputs[0], one_outputs[0], atol=1e-6)
    assert terms.keys() == one_terms.keys()
    for name, value in terms.items():
        assert value.item() == pytest.approx(one_terms[name].item(), rel=1e-5), name
        assert not value.requires_grad


def test_l_im_of_parts_alone_would_be_another_gradient() -> None:
    """What the second pass is for: otherwise this file's equality would show nothing."""
    torch.manual_seed(1)
    network = nn.Sequential(nn.Linear(5, CLASSES))
    one = gradients(network, 1, True)[0]
    network.zero_grad()
    x, y = rows()
    dataclasses.replace(objective(network, 3, True), by_row=True).backward((x,), (y,), ROWS)
    apart = torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
    assert not torch.allclose(apart, one, rtol=1e-2)


def test_the_pass_without_gradients_leaves_no_trace() -> None:
    """Running statistics move once a part, and dropout draws for the second pass what it drew for the first."""
    torch.manual_seed(2)
    network = nn.Sequential(
        nn.Linear(5, 6), nn.BatchNorm1d(6), nn.Dropout(0.5), nn.Linear(6, CLASSES)
    ).train()
    norm = network[1]
    assert isinstance(norm, nn.BatchNorm1d)
    seen: list[Tensor] = []
    network[3].register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].detach().clone()))
    x, y = rows()
    objective(network, 2, True).backward((x,), (y,), ROWS)
    assert norm.num_batches_tracked is not None
    assert int(norm.num_batches_tracked) == 2
    assert len(seen) == 4
    assert torch.equal(seen[0], seen[2])
    assert torch.equal(seen[1], seen[3])


def test_running_statistics_forget_as_fast_as_without_parts() -> None:
    norm = nn.BatchNorm1d(4)
    slow_norms(nn.Sequential(norm), 4)
    assert norm.momentum is not None
    assert (1 - norm.momentum) ** 4 == pytest.approx(0.9)


def test_a_copy_of_a_network_that_learnt_in_parts_is_not_slowed_twice() -> None:
    """As TGKT's student, a copy of a source model trained in the same run; after --resume that is from a file."""
    source = nn.Sequential(nn.BatchNorm1d(4))
    slow_norms(source, 4)
    student = copy.deepcopy(source)
    slow_norms(student, 4)
    assert student[0].momentum == source[0].momentum


def test_more_parts_than_half_the_batch_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"accumulate = 17 with batch = 32: .*expected at most 16"):
        build_config(None, ["accumulate=17"])
    with pytest.raises((ConfigError, UsageError), match="accumulate"):
        build_config(None, ["accumulate=0"])
