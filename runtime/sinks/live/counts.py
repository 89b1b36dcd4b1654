"""Frames as the page gets them: 16-bit counts, and how the page makes values of them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.sensor import SensorSpec, positions

_LAST = 65535


def counts_of(frame: NDArray[Any], spec: SensorSpec) -> NDArray[np.uint16]:
    """(H, W) as little-endian uint16: raw counts as they are; floating-point numbers as 1 to 65535 for the near to
    the far end of the range, 0 where nothing was measured.
    """
    if not spec.is_float:
        return frame.astype("<u2")
    place, valid = positions(frame, spec)
    counts = 1 + np.rint(place * ((_LAST - 1) / _LAST))
    return np.where(valid, counts, 0).astype("<u2")


def coding_of(spec: SensorSpec) -> dict[str, float] | None:
    """How :func:`counts_of` codes floating-point numbers: ``low``, the value of count 1, and ``step`` to the next;
    None: counts are the sensor's own."""
    if not spec.is_float:
        return None
    low, high = spec.range
    return {"low": low, "step": (high - low) / (_LAST - 1)}
