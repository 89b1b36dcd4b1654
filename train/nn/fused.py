"""torch's fused optimizer kernels on CPUs: one pass through memory a step in place of five.

They go through weight, gradient and the optimizer's state as each lies in memory, whatever its strides say. Momentum
that comes from a file lies in the usual order, channels-last weights do not: a step would add the momentum of other
weights. So before each step all that belongs to a weight is brought into the order in which the weight lies.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

Opt = TypeVar("Opt", bound=torch.optim.Optimizer)


def on_fused_kernels(kind: Callable[..., Opt], groups: list[dict[str, Any]], **options: Any) -> Opt:
    """An optimizer of ``kind`` (SGD, Adam, AdamW), on its fused kernel where all weights are on a CPU and this torch
    has it for them; else the plain one. Both compute the same except for rounding.

    Args:
        groups: of parameters. options: of the optimizer.
    """
    parameters = [p for group in groups for p in group["params"]]
    if not parameters or not all(_fits(kind, p) for p in parameters):
        return kind(groups, **options)
    optimizer = kind(groups, **options, fused=True)
    optimizer.register_step_pre_hook(lay_out_alike)
    return optimizer


def lay_out_alike(optimizer: torch.optim.Optimizer, *_: Any) -> None:
    """Bring gradients and state of each weight into its order in memory; what lies so already stays where it is."""
    for group in optimizer.param_groups:
        for weight in group["params"]:
            if weight.grad is None:
                continue
            weight.grad = laid_out_as(weight, weight.grad)
            state = optimizer.state[weight]
            for name, value in state.items():
                if isinstance(value, Tensor) and value.shape == weight.shape:
                    state[name] = laid_out_as(weight, value)
            if group.get("momentum") and state.get("momentum_buffer") is None:
                # The fused kernel knows a first step of all weights of a group only, not of some.
                state["momentum_buffer"] = torch.zeros_like(weight, requires_grad=False)


def laid_out_as(weight: Tensor, value: Tensor) -> Tensor:
    """``value``, or where its strides are others than those of ``weight`` a copy that has them."""
    if lies_as(value, weight):
        return value
    return torch.empty_like(weight, dtype=value.dtype, requires_grad=False).copy_(value)


def lies_as(value: Tensor, weight: Tensor) -> bool:
    """Whether a tensor of one shape with ``weight`` has its numbers in the same order in memory."""
    if value.stride() == weight.stride():
        return True
    strides = zip(weight.shape, value.stride(), weight.stride(), strict=True)
    return all(one == other for size, one, other in strides if size > 1)


def is_dense(weight: Tensor) -> bool:
    """Whether its numbers fill one stretch of memory, in whatever order."""
    return torch.empty_like(weight, device="meta").stride() == weight.stride()


def _fits(kind: Callable[..., torch.optim.Optimizer], weight: Tensor) -> bool:
    return weight.device.type == "cpu" and is_dense(weight) and weight.dtype == torch.float32 and _works(kind)


@lru_cache
def _works(kind: Callable[..., torch.optim.Optimizer]) -> bool:
    """Whether this torch has the fused kernel of an optimizer on CPUs, found by a step of it."""
    weight = nn.Parameter(torch.zeros(1))
    weight.grad = torch.zeros(1)
    try:
        kind([weight], lr=1e-3, fused=True).step()
    except (RuntimeError, TypeError):  # of a torch that lacks it: of this device, or at all
        return False
    return True
