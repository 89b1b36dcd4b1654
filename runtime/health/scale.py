"""Does the sensor count in the unit that it counted in at adaptation? The health flag ``wrong_scale``.

Raised where over half of the newest frames are off, as :mod:`tgkt_edge.monitoring.value_scale` says, and one factor
explains them; its event holds ``factor``, for depth ``likely_unit_m``, and what to do in ``text``. It ends once three
quarters are not off. Looks as often as :mod:`tgkt_edge.runtime.health.drift`.
"""

from __future__ import annotations

from collections import deque
from dataclasses import replace

import numpy as np

from tgkt_edge.data.levels import Levels, measure_levels
from tgkt_edge.monitoring.value_scale import Rescaling, ValueScale
from tgkt_edge.runtime.events import HealthEvent
from tgkt_edge.runtime.health.drift import CALM, MIN_FRAMES, OLDEST, PERIOD, WINDOW
from tgkt_edge.sensor import RawFrame, SensorSpec

FLAG = "wrong_scale"

EVERY = 10
"""Frames between two searches for a factor while frames are off and none explains them: a search takes milliseconds."""


class ScaleWatch:
    """Compares the values of frames with those of the adaptation frames.

    Args:
        spec: what the frames of this run mean. live: whether they come from a camera, whose timestamps mean something.
    """

    def __init__(self, scale: ValueScale, spec: SensorSpec, live: bool) -> None:
        self._scale, self._spec, self._live = scale, spec, live
        self._recent: deque[tuple[float, Levels, float]] = deque(maxlen=WINDOW)  # time, levels, excess
        self._active = False
        self._last: float | None = None
        self._looks = 0
        self._distance = 0.0

    def look(self, frame: RawFrame, time: float) -> tuple[float, list[str], list[HealthEvent]]:
        """Take one more raw frame that fits the spec into account; ``time``: its timestamp, seconds.

        Returns:
            The median distance of the newest frames, in limits; the flag if it is on; the event if it changed.
        """
        if self._live and self._last is not None and 0 <= time - self._last < PERIOD:
            return self._distance, [FLAG] if self._active else [], []
        self._last = time
        levels = measure_levels(frame, self._spec)
        if not np.isfinite(levels).all():
            return self._distance, [FLAG] if self._active else [], []
        while self._live and self._recent and abs(time - self._recent[0][0]) > OLDEST:
            self._recent.popleft()
        self._recent.append((time, levels, float(self._scale.excess(levels[np.newaxis])[0])))
        self._looks += 1
        self._distance = round(float(np.median([excess for _, _, excess in self._recent])), 4)
        events = self._switch(time) if len(self._recent) >= MIN_FRAMES else []
        return self._distance, [FLAG] if self._active else [], events

    def cleared(self, time: float) -> list[HealthEvent]:
        """That the flag, if it is on, is no longer looked after."""
        return [HealthEvent(time, FLAG, False, 0.0, 1.0)] if self._active else []

    def _switch(self, time: float) -> list[HealthEvent]:
        calm = sum(excess <= 1 for _, _, excess in self._recent) >= CALM * len(self._recent)
        if self._active and not calm:
            return []
        if not self._active and self._looks % EVERY and len(self._recent) > MIN_FRAMES:
            return []
        found = self._scale.rescaling(np.stack([levels for _, levels, _ in self._recent]), self._spec)
        if (found is not None) == self._active:
            return []
        self._active = found is not None
        event = HealthEvent(time, FLAG, self._active, self._distance, 1.0)
        return [_explained(event, found) if found is not None else event]


def _explained(event: HealthEvent, found: Rescaling) -> HealthEvent:
    unit = None if found.unit_m is None else float(f"{found.unit_m:.6g}")
    return replace(event, text=found.text, factor=float(f"{found.factor:.6g}"), likely_unit_m=unit)
