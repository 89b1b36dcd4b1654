"""Where the evidence for a class lies on the raw frame, and how much of it on pixels that hold no measurement."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.preprocess import resize_side
from tgkt_edge.runtime.engines.base import Grid
from tgkt_edge.runtime.records import Decision
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


def answered(decision: Decision, classes: Sequence[str]) -> int:
    """Number of the class that a decision is about: of its label, or where that is none of the likeliest class."""
    if decision.label in classes:
        return list(classes).index(decision.label)
    return list(classes).index(decision.top[0].label)


def with_evidence(
    decision: Decision,
    maps: NDArray[np.float32],
    frame: RawFrame,
    spec: SensorSpec,
    size: int,
    classes: Sequence[str],
) -> Decision:
    """A decision with its maps, and how much of the evidence for it lies on pixels without a measurement.

    Args:
        maps: (K, h, w), of the decision's own frame; where they are not finite, which half precision can make of them,
            the decision stays as it is. frame: (H, W) raw counts that fit ``spec``.
    """
    if not np.isfinite(maps).all():
        return decision
    without = unmeasured(frame, spec, size, (maps.shape[1], maps.shape[2]))
    share = share_unmeasured(maps[answered(decision, classes)], without)
    return replace(decision, maps=maps, evidence_invalid=share)


def never() -> bool:
    """Nobody asks for maps."""
    return False


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
