"""Is a frame unlike the adaptation frames? A description in a few numbers, and the distance to the nearest ones.

A frame is *unlike* them if it is farther from its nearest ones than they are from each other: its distance is the mean
of those to its NEAREST nearest references, and the limit is the quantile of the same distance over the adaptation
frames themselves, each without the references of its own stretch of the set: neighbours in a recording are nearly
equal, and would make every new view look unlike.

False alarms by construction (conformal prediction: Vovk et al., Algorithmic Learning in a Random World, 2005; Lei et
al., JASA 2018): a new *view* drawn like the adaptation frames is beyond the limit with a probability of at most
FALSE_ALARM, or 1 / (frames + 1) where they are too few for that. Where frames are alike in stretches (a recording of
room after room) and only the rooms are drawn independently, no more than about 1 in STRETCHES + 1 can be promised for
a new room.

A camera that looks at one room for hours has seen one view, and raises no flag by being there: what counts is only
whether a view is near *some* adaptation frames, never how often each kind of view comes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

FALSE_ALARM = 0.01
"""Share of new views like the adaptation frames that lie beyond the limit."""

BINS = 16
"""Equal bins of [0, 1] in the histogram of a frame's values."""

NEAREST = 3
"""References whose distances are averaged: one odd adaptation frame then excuses nothing."""

REFERENCES = 512
"""At most so many adaptation frames are kept, spread evenly."""

STRETCHES = 20
"""Contiguous parts of the adaptation frames; a frame is not compared with those of its own part."""

Floats = NDArray[np.float32]

_COARSE = 4  # pixels averaged, each way, for the coarse texture
_FAINT = 1e-3  # texture below this is none: rounding of 8-bit counts

_PARTS = {
    "values": (slice(0, BINS - 1), 0.01),
    "texture": (slice(BINS - 1, BINS + 1), 0.05),
    "sharpness": (slice(BINS + 1, BINS + 3), 0.05),
    "holes": (slice(BINS + 3, BINS + 4), 0.02),
}
"""Parts of a description, and the least difference in each that counts as one unit (where all frames are alike)."""

LENGTH = BINS + 4
"""Numbers in a description."""


def describe(unit: Floats, invalid: float) -> Floats:
    """One preprocessed frame in LENGTH numbers.

    ``values``: cumulative histogram at the BINS - 1 inner edges, of every second pixel of every second row; the mean
    absolute difference of two is about their Wasserstein-1 distance in units of the range. ``texture``: logarithm of
    the mean absolute difference of neighbouring pixels along rows and along columns. ``sharpness``: the same minus that
    of the frame averaged over 4 x 4 pixels: noise raises it and blur lowers it, whatever the scene. ``holes``:
    ``invalid``.

    Args:
        unit: (1, S, S) float32 in [0, 1], as :func:`tgkt_edge.preprocess.preprocess` returns it, S >= 8.
        invalid: share 0 to 1 of the raw frame's pixels without a measurement.

    Returns:
        (LENGTH,) float32.
    """
    import cv2

    image = unit[0]
    sample = (image[::2, ::2] * BINS).astype(np.intp).ravel()
    counts = np.bincount(sample, minlength=BINS + 1)[
        :BINS
    ]  # 1.0 belongs to the last bin, which is not needed
    side = image.shape[0] // _COARSE
    coarse = cv2.resize(image, (side, side), interpolation=cv2.INTER_AREA)
    fine, blunt = _texture(image), _texture(coarse)
    shares = counts.cumsum()[:-1] / sample.size
    return np.concatenate([shares, fine, fine - blunt, [invalid]]).astype(np.float32)


def _texture(image: Floats) -> NDArray[np.float64]:
    """Logarithm of the mean absolute difference of neighbours along rows and along columns, (2,)."""
    import cv2

    rows = cv2.norm(image[:, 1:], image[:, :-1], cv2.NORM_L1) / (image.size - image.shape[0])
    columns = cv2.norm(image[1:], image[:-1], cv2.NORM_L1) / (image.size - image.shape[1])
    return np.log(np.array([rows, columns]) + _FAINT)


