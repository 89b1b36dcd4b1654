"""Is the sensor well? Flags per frame, from the raw counts alone.

A flag that goes on or off is an event of the output (``"event": "health"`` with ``flag``, ``active``, ``value`` and
``limit``); the flags that are on are listed in each record's ``health``. Flags:

- ``invalid``: share of pixels without a measurement (lens covered, out of range, sun on the sensor).
- ``saturated``: share of valid pixels at either end of the SensorSpec's range.
- ``frozen``: frames in a row, bit for bit equal: real sensors have noise. Live sources only.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.data.levels import FAR, NEAR, measure_levels
from tgkt_edge.data.value_checks import advise
from tgkt_edge.preprocess import look_up, sample
from tgkt_edge.runtime.events import HealthEvent
from tgkt_edge.sensor import RawFrame, SensorSpec, positions, unit_table

LIMITS = {"invalid": 0.9, "saturated": 0.5, "frozen": 5.0}
"""A flag is raised at this value or above: shares 0 to 1; repeats of a frame."""

STEADY = 3
"""Frames in a row that agree before ``invalid`` or ``saturated`` goes on or off: a hand before the lens is no fault."""

_FINE, _END, _INVALID = 0, 1, 2


@dataclass(frozen=True)
class FrameMeasures:
    """What one raw frame says about the sensor.

    Attributes:
        invalid: share 0 to 1 of pixels without a measurement.
        saturated: share 0 to 1 of the valid pixels at or beyond either end of the SensorSpec's range.
        repeats: how many frames directly before this one were equal to it, bit for bit.
    """

    invalid: float
    saturated: float
    repeats: int


@lru_cache(maxsize=8)
def _classes_of_counts(spec: SensorSpec) -> NDArray[np.uint8]:
    """(n,) for every raw count: _FINE, at an _END of the range, or _INVALID; n = 256 or 65536."""
    table = _classes(*unit_table(spec))
    table.flags.writeable = False
    return table


def _classes(position: NDArray[np.float32], valid: NDArray[np.bool_]) -> NDArray[np.uint8]:
    found = np.where((position <= 0) | (position >= 65535), _END, _FINE).astype(np.uint8)
    found[~valid] = _INVALID
    return found


class Measurer:
    """Measures the frames of one sensor, in order, all of one size or not."""

    def __init__(self, spec: SensorSpec) -> None:
        self._spec = spec
        self._table = None if spec.is_float else _classes_of_counts(spec)
        self._before: RawFrame | None = None
        self._repeats = 0

    def measure(self, frame: RawFrame) -> FrameMeasures:
        """Measure one frame.

        Args:
            frame: (H, W) of the sensor's dtype, checked. Kept until the next call: it must not be written to.
        """
        part = sample(frame)
        seen = _classes(*positions(part, self._spec)) if self._table is None else look_up(self._table, part)
        valid = seen.size - int(np.count_nonzero(seen == _INVALID))
        at_end = int(np.count_nonzero(seen)) - (seen.size - valid)
        self._repeats = self._repeats + 1 if self._is_repeat(frame) else 0
        self._before = frame
        return FrameMeasures(
            invalid=1.0 - valid / seen.size,
            saturated=at_end / valid if valid else 0.0,
            repeats=self._repeats,
        )

    def saturation(self, frame: RawFrame) -> str:
        """Which end of the range how much of a frame lies at, and what would fit."""
        levels = measure_levels(frame, self._spec)
        low, high = self._spec.range
        near, far = self._spec.quantity.low, self._spec.quantity.high
        return (
            f"{levels[FAR]:.0%} of the valid pixels at or beyond {far} = {high:g}, {levels[NEAR]:.0%} at or below "
            f"{near} = {low:g}. {advise(levels[np.newaxis], self._spec)}"
        )

    def _is_repeat(self, frame: RawFrame) -> bool:
        before = self._before
        if before is None or before.shape != frame.shape:
            return False
        # Noise makes frames of a working sensor differ in a few pixels: look at one row first.
        row, equal_nan = len(frame) // 2, self._spec.is_float
        return np.array_equal(frame[row], before[row], equal_nan) and np.array_equal(frame, before, equal_nan)


def flags_of(frame: RawFrame, spec: SensorSpec) -> tuple[str, ...]:
    """Flags that a frame raises alone, without those before it: "invalid", "saturated". (H, W), checked."""
    measures = Measurer(spec).measure(frame)
    values = {"invalid": measures.invalid, "saturated": measures.saturated}
    return tuple(name for name, value in values.items() if value >= LIMITS[name])


def invalid_share(frame: RawFrame, spec: SensorSpec) -> float:
    """Share 0 to 1 of a frame's pixels without a measurement. (H, W), checked."""
    return Measurer(spec).measure(frame).invalid


class Health:
    """Raises and lowers flags.

    Args:
        live: whether the source is; a recording may well hold one frame many times.

    Attributes:
        invalid: share 0 to 1 of the newest frame's pixels without a measurement.
    """

    def __init__(self, spec: SensorSpec, live: bool) -> None:
        self._measurer = Measurer(spec)
        self.invalid = 0.0
        self._names = [name for name in LIMITS if live or name != "frozen"]
        self._active: dict[str, bool] = {}
        self._against = dict.fromkeys(
            LIMITS, 0
        )  # frames in a row that speak against the flag's present state

    def look(self, frame: RawFrame, time: float) -> tuple[list[str], list[HealthEvent]]:
        """Flags that are on after ``frame``, and the events of those that changed.

        Args:
            frame: (H, W), checked against the SensorSpec. time: its timestamp, Unix seconds.
        """
        measures = self._measurer.measure(frame)
        self.invalid = measures.invalid
        values = {
            "invalid": measures.invalid,
            "saturated": measures.saturated,
            "frozen": float(measures.repeats),
        }
        events: list[HealthEvent] = []
        for name in self._names:
            above, active = values[name] >= LIMITS[name], self._active.get(name, False)
            self._against[name] = self._against[name] + 1 if above != active else 0
            if self._against[name] >= (1 if name == "frozen" else STEADY):
                self._active[name], self._against[name] = above, 0
                text = self._measurer.saturation(frame) if name == "saturated" and above else ""
                events.append(HealthEvent(time, name, above, values[name], LIMITS[name], text))
        return [name for name in self._names if self._active.get(name)], events
