"""Batch norm over the batch of all ranks, on any device: torch's own SyncBatchNorm computes on GPUs alone."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tgkt_edge.errors import UsageError
from tgkt_edge.train.nn.ranks import Ranks

M = TypeVar("M", bound=nn.Module)


class Kernels(Protocol):
    """The passes over a batch that batch norm is made of. x, grad: (B, C, ...); all others (C,) float32."""

    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and biased variance of each channel."""

    def normalized(self, x: Tensor, mean: Tensor, inverse: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """(x - mean) * inverse * weight + bias, of the dtype of x."""

    def sums(self, grad: Tensor, x: Tensor, mean: Tensor, inverse: Tensor) -> Tensor:
        """(2, C): sums of the gradient, and of the gradient times (x - mean) * inverse."""

    def sloped(self, grad: Tensor, a: Tensor, x: Tensor, b: Tensor, c: Tensor) -> Tensor:
        """a * grad + b * x + c, of the dtype of x."""


class Formulas:
    """As the equations say, on any device."""

    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and biased variance of each channel."""
        var, mean = torch.var_mean(x.float(), _but_channels(x), correction=0)
        return mean, var

    def normalized(self, x: Tensor, mean: Tensor, inverse: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """(x - mean) * inverse * weight + bias, of the dtype of x."""
        scale = _spread(weight * inverse, x)
        return ((x.float() - _spread(mean, x)) * scale + _spread(bias, x)).to(x.dtype)

    def sums(self, grad: Tensor, x: Tensor, mean: Tensor, inverse: Tensor) -> Tensor:
        """(2, C): sums of the gradient, and of the gradient times (x - mean) * inverse."""
        wide, dims = grad.float(), _but_channels(x)
        centred = (x.float() - _spread(mean, x)) * _spread(inverse, x)
        return torch.stack([wide.sum(dims), (wide * centred).sum(dims)])

    def sloped(self, grad: Tensor, a: Tensor, x: Tensor, b: Tensor, c: Tensor) -> Tensor:
        """a * grad + b * x + c, of the dtype of x."""
        return (grad.float() * _spread(a, x) + x.float() * _spread(b, x) + _spread(c, x)).to(x.dtype)


class CpuKernels:
    """torch's own passes on CPUs, those of its batch norm in one process: a tenth of the time of the formulas."""

    def statistics(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and biased variance of each channel."""
        # Running statistics, which are dropped, say by their dtype that those of the batch are float32.
        dropped = torch.zeros(x.shape[1]), torch.zeros(x.shape[1])
        mean, var = torch.batch_norm_update_stats(x, dropped[0], dropped[1], 0.0)
        return mean, var

    def normalized(self, x: Tensor, mean: Tensor, inverse: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        """(x - mean) * inverse * weight + bias, of the dtype of x."""
        return F.batch_norm(x, mean, torch.ones_like(mean), weight * inverse, bias, False, 0.0, 0.0)

    def sums(self, grad: Tensor, x: Tensor, mean: Tensor, inverse: Tensor) -> Tensor:
        """(2, C): sums of the gradient, and of the gradient times (x - mean) * inverse."""
        weight, asked = torch.ones_like(mean), [False, True, True]
        _, second, first = torch.ops.aten.native_batch_norm_backward(
            grad, x, weight, None, None, mean, inverse, True, 0.0, asked
        )
        return torch.stack([first.float(), second.float()])

    def sloped(self, grad: Tensor, a: Tensor, x: Tensor, b: Tensor, c: Tensor) -> Tensor:
        """a * grad + b * x + c, of the dtype of x."""
        affine = F.batch_norm(x.float(), torch.zeros_like(b), torch.ones_like(b), b, c, False, 0.0, 0.0)
        return affine.addcmul_(grad.float(), _spread(a, x)).to(x.dtype)


def kernels_for(device: torch.device) -> Kernels:
    """Those that compute on a device."""
    return CpuKernels() if device.type == "cpu" else Formulas()


def _spread(channels: Tensor, x: Tensor) -> Tensor:
    """(C,) against the channels of x."""
    return channels.view(1, -1, *[1] * (x.dim() - 2))


def _but_channels(x: Tensor) -> list[int]:
    return [0, *range(2, x.dim())]


class _Normalize(torch.autograd.Function):
    """(x - mean) / std over the whole batch, times weight plus bias; gradients through mean and std, too."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        inverse: Tensor,
        count: float,
        ranks: Ranks,
    ) -> Tensor:
        ctx.save_for_backward(x, weight, mean, inverse)
        ctx.count, ctx.ranks = count, ranks
        return kernels_for(x.device).normalized(x, mean, inverse, weight, bias)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, inverse = ctx.saved_tensors
        kernels = kernels_for(x.device)
        own = kernels.sums(grad, x, mean, inverse)  # (2, C)
        shares = ctx.ranks.total(own) / ctx.count
        # a (grad - shares[0] - (x - mean) inverse shares[1]), with a = weight * inverse
        a = weight * inverse
        b = -a * inverse * shares[1]
        gradient = kernels.sloped(grad, a, x, b, -a * shares[0] - b * mean)
        return gradient, own[1], own[0], None, None, None, None


def _forward(norm: nn.BatchNorm1d | nn.BatchNorm2d, ranks: Ranks, x: Tensor) -> Tensor:
    """What batch norm gives for this rank's rows of the batch; running statistics move by those of the whole batch."""
    with torch.no_grad():
        rows = torch.tensor([x.numel() / x.shape[1]], device=x.device)
        own = torch.cat([*kernels_for(x.device).statistics(x), rows])
        found = ranks.stack(own).double()  # (ranks, 2 C + 1)
        counts = found[:, -1:]
        means, variances = found[:, :-1].chunk(2, 1)
        count = counts.sum()
        mean = (counts * means).sum(0) / count
        var = (counts * (variances + (means - mean).square())).sum(0) / count
        if norm.track_running_stats and norm.num_batches_tracked is not None:
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.num_batches_tracked.add_(1)
            factor = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
            unbiased = var * (count / (count - 1))
            norm.running_mean.lerp_(mean.to(norm.running_mean), factor)
            norm.running_var.lerp_(unbiased.to(norm.running_var), factor)
    inverse = (var + norm.eps).rsqrt()
    result: Tensor = _Normalize.apply(
        x, norm.weight, norm.bias, mean.float(), inverse.float(), float(count), ranks
    )
    return result


class SharedNorm1d(nn.BatchNorm1d):
    """BatchNorm1d over the batch of all ranks while it trains."""

    ranks: Ranks

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """(B, C) or (B, C, L) of this rank to the same shape."""
        return _forward(self, self.ranks, input) if self.training else super().forward(input)


class SharedNorm2d(nn.BatchNorm2d):
    """BatchNorm2d over the batch of all ranks while it trains."""

    ranks: Ranks

    def forward(self, input: Tensor) -> Tensor:  # noqa: A002 - torch's name
        """(B, C, H, W) of this rank to the same shape."""
        return _forward(self, self.ranks, input) if self.training else super().forward(input)


def share_norms(module: M, ranks: Ranks) -> M:
    """Let every batch norm with weights see the batch of all ranks; parameters, statistics, hooks and names stay.

    Returns:
        The same module. One process leaves it as it is.

    Raises:
        UsageError: another kind of batch norm, whose batch would be that of one rank.
    """
    if ranks.alone:
        return module
    for norm in module.modules():
        # The class alone changes: a network that was built elsewhere keeps its own modules, which hooks may hold.
        if type(norm) is nn.BatchNorm1d and norm.affine:
            norm.__class__ = SharedNorm1d
        elif type(norm) is nn.BatchNorm2d and norm.affine:
            norm.__class__ = SharedNorm2d
        if isinstance(norm, SharedNorm1d | SharedNorm2d):
            norm.ranks = ranks
        elif isinstance(norm, nn.modules.batchnorm._BatchNorm):
            raise UsageError(
                f"a network with {type(norm).__name__} layers cannot be trained by several ranks: their statistics "
                f"would be those of one rank's part of the batch. Train it in one process."
            )
    return module
