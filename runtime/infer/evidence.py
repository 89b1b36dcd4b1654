"""Where the evidence for a class lies on the raw frame, and how much of it on pixels that hold no measurement."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.preprocess import resize_side
from tgkt_edge.runtime.engines.base import Grid
from tgkt_edge.sensor import RawFrame, SensorSpec


def crop_box(size: int) -> tuple[float, float, float, float]:
    """Left, top, width and height, as shares of a raw frame, of what a network of input side ``size`` sees: the places
    of a map lie on it side by side, whatever the frame's proportions."""
    side = resize_side(size)
    first = (side - size) // 2 / side
    return first, first, size / side, size / side


def unmeasured(frame: RawFrame, spec: SensorSpec, size: int, grid: Grid) -> NDArray[np.float32]:
    """Share 0 to 1 of each place's pixels that hold no measurement, pixels on an edge shared out by area.

    Args:
        frame: (H, W) raw counts that fit ``spec``. size: side of the network's input, pixels.

    Returns:
        (h, w) of ``grid``.
    """
    if not spec.has_invalid:
        return np.zeros(grid, np.float32)
    without = 1 - spec.valid(frame).astype(np.float32)
    rows, columns = (_shares(length, size, count) for length, count in zip(frame.shape, grid, strict=True))
    found: NDArray[np.float32] = rows @ (without @ columns.T)
    return found


def share_unmeasured(evidence: NDArray[np.float32], without: NDArray[np.float32]) -> float | None:
    """Share 0 to 1 of a class's positive evidence that lies on pixels without a measurement.

    Args:
        evidence: the class's map (h, w). without: :func:`unmeasured` (h, w).

    Returns:
        None: there is no positive evidence.
    """
    positive = np.maximum(evidence, 0).astype(np.float64)
    total = float(positive.sum())
    if not total > 0:
        return None
    return float(np.clip((positive * without).sum() / total, 0, 1))


@lru_cache(maxsize=16)
def _shares(length: int, size: int, count: int) -> NDArray[np.float32]:
    """(count, length): what each of ``length`` raw pixels is of each of ``count`` places along an axis. Rows add up to
    one."""
    side = resize_side(size)
    edges = ((side - size) // 2 + size * np.arange(count + 1) / count) * length / side
    pixel = np.arange(length)
    covered = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
    shares = (covered.clip(0) / np.diff(edges)[:, None]).astype(np.float32)
    shares.flags.writeable = False
    return shares