def weights_of(descriptions: Floats) -> Floats:
    """Weights (LENGTH,) that give each part of (N, LENGTH) descriptions the same influence on distances.

    Each is one over the median difference of two random frames in that part, divided among the part's numbers.
    """
    rng = np.random.default_rng(0)
    a, b = rng.integers(len(descriptions), size=(2, 2000))
    weights = np.empty(LENGTH, np.float32)
    for part, least in _PARTS.values():
        usual = float(np.median(np.abs(descriptions[a, part] - descriptions[b, part]).mean(1)))
        weights[part] = 1 / max(usual, least) / (part.stop - part.start)
    return weights


def spread(count: int) -> NDArray[np.int64]:
    """Indices of at most REFERENCES of ``count`` frames, evenly spread."""
    return np.unique(np.linspace(0, count - 1, min(count, REFERENCES)).round().astype(np.int64))


_ROWS = 8192  # frames whose distances are in memory at once


@dataclass(frozen=True)
class Normal:
    """What is normal: references, a distance, and the limit to it.

    Attributes:
        references: (R, LENGTH) descriptions of adaptation frames.
        weights: (LENGTH,); the distance of two descriptions is the weighted sum of their absolute differences.
        limit: mean distance from the NEAREST references above which a frame is unlike them, > 0.
        false_alarm: share of views of the same kind that are above it, as promised.
    """

    references: Floats
    weights: Floats
    limit: float
    false_alarm: float

    @classmethod
    def of(cls, descriptions: Floats, false_alarm: float = FALSE_ALARM) -> Normal:
        """Learn from (N, LENGTH) descriptions in the order of the frames, N > NEAREST."""
        vectors = np.round(descriptions, 4).astype(np.float32)  # as they are going to be stored
        weights, count, kept = weights_of(vectors), len(vectors), spread(len(vectors))
        stretch = np.arange(count) * min(STRETCHES, count) // count
        scores = np.empty(count, np.float32)
        for start in range(0, count, _ROWS):
            rows = slice(start, min(start + _ROWS, count))
            distances = np.zeros((rows.stop - start, len(kept)), np.float32)
            for column, weight in enumerate(weights):  # all at once would be (N, R, LENGTH) numbers
                distances += weight * np.abs(vectors[rows, column, None] - vectors[kept, column])
            distances[stretch[rows, None] == stretch[kept]] = np.inf
            scores[rows] = np.partition(distances, NEAREST - 1, axis=1)[:, :NEAREST].mean(1)
        scores = np.sort(scores)
        rank = min(math.ceil((1 - false_alarm) * (count + 1)), count)
        return cls(
            vectors[kept], weights, max(float(scores[rank - 1]), 1e-4), max(false_alarm, 1 / (count + 1))
        )

    def distance(self, description: Floats) -> float:
        """Mean distance of a (LENGTH,) description from its NEAREST references, in limits: over 1 is unlike them."""
        distances = np.abs(self.references - description) @ self.weights
        return float(np.partition(distances, NEAREST - 1)[:NEAREST].mean()) / self.limit

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        return {
            "limit": self.limit,
            "false_alarm": self.false_alarm,
            "weights": self.weights.tolist(),
            "references": [[float(f"{value:.4f}") for value in row] for row in self.references],
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Normal:
        """Inverse of :meth:`to_dict`. Raises ValueError, KeyError or TypeError for anything else."""
        references = np.array(values["references"], np.float32)
        weights = np.array(values["weights"], np.float32)
        limit, promised = float(values["limit"]), float(values["false_alarm"])
        if references.ndim != 2 or references.shape[1] != LENGTH or len(references) < NEAREST:
            raise ValueError(
                f"references of shape {references.shape}, expected at least {NEAREST} rows of {LENGTH}"
            )
        if weights.shape != (LENGTH,) or not (np.isfinite(references).all() and np.isfinite(weights).all()):
            raise ValueError(f"expected {LENGTH} finite weights, and finite references")
        if not (math.isfinite(limit) and limit > 0 and 0 < promised <= 1):
            raise ValueError(f"limit {limit} and false alarms {promised}: expected finite numbers above 0")
        return cls(references, weights, limit, promised)
