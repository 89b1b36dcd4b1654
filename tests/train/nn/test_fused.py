"""torch's fused kernels on CPUs: the numbers of the plain ones, however gradients and momentum lie in memory."""

from __future__ import annotations

import copy
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tgkt_edge.train.nn.fused import on_fused_kernels
from tgkt_edge.train.resume_state import StageState

SGD: dict[str, Any] = {"lr": 0.1, "momentum": 0.9, "weight_decay": 1e-3, "nesterov": True}
KINDS: dict[type[torch.optim.Optimizer], dict[str, Any]] = {
    torch.optim.SGD: SGD,
    torch.optim.Adam: {"lr": 0.01, "betas": (0.5, 0.9)},
    torch.optim.AdamW: {"lr": 0.01, "weight_decay": 0.05},
}
EVERY = pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)


def network() -> nn.Sequential:
    """Channels-last convolutions, as networks that learn have them, and what has one order only."""
    torch.manual_seed(0)
    layers = nn.Sequential(nn.Conv2d(3, 8, 3), nn.BatchNorm2d(8), nn.Conv2d(8, 16, 1), nn.Conv2d(16, 5, 2))
    return layers.to(memory_format=torch.channels_last)


def fill_gradients(layers: nn.Module, step: int, lay_out: Callable[[Tensor], Tensor]) -> None:
    """The same ones for the same step, laid out in memory by ``lay_out``."""
    generator = torch.Generator().manual_seed(step)
    for weight in layers.parameters():
        weight.grad = lay_out(torch.randn(weight.shape, generator=generator))


def as_weights_do(gradient: Tensor) -> Tensor:
    return gradient.contiguous(memory_format=torch.channels_last) if gradient.dim() == 4 else gradient


def apart(one: nn.Module, other: nn.Module) -> float:
    """The largest difference of two weights."""
    pairs = zip(one.state_dict().values(), other.state_dict().values(), strict=True)
    return max(float((a.double() - b.double()).abs().max()) for a, b in pairs)


@EVERY
@pytest.mark.parametrize("lay_out", [as_weights_do, torch.clone], ids=["as weights", "in the usual order"])
def test_steps_are_those_of_the_plain_kernel(
    kind: type[torch.optim.Optimizer], lay_out: Callable[[Tensor], Tensor]
) -> None:
    ours = network()
    theirs = copy.deepcopy(ours)
    optimizer = on_fused_kernels(kind, [{"params": list(ours.parameters())}], **KINDS[kind])
    plain: Any = kind(theirs.parameters(), **KINDS[kind], foreach=False, fused=False)  # type: ignore[call-arg]
    assert optimizer.param_groups[0]["fused"] is True
    for step in range(4):
        for layers in (ours, theirs):
            fill_gradients(layers, step, lay_out)
        optimizer.step()
        plain.step()
    assert apart(ours, network()) > 0.01
    assert apart(ours, theirs) < 1e-6


@EVERY
def test_what_comes_from_a_file_goes_on_as_it_was(kind: type[torch.optim.Optimizer], tmp_path: Path) -> None:
    """The file holds state in the usual order: bit for bit what an uninterrupted run computes."""
    whole, first, after = network(), network(), network()

    def optimizer_of(layers: nn.Module) -> torch.optim.Optimizer:
        return on_fused_kernels(kind, [{"params": list(layers.parameters())}], **KINDS[kind])

    def descend(layers: nn.Module, optimizer: torch.optim.Optimizer, steps: range) -> None:
        for step in steps:
            fill_gradients(layers, step, as_weights_do)
            optimizer.step()

    descend(whole, optimizer_of(whole), range(4))
    before = optimizer_of(first)
    descend(first, before, range(2))
    state = StageState(tmp_path / "state.safetensors", 0)
    state.save(1, {"layers": first}, {"optimizer": before})
    again = optimizer_of(after)
    assert state.load({"layers": after}, {"optimizer": again}) == 1
    loaded = [
        (weight, value)
        for weight in after.parameters()
        for value in again.state[weight].values()
        if value.shape == weight.shape
    ]
    assert any(value.stride() != weight.stride() for weight, value in loaded)  # else this shows nothing
    descend(after, again, range(2, 4))
    assert apart(whole, after) == 0


def test_a_weight_whose_gradient_comes_later_begins_with_its_own_first_step() -> None:
    ours, theirs = network(), network()
    optimizer = on_fused_kernels(torch.optim.SGD, [{"params": list(ours.parameters())}], **SGD)
    plain = torch.optim.SGD(theirs.parameters(), **SGD)
    for step in range(3):
        for layers in (ours, theirs):
            fill_gradients(layers, step, as_weights_do)
            if step == 0:
                layers[0].weight.grad = None
        optimizer.step()
        plain.step()
    assert apart(ours, theirs) < 1e-6


def test_weights_that_the_kernel_would_misread_take_the_plain_one() -> None:
    """Every second column of a matrix: the kernel would write into the others."""
    columns = nn.Parameter(torch.zeros(4, 6)[:, ::2])
    double = nn.Parameter(torch.zeros(4, dtype=torch.float64))
    for weight in (columns, double):
        optimizer = on_fused_kernels(torch.optim.SGD, [{"params": [weight]}], **SGD)
        assert not optimizer.param_groups[0]["fused"]
        weight.grad = torch.ones_like(weight)
        optimizer.step()
        assert torch.allclose(weight, torch.full_like(weight, -0.19))


class WithoutKernel(torch.optim.SGD):
    """As of a torch that has no fused kernel for CPUs."""

    def __init__(self, groups: Any, lr: float, fused: bool | None = None) -> None:
        super().__init__(groups, lr=lr)
        if fused:
            raise RuntimeError("`fused=True` requires all the params to be on supported devices")


def test_a_torch_without_the_kernel_takes_the_plain_one() -> None:
    weight = nn.Parameter(torch.ones(3))
    optimizer = on_fused_kernels(WithoutKernel, [{"params": [weight]}], lr=0.5)
    weight.grad = torch.ones(3)
    optimizer.step()
    assert weight.tolist() == [0.5, 0.5, 0.5]
