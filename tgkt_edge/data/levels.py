"""The values of raw frames in a few numbers: quantiles in metres, counts or degrees, and how much lies at either end.

They show a wrong unit, or wrong black and white levels, before a network sees anything: it is fed positions within the
SensorSpec's range, and frames in millimetres that are read as tenths of a millimetre are all "near" to it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.preprocess import sample
from tgkt_edge.sensor import RawFrame, SensorSpec

QUANTILES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
"""Of the valid pixels' values; the first entries of a row of levels."""

NEAR, FAR, STEP, TOP = range(len(QUANTILES), len(QUANTILES) + 4)
"""Entries after them: shares 0 to 1 of valid pixels at or beyond either end of the range; the greatest common divisor
of the counts (1 of floating-point numbers and disparities); the largest count."""

LENGTH = len(QUANTILES) + 4

Levels = NDArray[np.float64]
"""(LENGTH,) of one frame, or (N, LENGTH); all NaN where no pixel is valid."""


def measure_levels(frame: RawFrame, spec: SensorSpec) -> Levels:
    """The levels of one raw (H, W) frame that fits ``spec``, from a :func:`tgkt_edge.preprocess.sample` of it."""
    seen: NDArray[Any] = sample(frame).ravel()
    if spec.has_invalid:
        seen = seen[spec.valid(seen)]
    if not seen.size:
        return np.full(LENGTH, np.nan)
    if spec.encoding == "sunrgbd":
        seen = (seen >> 3) | (seen << 13)
    linear = spec if spec.encoding != "sunrgbd" else replace(spec, encoding="linear")
    values = linear.decode(seen)
    ranks = [round(share * (seen.size - 1)) for share in QUANTILES]
    low, high = spec.range
    tolerance = 1e-9 * (high - low)
    return np.array(
        [
            *np.partition(values, ranks)[ranks],
            np.count_nonzero(values <= low + tolerance) / seen.size,
            np.count_nonzero(values >= high - tolerance) / seen.size,
            np.gcd.reduce(seen) if spec.encoding != "disparity" and not spec.is_float else 1,
            seen.max(),
        ]
    )
