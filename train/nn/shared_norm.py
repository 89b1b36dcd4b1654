"""Batch norm over the batch of all ranks, on any device: torch's own SyncBatchNorm computes on GPUs alone."""

from __future__ import annotations

from typing import Any, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from tgkt_edge.errors import UsageError
from tgkt_edge.train.nn.ranks import Ranks, ended_as_error

M = TypeVar("M", bound=nn.Module)


class _Normalize(torch.autograd.Function):
    """(x - mean) / std over the whole batch, times weight plus bias; gradients through mean and std, too."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, mean: Tensor, inverse: Tensor, count: float
    ) -> Tensor:
        shape = (1, -1, *[1] * (x.dim() - 2))
        ctx.save_for_backward(x, weight, mean, inverse)
        ctx.count = count
        scale = (weight * inverse).view(shape)
        return ((x.float() - mean.view(shape)) * scale + bias.view(shape)).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        x, weight, mean, inverse = ctx.saved_tensors
        shape, dims = (1, -1, *[1] * (x.dim() - 2)), [0, *range(2, x.dim())]
        wide = grad.float()
        centred = (x.float() - mean.view(shape)) * inverse.view(shape)
        own = torch.stack([wide.sum(dims), (wide * centred).sum(dims)])  # (2, C)
        total = own.clone()
        with ended_as_error():
            dist.all_reduce(total)
        shares = total / ctx.count
        gradient = (wide - shares[0].view(shape) - centred * shares[1].view(shape)) * (weight * inverse).view(
            shape
        )
        return gradient.to(x.dtype), own[1], own[0], None, None, None


def _forward(norm: nn.BatchNorm1d | nn.BatchNorm2d, ranks: Ranks, x: Tensor) -> Tensor:
    """What batch norm gives for this rank's rows of the batch; running statistics move by those of the whole batch."""
    dims = [0, *range(2, x.dim())]
    var, mean = torch.var_mean(x.detach().float(), dims, correction=0)
    own = torch.cat([mean, var, mean.new_tensor([x.numel() / x.shape[1]])])
    found = torch.stack(ranks.gather(own[None]), 0)[:, 0].double()  # (ranks, 2 C + 1)
    counts = found[:, -1:]
    means, variances = found[:, :-1].chunk(2, 1)
    count = counts.sum()
    mean = (counts * means).sum(0) / count
    var = (counts * (variances + (means - mean).square())).sum(0) / count
    with torch.no_grad():
        if norm.track_running_stats and norm.num_batches_tracked is not None:
            assert norm.running_mean is not None
            assert norm.running_var is not None
            norm.num_batches_tracked.add_(1)
            factor = 1 / float(norm.num_batches_tracked) if norm.momentum is None else norm.momentum
            unbiased = var * (count / (count - 1))
            norm.running_mean.lerp_(mean.to(norm.running_mean), factor)
            norm.running_var.lerp_(unbiased.to(norm.running_var), factor)
    inverse = (var + norm.eps).rsqrt()
    result: Tensor = _Normalize.apply(x, norm.weight, norm.bias, mean.float(), inverse.float(), float(count))
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
