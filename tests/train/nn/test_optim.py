"""What all trained stages share: learning rates, one step of descent, and the average of the weights, by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import nn

from tgkt_edge.config import SourceConfig, TgktConfig
from tgkt_edge.train.nn.model import Classifier
from tgkt_edge.train.nn.optim import (
    classifier_sgd,
    descend,
    inverse_decay,
    moving_average,
    nesterov_sgd,
    shorten_gradient,
)


def test_the_rate_falls_to_a_sixth() -> None:
    """(1 + 10 p)^-3/4 at p = 0, 1/2 and 1."""
    assert [inverse_decay(step, 8) for step in (0, 4, 8)] == pytest.approx([1, 6**-0.75, 11**-0.75])
    assert inverse_decay(8, 8) == pytest.approx(1 / 6.04, rel=1e-3)


def test_two_steps_of_descent_by_hand() -> None:
    """Down x^2 from 1 with Nesterov's momentum 1/2 and no decay of weights; a gradient left over does not count.

    Rate 0.1, then 0.1 / 6^(3/4). First velocity 2, step 0.1 (2 + 0.5 * 2) = 0.3. At 0.7: gradient 1.4, velocity
    0.5 * 2 + 1.4 = 2.4, step rate * (1.4 + 0.5 * 2.4) = rate * 2.6.
    """

    class Options:
        lr, momentum, weight_decay = 0.1, 0.5, 0.0

    x = nn.Parameter(torch.ones(()))
    x.grad = torch.tensor(99.0)
    sgd = nesterov_sgd([{"params": [x], "base": Options.lr}], Options())
    descend(sgd, lambda: x.square().backward(), 0, 2)
    assert x.item() == pytest.approx(0.7)
    descend(sgd, lambda: x.square().backward(), 1, 2)
    assert x.item() == pytest.approx(0.7 - 0.1 * 6**-0.75 * 2.6)


@pytest.mark.parametrize("classifier", [False, True])
def test_the_backbone_descends_at_its_own_rate_and_the_classifier_only_where_it_learns(
    classifier: bool, untrained: Classifier
) -> None:
    cfg = SourceConfig(lr=1e-3, head_lr=1e-2) if classifier else TgktConfig(lr=1e-3, head_lr=1e-2)
    sgd = classifier_sgd(untrained, cfg, classifier)
    rates = {id(p): group["base"] for group in sgd.param_groups for p in group["params"]}
    for name, parameter in untrained.named_parameters():
        expected = 1e-3 if name.startswith("backbone.") else 1e-2
        if name.startswith("classifier.") and not classifier:
            assert id(parameter) not in rates
        else:
            assert rates.pop(id(parameter)) == expected, name
    assert rates == {}
    assert (sgd.defaults["momentum"], sgd.defaults["nesterov"], sgd.defaults["weight_decay"]) == (
        0.9,
        True,
        1e-3,
    )


def test_the_moving_average_by_hand() -> None:
    """Decay 1/2 (an age of 1 / log 2 steps): 4, then (4 + 8) / 2 = 6, then (6 + 0) / 2 = 3; buffers, too."""
    norm = nn.BatchNorm1d(1)
    average = moving_average(norm, 1 / math.log(2))
    logged: list[float] = []
    for value in (4.0, 8.0, 0.0):
        nn.init.constant_(norm.weight, value)
        assert norm.running_mean is not None
        norm.running_mean.fill_(10 * value)
        average.update_parameters(norm)
        state = average.module.state_dict()
        logged += [state["weight"].item(), state["running_mean"].item()]
    assert logged == pytest.approx([4, 40, 6, 60, 3, 30])
    assert norm.weight.item() == 0  # what is trained is left alone


@pytest.mark.parametrize("longest", [0.5, 1e6, 0.0])
def test_a_gradient_is_shortened_as_torch_does_bit_for_bit(longest: float) -> None:
    torch.manual_seed(0)
    ours = [nn.Parameter(torch.zeros(shape)) for shape in ((7,), (3, 5), (2, 3, 2, 2))]
    theirs = [nn.Parameter(torch.zeros_like(weight)) for weight in ours]
    for one, other in zip(ours, theirs, strict=True):
        one.grad = torch.randn_like(one)
        other.grad = one.grad.clone()
    ours.append(nn.Parameter(torch.zeros(2)))  # of a part that nothing asked
    shorten_gradient(ours, longest)
    nn.utils.clip_grad_norm_(theirs, longest)
    for one, other in zip(ours, theirs, strict=False):
        assert one.grad is not None
        assert other.grad is not None
        assert torch.equal(one.grad, other.grad)


def test_a_gradient_that_is_not_a_number_reaches_all_weights() -> None:
    """As torch has it: the losses of the next step show it."""
    weights = [nn.Parameter(torch.zeros(2)) for _ in range(2)]
    for weight, value in zip(weights, (float("nan"), 1.0), strict=True):
        weight.grad = torch.full((2,), value)
    shorten_gradient(weights, 1.0)
    assert all(weight.grad is not None and weight.grad.isnan().all() for weight in weights)
