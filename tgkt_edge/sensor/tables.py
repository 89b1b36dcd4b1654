"""From raw counts to positions in the SensorSpec's range: whole numbers of 65535ths. Rounded here and nowhere else."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.sensor.spec import RawFrame, SensorSpec

_ROWS = 32


def positions(raw: RawFrame, spec: SensorSpec) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """For each raw count of any shape its position in the range, in 65535ths, and whether it is a measurement.

    Floating-point numbers become the same codes as integers do, by the same arithmetic in float64: decoded, scaled,
    clipped, rounded to the nearest code (ties to even).

    Returns:
        float32 holding whole numbers 0 to 65535, 0 for what is no measurement; and bool.
    """
    if not spec.is_float:
        counts: NDArray[Any] = raw
        values, valid = unit_table(spec)
        return values.take(counts, mode="clip"), valid.take(counts, mode="clip")
    places, found = np.empty(raw.shape, np.float32), np.empty(raw.shape, np.bool_)
    if raw.ndim != 2:
        places[...], found[...] = _positions(raw, spec)
        return places, found
    for top in range(0, len(raw), _ROWS):  # some rows at a time, which stay in the cache
        rows = slice(top, top + _ROWS)
        places[rows], found[rows] = _positions(raw[rows], spec)
    return places, found


@lru_cache(maxsize=8)
def unit_table(spec: SensorSpec) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """:func:`positions` of every raw count of a sensor of integers.

    Returns:
        values (n,) float32 holding whole numbers 0 to 65535, and valid (n,) bool; n = 256 or 65536.
    """
    values, valid = _positions(np.arange(np.iinfo(spec.numpy_dtype).max + 1, dtype=spec.numpy_dtype), spec)
    values.flags.writeable = valid.flags.writeable = False
    return values, valid


@lru_cache(maxsize=8)
def paired_table(spec: SensorSpec) -> NDArray[np.float64]:
    """Both columns of :func:`unit_table` in one, so that a frame is looked up once.

    Returns:
        (n,) float64, in the 8 bytes of each two float32: the position in 65535ths, and 1 for a measurement or 0 for
        none. What is looked up, viewed as float32, has them as its last axis.
    """
    values, valid = unit_table(spec)
    table: NDArray[np.float64] = np.stack([values, valid.astype(np.float32)], axis=1).view(np.float64)[:, 0]
    table.flags.writeable = False
    return table


def _positions(raw: RawFrame, spec: SensorSpec) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    low, high = spec.range
    valid = spec.valid(raw)
    unit = spec.decode(raw)
    unit -= low
    unit /= high - low
    np.clip(unit, 0.0, 1.0, out=unit)
    unit *= 65535
    np.rint(unit, out=unit)
    np.copyto(unit, 0, where=~valid)
    return unit.astype(np.float32), valid
