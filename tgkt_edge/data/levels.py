"""The values of raw frames in a few numbers: quantiles in metres or counts, and how much lies at either end.

They show a wrong unit, or wrong black and white levels, before a network sees anything: it is fed positions within the
SensorSpec's range, and frames in millimetres that are read as tenths of a millimetre are all "near" to it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.preprocess import sample
from tgkt_edge.sensor import RawFrame, SensorSpec

QUANTILES = (0.02, 0.1, 0.25, 0.5, 0.75, 0.9, 0.98)
"""Of the valid pixels' values; the first entries of a row of levels."""

NEAR, FAR, STEP, TOP = range(len(QUANTILES), len(QUANTILES) + 4)
"""Entries after them: shares 0 to 1 of valid pixels at or beyond either end of the range; the greatest common divisor
of the counts; the largest count."""

LENGTH = len(QUANTILES) + 4

Levels = NDArray[np.float64]
"""(LENGTH,) of one frame, or (N, LENGTH); all NaN where no pixel is valid."""


def measure_levels(frame: RawFrame, spec: SensorSpec) -> Levels:
    """The levels of one raw (H, W) frame that fits ``spec``, from a :func:`tgkt_edge.preprocess.sample` of it."""
    seen: NDArray[Any] = sample(frame).ravel()
    for count in spec.invalid:
        seen = seen[seen != count]
    if not seen.size:
        return np.full(LENGTH, np.nan)
    if spec.encoding == "sunrgbd":
        seen = (seen >> 3) | (seen << 13)
    ranks = [round(share * (seen.size - 1)) for share in QUANTILES]
    ordered = np.partition(seen, [*ranks, seen.size - 1])
    unit = spec.unit_m if spec.unit_m is not None else 1.0
    low, high = (value / unit for value in spec.range)
    return np.array(
        [
            *(ordered[ranks] * unit),
            np.count_nonzero(seen <= low) / seen.size,
            np.count_nonzero(seen >= high * (1 - 1e-9)) / seen.size,
            np.gcd.reduce(seen),
            ordered[-1],
        ]
    )
