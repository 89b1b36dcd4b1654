"""Do RGB image and frame of a pair show the same pixels at the same places? Measured by edges, over many pairs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.data.check.edges import REACH, SIDE, Floats, correlations, edge_map, warped

MIN_PAIRS = 5
"""Below, one odd pair decides."""

CERTAIN = 4.0
"""Deviations of its mean by which the best place must be better than none, over the pairs."""

VISIBLE = 0.08
"""Correlation of edges below which nothing can be said: those of strangers reach half of it."""

SHIFT, SCALE = 0.02, 0.04
"""Shares of the side from which a displacement, or another size, is worth mending."""

_COARSE = tuple(1.08**step for step in range(-4, 5))  # 0.74 to 1.36
_ASPECTS = (1 / 1.18, 1 / 1.09, 1.0, 1.09, 1.18)
_FINE = (1 / 1.03, 1.0, 1.03)


@dataclass(frozen=True)
class Alignment:
    """How the RGB images lie against the frames.

    Attributes:
        right, below: share of the width and height by which the RGB image must be moved to lie on the frame.
        across, down: factors by which it must be enlarged about its centre, before.
        score: mean correlation of edges there; ``as_is``: of the pairs as they are. 0: nothing in common, 1: equal.
        certainty: by how many deviations of its mean ``score`` is above ``as_is``.
        pairs: how many were looked at.
    """

    right: float
    below: float
    across: float
    down: float
    score: float
    as_is: float
    certainty: float
    pairs: int

    @property
    def off(self) -> bool:
        """Whether the RGB images lie elsewhere than the frames, beyond doubt and by enough to matter."""
        far = max(abs(self.right), abs(self.below)) >= SHIFT
        other = max(abs(np.log(self.across)), abs(np.log(self.down))) >= SCALE
        certain = self.certainty >= CERTAIN and self.score >= VISIBLE and self.pairs >= MIN_PAIRS
        return (far or other) and certain


def measure_alignment(
    rgb_images: Sequence[Floats],
    frames: Sequence[Floats],
    solid: Sequence[NDArray[np.bool_]] | None = None,
    *,
    thorough: bool = True,
) -> Alignment:
    """Search for the place and size at which edges agree best over all pairs.

    Args:
        rgb_images, frames: (SIDE, SIDE) luminance, and values on a scale on which steps compare.
        solid: where each frame was measured.
        thorough: sizes of either axis, too; else one size for both.
    """
    fixed = [edge_map(frame, None if solid is None else solid[i]) for i, frame in enumerate(frames)]
    sizes = [(size, size) for size in _COARSE]
    if thorough:
        sizes = [(size * aspect**0.5, size / aspect**0.5) for size, aspect in product(_COARSE, _ASPECTS)]
    tried = {size: _surfaces(rgb_images, fixed, size) for size in {*sizes, (1.0, 1.0)}}
    best = max(tried, key=lambda size: tried[size].mean(0).max())
    for across, down in product(_FINE, _FINE) if thorough else ((size, size) for size in _FINE):
        near = (best[0] * across, best[1] * down)
        tried.setdefault(near, _surfaces(rgb_images, fixed, near))
    plain = tried[1.0, 1.0][:, REACH, REACH]
    best = max(tried, key=lambda size: tried[size].mean(0).max())
    mean = tried[best].mean(0)
    y, x = np.unravel_index(int(mean.argmax()), mean.shape)
    gain = tried[best][:, y, x] - plain
    deviation = float(gain.std(ddof=1)) / len(gain) ** 0.5 if len(gain) > 1 else 0.0
    return Alignment(
        right=(REACH - int(x)) / SIDE,
        below=(REACH - int(y)) / SIDE,
        across=float(best[0]),
        down=float(best[1]),
        score=float(mean[y, x]),
        as_is=float(plain.mean()),
        certainty=float(gain.mean()) / deviation if deviation > 1e-9 else 0.0,
        pairs=len(frames),
    )


def _surfaces(
    rgb_images: Sequence[Floats], fixed: Sequence[Floats], size: tuple[float, float]
) -> NDArray[np.float32]:
    """(N, 2 REACH + 1, 2 REACH + 1) correlations of each pair, its RGB image enlarged by ``size``."""
    return np.stack(
        [
            correlations(edge_map(image if size == (1.0, 1.0) else warped(image, *size)), frame)
            for image, frame in zip(rgb_images, fixed, strict=True)
        ]
    )
