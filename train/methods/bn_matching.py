"""Batch-norm statistics matching: target batches should look to every layer as the source's images did (SOCKET)."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from tgkt_edge.train.nn.ranks import ALONE, Ranks

FIRST = 10.0
"""Weight of the first layer, which sees the modality most directly (SOCKET)."""


def statistics_distance(
    found: Sequence[tuple[Tensor, Tensor]], expected: Sequence[tuple[Tensor, Tensor]], first: float = FIRST
) -> Tensor:
    """Sum over layers of ``|mean - mean_source|_2 + |var - var_source|_2``, the first layer times ``first``.

    Sums over channels and layers, not means, as SOCKET's authors compute it. So layers count by the scale of their
    inputs: weights whose first convolution has another scale than torchvision's
    (:mod:`tgkt_edge.train.nn.weight_scale`) leave nothing but the first layer.

    Args:
        found, expected: (mean, variance) of each layer's inputs, each (C,).
    """
    if len(found) != len(expected) or not found:
        raise ValueError(f"{len(found)} layers found, {len(expected)} expected; at least one")
    distances = [
        torch.linalg.vector_norm(mean - mean_wanted) + torch.linalg.vector_norm(var - var_wanted)
        for (mean, var), (mean_wanted, var_wanted) in zip(found, expected, strict=True)
    ]
    total: Tensor = torch.stack(distances).sum() + (first - 1) * distances[0]
    return total


class NormWatch:
    """Sees what goes into every BatchNorm2d of ``student`` and compares it with what ``source`` remembers.

    Args:
        student: trained; its layers correspond to those of ``source``, whose running statistics are the goal.
        ranks: over whose rows the statistics go.
    """

    def __init__(self, student: nn.Module, source: nn.Module, ranks: Ranks = ALONE) -> None:
        self._ranks = ranks
        self._wanted = [
            (norm.running_mean.detach().clone(), norm.running_var.detach().clone())
            for norm in source.modules()
            if isinstance(norm, nn.BatchNorm2d)
            and norm.running_mean is not None
            and norm.running_var is not None
        ]
        self._found: list[tuple[Tensor, Tensor]] = []
        self.on = False
        for norm in student.modules():
            if isinstance(norm, nn.BatchNorm2d):
                norm.register_forward_pre_hook(self._see)

    def _see(self, _: nn.Module, args: tuple[Tensor, ...]) -> None:
        if self.on:
            x = args[0].float()
            if self._ranks.alone:
                var, mean = torch.var_mean(x, dim=(0, 2, 3), correction=0)
            else:
                count = self._ranks.sum(x.new_tensor(x.numel() / x.shape[1]))
                mean = self._ranks.sum(x.sum((0, 2, 3))) / count
                apart = x - mean.detach().view(
                    1, -1, 1, 1
                )  # of which the variance's gradient does not depend
                var = self._ranks.sum(apart.square().sum((0, 2, 3))) / count
            self._found.append((mean, var))

    def taken(self, rows: int) -> tuple[Tensor, ...]:
        """Of the pass made while ``on``, which is forgotten: (1,) its rows, and (1, C) each layer's mean and variance,
        one after the other; these take gradients."""
        found, self._found = self._found, []
        statistics = [one[None] for pair in found for one in pair]
        return (statistics[0].new_tensor([float(rows)]), *statistics) if found else ()

    def distance(self, taken: Sequence[Tensor]) -> Tensor:
        """:func:`statistics_distance` of one or several passes: what :meth:`taken` gave, along the first dimension."""
        found = []
        for mean, var in zip(taken[1::2], taken[2::2], strict=True):  # (passes, C)
            if len(mean) == 1:
                found.append((mean[0], var[0]))
                continue
            weights = (taken[0] / taken[0].sum())[:, None]  # (passes, 1)
            whole = (weights * mean).sum(0)
            found.append((whole, (weights * (var + (mean - whole).square())).sum(0)))
        return statistics_distance(found, self._wanted)


@contextlib.contextmanager
def record_bn_stats(norms: NormWatch | None) -> Iterator[None]:
    """The pass inside counts; without ``norms`` nothing happens."""
    if norms is None:
        yield
        return
    norms.on = True
    try:
        yield
    finally:
        norms.on = False
