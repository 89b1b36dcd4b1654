"""Do the two halves of a pair belong together? An RGB image's edges fit those of its own frame better than others'."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.data.check.edges import Floats, edge_map, warped

_SIDE, _MARGIN, _REACH = 80, 6, 2
_BLOCK = 48
"""Pairs that are compared with each other; of larger sets in groups of about so many."""

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


def measure_belonging(
    rgb_images: Sequence[Floats],
    frames: Sequence[Floats],
    solid: Sequence[NDArray[np.bool_]] | None = None,
    place: tuple[float, float, float, float] = (1.0, 1.0, 0.0, 0.0),
) -> Belonging:
    """Compare every pair's halves with each other and with those of other pairs.

    Args:
        rgb_images, frames, solid: as of :func:`tgkt_edge.data.check.alignment.measure_alignment`; at least 3.
        place: factors across and down, and shares right and below, at which RGB images lie on frames.
    """
    across, down, right, below = place
    side = len(rgb_images[0])
    moved = [
        _small(edge_map(warped(image, across, down, right * side, below * side))) for image in rgb_images
    ]
    fixed = [_small(edge_map(frame, None if solid is None else solid[i])) for i, frame in enumerate(frames)]
    count = len(frames)
    own, others, better = np.zeros(count), np.zeros(count), np.zeros(count)
    order = np.random.default_rng(0).permutation(count)  # neighbours in time look alike
    for block in np.array_split(order, max(1, round(count / _BLOCK))):
        fit = _fit([moved[i] for i in block], [fixed[i] for i in block])
        mine = np.diag(fit)
        rest = fit[~np.eye(len(block), dtype=bool)].reshape(len(block), -1)
        own[block], others[block] = mine, np.median(rest, axis=1)
        better[block] = (mine[:, None] > rest).mean(1)
    return Belonging(own, others, float(better.mean()), _step(moved, fixed, own))


def _step(moved: Sequence[Floats], fixed: Sequence[Floats], own: NDArray[np.float64]) -> int:
    """The displacement in the order at which halves fit best, if they do so clearly better than as they are."""
    best, found = float(own.mean()), 0
    for step in range(-STEPS, STEPS + 1):
        rows = range(max(0, -step), min(len(moved), len(moved) - step))
        if step == 0 or len(rows) < STEPS:
            continue
        fits = np.array([_fit([moved[i]], [fixed[i + step]])[0, 0] for i in rows])
        gain = fits - own[list(rows)]
        error = float(gain.std(ddof=1)) / len(gain) ** 0.5
        if fits.mean() > max(best, 1.5 * float(own.mean())) and gain.mean() > 4 * error:
            best, found = float(fits.mean()), step
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
