"""Batch-norm statistics matching: hand-checked, and watched through real layers."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from tgkt_edge.train.methods.bn_matching import NormWatch, record_bn_stats, statistics_distance


def test_the_distance_is_the_sum_of_norms_with_the_first_layer_ten_times() -> None:
    zero, one = torch.zeros(2), torch.ones(2)
    found = [(torch.tensor([3.0, 4.0]), one), (zero, torch.tensor([1.0, 3.0]))]
    expected = [(zero, one), (zero, one)]
    # First layer: |(3, 4)| + 0 = 5, ten times. Second: 0 + |(0, 2)| = 2.
    assert statistics_distance(found, expected).item() == pytest.approx(52)
    assert statistics_distance(found, expected, first=1).item() == pytest.approx(7)
    with pytest.raises(ValueError, match="1 layers found, 2 expected"):
        statistics_distance(found[:1], expected)


@pytest.fixture
def networks() -> tuple[nn.Sequential, nn.Sequential]:
    def network() -> nn.Sequential:
        return nn.Sequential(nn.BatchNorm2d(1), nn.BatchNorm2d(1), nn.Flatten())

    return network().train(), network().eval()


def test_a_watched_pass_is_compared_with_what_the_source_remembers(
    networks: tuple[nn.Sequential, nn.Sequential],
) -> None:
    student, source = networks
    watch = NormWatch(student, source)
    x = torch.tensor([0.0, 2.0, 4.0, 6.0]).view(2, 1, 1, 2).requires_grad_()
    with record_bn_stats(watch):
        student(x)
    # Into the first layer: mean 3, variance 5, of remembered 0 and 1: 3 + 4, ten times. Into the second, what the
    # first made of it: mean 0, variance 5 / (5 + 1e-5).
    distance = watch.distance(watch.taken(2))
    assert distance.item() == pytest.approx(70, abs=1e-4)
    distance.backward()
    assert x.grad is not None
    assert x.grad.abs().sum() > 0


def test_other_passes_do_not_count(networks: tuple[nn.Sequential, nn.Sequential]) -> None:
    student, source = networks
    watch = NormWatch(student, source)
    student(torch.full((2, 1, 2, 2), 9.0))
    with pytest.raises(ValueError, match="0 layers found"):
        watch.distance(watch.taken(2))
    with record_bn_stats(watch):
        student(torch.randn(2, 1, 2, 2))
    student(torch.full((2, 1, 2, 2), 9.0))
    watch.distance(watch.taken(2))
    with pytest.raises(ValueError, match="0 layers found"):  # a pass is compared once
        watch.distance(watch.taken(2))
    with record_bn_stats(None):
        student(torch.randn(2, 1, 2, 2))


def test_the_source_is_watched_as_it_was_when_training_began(
    networks: tuple[nn.Sequential, nn.Sequential],
) -> None:
    student, source = networks
    watch = NormWatch(student, source)
    norm = source[0]
    assert isinstance(norm, nn.BatchNorm2d)
    assert norm.running_mean is not None
    norm.running_mean.fill_(100.0)
    with record_bn_stats(watch):
        student(torch.tensor([-1.0, 1.0, -1.0, 1.0]).view(2, 1, 1, 2))
    assert watch.distance(watch.taken(2)).item() == pytest.approx(0, abs=1e-3)


def test_passes_of_parts_are_compared_as_one_pass_of_all() -> None:
    torch.manual_seed(0)
    x = (torch.randn(7, 3, 4, 4) * 2 + 1).requires_grad_()
    source = nn.Sequential(nn.BatchNorm2d(3)).eval()
    watch = NormWatch(student := nn.Sequential(nn.BatchNorm2d(3)).train(), source)

    def taken(rows: torch.Tensor) -> tuple[torch.Tensor, ...]:
        with record_bn_stats(watch):
            student(rows)
        return watch.taken(len(rows))

    whole = watch.distance(taken(x))
    (expected,) = torch.autograd.grad(whole, x)
    parts = [taken(x[:2]), taken(x[2:5]), taken(x[5:])]
    apart = watch.distance([torch.cat(rows) for rows in zip(*parts, strict=True)])
    (gradient,) = torch.autograd.grad(apart, x)
    assert apart.item() == pytest.approx(whole.item(), rel=1e-6)
    assert torch.allclose(gradient, expected, rtol=1e-5, atol=1e-7)
