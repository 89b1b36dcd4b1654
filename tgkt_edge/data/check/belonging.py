"""Do the two halves of a pair belong together? An RGB image's edges fit those of its own frame better than others'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.data.check.edges import Floats, edge_map, warped

_SIDE, _MARGIN, _REACH = 80, 6, 2
_BLOCK = 48
"""Pairs that are compared with each other; of larger sets in groups of about so many, so that memory holds no more."""

_STRETCHES, _STRETCH = 8, 25  # runs of neighbours, and pairs of each

Place = tuple[float, float, float, float]

STEPS = 5
"""Places in the order by which the halves are tried against each other."""


@dataclass(frozen=True)
class Belonging:
    """How well the halves of pairs fit.

    Attributes:
        own: (N,) correlation of edges of each pair's halves. others: (N,) median of its RGB image with others' frames.
        better: mean share of the other frames that fit less well than the own one: 1 all of them, 0.5 chance.
        step: places in the order by which frames must move to fit best; 0: they are where they belong.
    """

    own: NDArray[np.float64]
    others: NDArray[np.float64]
    better: float
    step: int

    @property
    def strangers(self) -> list[int]:
        """Pairs whose halves fit no better than any two: all of them where most are so."""
        return [
            int(i) for i in np.flatnonzero(self.own <= np.maximum(self.others, 0.25 * np.median(self.own)))
        ]


@dataclass(frozen=True)
class Edges:
    """Edge maps (80, 80) of a pair's halves, the RGB image's where it lies on the frame."""

    moved: Floats
    fixed: Floats


def edges_of(rgb_image: Floats, frame: Floats, solid: NDArray[np.bool_] | None, place: Place) -> Edges:
    """What of a pair is compared with others.

    Args:
        rgb_image, frame, solid: as of :func:`tgkt_edge.data.check.alignment.measure_alignment`.
        place: factors across and down, and shares right and below, at which RGB images lie on frames.
    """
    across, down, right, below = place
    side = len(rgb_image)
    moved = edge_map(warped(rgb_image, across, down, right * side, below * side))
    return Edges(_small(moved), _small(edge_map(frame, solid)))


def blocks(count: int) -> list[NDArray[np.intp]]:
    """The pairs that are compared with each other, drawn from all over the set: neighbours in time look alike."""
    order = np.random.default_rng(0).permutation(count)
    return np.array_split(order, max(1, round(count / _BLOCK)))


def compare_block(
    pairs: Sequence[Edges],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Of each of (N,) pairs: correlation of its halves, the median with the others' frames, and the share of those
    that fit less well."""
    fit = _fit([one.moved for one in pairs], [one.fixed for one in pairs])
    own = np.diag(fit)
    if len(pairs) < 2:
        return own, np.zeros_like(own), np.ones_like(own)
    rest = fit[~np.eye(len(pairs), dtype=bool)].reshape(len(pairs), -1)
    return own, np.median(rest, axis=1), (own[:, None] > rest).mean(1)


def stretches(count: int) -> list[range]:
    """Runs of neighbours by which it is measured whether one list slipped: all of few pairs, of many some."""
    if count <= _STRETCHES * _STRETCH:
        return [range(count)]
    first = np.linspace(0, count - _STRETCH, _STRETCHES).astype(int)
    return [range(int(at), int(at) + _STRETCH) for at in first]


def measure_step(runs: Sequence[Sequence[Edges]]) -> int:
    """The displacement in the order at which halves fit best, if they do so clearly better than as they are.

    Args:
        runs: neighbours, as :func:`stretches` has them.
    """
    fits = [_fit([one.moved for one in run], [one.fixed for one in run]) for run in runs]
    usual = float(np.concatenate([np.diag(fit) for fit in fits]).mean())
    best, found = usual, 0
    for step in range(-STEPS, STEPS + 1):
        moved = np.concatenate(
            [np.diagonal(fit, step) for fit in fits if abs(step) < len(fit)] or [np.empty(0)]
        )
        if step == 0 or len(moved) < STEPS:
            continue
        # Those of the same RGB images as they are: rows that have a partner ``step`` places on.
        own = np.concatenate(
            [np.diag(fit)[max(0, -step) : len(fit) - max(0, step)] for fit in fits if abs(step) < len(fit)]
        )
        gain = moved - own
        error = float(gain.std(ddof=1)) / len(gain) ** 0.5
        if moved.mean() > max(best, 1.5 * usual) and gain.mean() > 4 * error:
            best, found = float(moved.mean()), step
    return found


def _small(edges: Floats) -> Floats:
    import cv2

    return np.asarray(cv2.resize(edges, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA), np.float32)


def _fit(moved: Sequence[Floats], fixed: Sequence[Floats]) -> NDArray[np.float64]:
    """(M, N) correlations at the best of small shifts."""
    inner = slice(_MARGIN, _SIDE - _MARGIN)
    columns = _unit([edges[inner, inner] for edges in fixed])
    best = np.full((len(moved), len(fixed)), -1.0)
    for y in range(-_REACH, _REACH + 1):
        for x in range(-_REACH, _REACH + 1):
            rows = [
                edges[_MARGIN + y : _SIDE - _MARGIN + y, _MARGIN + x : _SIDE - _MARGIN + x] for edges in moved
            ]
            np.maximum(best, _unit(rows) @ columns.T, out=best)
    return best


def _unit(parts: Sequence[Floats]) -> NDArray[np.float64]:
    rows = np.stack([part.ravel() for part in parts]).astype(np.float64)
    rows -= rows.mean(1, keepdims=True)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    unit: NDArray[np.float64] = np.divide(rows, lengths, out=np.zeros_like(rows), where=lengths > 1e-9)
    return unit
