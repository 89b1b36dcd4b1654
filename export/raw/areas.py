"""Averages over areas, as docs/preprocessing.md has them, as nodes of a graph: rule 4."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.export.raw.nodes import Nodes

_LEAST = 1e-3  # a shorter length of a pixel counts as none


def add_areas(nodes: Nodes, images: str, height: int, width: int, side: int) -> str:
    """(C, H, W) float32 to (C, side, side): averaged over areas where it shrinks, linear where it grows."""
    if (height < side) != (width < side):  # the axis that shrinks first
        rows, columns = min(height, side), min(width, side)
        images = _once(nodes, images, (height, width), (rows, columns))
        height, width = rows, columns
    return _once(nodes, images, (height, width), (side, side))


def _once(nodes: Nodes, images: str, before: tuple[int, int], after: tuple[int, int]) -> str:
    """Both axes shrink or stay, or both grow or stay."""
    if before == after:
        return images
    grow = after[0] > before[0] or after[1] > before[1]
    whole = all(1 / (new / old) == old // new for old, new in zip(before, after, strict=True))
    if whole and not grow:
        rows, columns = (old // new for old, new in zip(before, after, strict=True))
        blocks = nodes.add("Reshape", images, nodes.integers(-1, after[0], rows, after[1], columns))
        total = nodes.add("ReduceSum", blocks, nodes.integers(2, 4), keepdims=0)
        return nodes.add("Mul", total, nodes.number(float(np.float32(1 / (rows * columns)))))
    for axis in (1, 0):  # along each row first
        # Whole rows are copied where single pixels would be picked, so columns are turned into rows; twice, so back.
        images = nodes.add("Transpose", images, perm=[0, 2, 1])
        if before[axis] != after[axis]:
            taps = (growing if grow else shrinking)(before[axis], after[axis])
            images = _weighted(nodes, images, *taps)
    return images


def _weighted(nodes: Nodes, images: str, picks: NDArray[np.int64], weights: NDArray[np.float32]) -> str:
    """(C, L, M) to (C, size, M): sums over (size, taps) ``picks`` times ``weights``, term by term from the left."""
    total = ""
    for pick, weight in zip(picks.T, weights.T, strict=True):
        if not weight.any():
            continue
        taken = nodes.add("Gather", images, nodes.constant(pick.astype(np.int32)), axis=1)
        term = nodes.add("Mul", taken, nodes.constant(weight.reshape(-1, 1)))
        total = nodes.add("Add", total, term) if total else term
    return total


def shrinking(length: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(size, taps) pixels under each of ``size`` output pixels, and what share of it each covers."""
    scale = 1 / (size / length)
    first = np.arange(size) * scale
    last = np.minimum(first + scale, length)
    picks = np.floor(first + _LEAST).astype(np.int64)[:, None] + np.arange(int(scale) + 2)
    covered = np.minimum(picks + 1, last[:, None]) - np.maximum(picks, first[:, None])
    covered[(covered <= _LEAST) | (picks >= length)] = 0
    weights = covered / np.minimum(scale, length - first)[:, None]
    return np.minimum(picks, length - 1), weights.astype(np.float32)


def growing(length: int, size: int) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """(size, 2) neighbours of each output pixel and their weights."""
    scale = 1 / (size / length)
    left = np.floor(np.arange(size) * scale).astype(np.int64)
    part = (np.arange(1, size + 1) - (left + 1) * (size / length)).astype(np.float32)
    part = np.where((part <= 0) | (left >= length - 1), np.float32(0), part - np.floor(part))
    return np.minimum(np.stack([left, left + 1], 1), length - 1), np.stack([np.float32(1) - part, part], 1)
