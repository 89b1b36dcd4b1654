"""Does the device still see what it was adapted to? Three health flags, where the bundle holds statistics.

- ``input_drift``: over half of the newest frames (WINDOW of them) are unlike every adaptation frame
  (:mod:`tgkt_edge.monitoring.input_distance`): a dirty or covered lens, another unit, another sensor, a kind of place
  never seen.
- ``upside_down``: over half of them look like adaptation frames that were turned upside down
  (:mod:`tgkt_edge.monitoring.orientation`); only where upper and lower half of adaptation frames differ.
- ``class_drift``: the answers to the newest *different* views have shares of classes, or are as unsure, as windows of
  adaptation frames never are (:mod:`tgkt_edge.monitoring.class_windows`). A camera that does not move never gathers
  enough views.

The modules that compute the limits state how often each flag is raised without cause. Of a live source a frame every
PERIOD seconds of its own time is looked at, so that no flag depends on the frame rate; of a recording every frame.
"""

from __future__ import annotations

from collections import deque

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.monitoring.class_windows import Views
from tgkt_edge.monitoring.input_distance import describe
from tgkt_edge.monitoring.orientation import tilt
from tgkt_edge.monitoring.reference_stats import Statistics
from tgkt_edge.runtime.events import HealthEvent

WINDOW = 50
"""Newest frames that ``input_drift`` and ``upside_down`` are decided on: 10 seconds of a live source that gives 5 or
more a second."""

PERIOD = 0.2
"""Seconds between two frames of a live source that are looked at."""

MIN_FRAMES = 10
"""Frames of the window that must be there."""

OLDEST = 600.0
"""Seconds after which a frame no longer counts for ``input_drift`` and ``upside_down``."""

OLDEST_VIEW = 86_400.0
"""Seconds after which a view that was not seen again no longer counts for ``class_drift``: a day."""

CALM = 0.75
"""Both end once this share of the window is within the limit; raised once half of it is beyond."""

CALM_CLASSES = 0.75
"""``class_drift`` ends at this part of its limit."""

_FLAG_OF = {"input": "input_drift", "classes": "class_drift"}

Floats = NDArray[np.float32]


class Drift:
    """Compares a run with the statistics of its bundle.

    Args:
        live: whether frames come from a camera, whose timestamps mean something.
    """

    def __init__(self, statistics: Statistics, live: bool) -> None:
        self._normal, self._answers, self._live = statistics.input, statistics.answers, live
        self._upright = statistics.upright
        # time, distance, and whether it is upside down
        self._recent: deque[tuple[float, float, bool]] = deque(maxlen=WINDOW)
        self._views = Views(statistics.answers, statistics.input.weights)
        self._distances = {"input": 0.0, **({"classes": 0.0} if self._answers.limits else {})}
        self._active = {_FLAG_OF[name]: False for name in self._distances}
        if self._upright is not None:
            self._active["upside_down"] = False
        self._last: float | None = None

    def look(
        self, unit: Floats, invalid: float, probabilities: Floats, time: float
    ) -> tuple[dict[str, float], list[str], list[HealthEvent]]:
        """Take one more frame into account.

        Args:
            unit: (1, S, S) float32, the network's input. invalid: the raw frame's share of invalid pixels, 0 to 1.
            probabilities: (K,) the network's own, not calibrated. time: the frame's timestamp, seconds.

        Returns:
            the distances ``input`` and ``classes``, multiples of their limits, the flags that are on, and the events
            of those that changed. ``classes`` is 0 before there are enough views, and missing, as its flag is, where
            there were too few adaptation frames for it.
        """
        events: list[HealthEvent] = []
        # A clock that was set back must not stop the watch.
        if not self._live or self._last is None or not 0 <= time - self._last < PERIOD:
            self._last = time
            description = describe(unit, invalid)
            turned = self._upright is not None and self._upright.turned(tilt(unit))
            self._measure_input(self._normal.distance(description), turned, time)
            self._measure_answers(description, probabilities, time)
            events = self._switch(time)
        shown = {name: round(value, 4) for name, value in self._distances.items()}
        return shown, [name for name, active in self._active.items() if active], events

    def cleared(self, time: float) -> list[HealthEvent]:
        """Events that switch off every flag that is on: another bundle takes over, with other limits."""
        return [HealthEvent(time, name, False, 0.0, 1.0) for name, active in self._active.items() if active]

    def _measure_input(self, distance: float, turned: bool, time: float) -> None:
        if self._live:
            while self._recent and abs(time - self._recent[0][0]) > OLDEST:
                self._recent.popleft()
        self._recent.append((time, distance, turned))
        self._distances["input"] = _quantile([value for _, value, _ in self._recent], 0.5)

    def _measure_answers(self, description: Floats, probabilities: Floats, time: float) -> None:
        if not self._answers.limits:
            return
        if self._live:
            self._views.forget(time, OLDEST_VIEW)
        self._distances["classes"] = self._views.see(description, probabilities, time)

    def _switch(self, time: float) -> list[HealthEvent]:
        """Turn flags on and off; the events of those that changed."""
        recent = [value for _, value, _ in self._recent]
        turned = sum(turned for _, _, turned in self._recent) / len(self._recent)
        expected = dict(self._active)
        if len(recent) >= MIN_FRAMES:
            if "upside_down" in expected and not 1 - CALM < turned <= 0.5:
                expected["upside_down"] = turned > 0.5
            if self._distances["input"] > 1:
                expected["input_drift"] = True
            elif _quantile(recent, CALM) <= 1:
                expected["input_drift"] = False
        classes = self._distances.get("classes")
        if classes is not None and not CALM_CLASSES < classes <= 1:
            expected["class_drift"] = classes > 1
        values = {_FLAG_OF[name]: (value, 1.0) for name, value in self._distances.items()}
        values["upside_down"] = turned, 0.5
        events = [
            HealthEvent(time, name, active, *values[name])
            for name, active in expected.items()
            if active != self._active[name]
        ]
        self._active = expected
        return events


def _quantile(values: list[float], share: float) -> float:
    """The smallest value that at least ``share`` of all do not exceed."""
    ordered = sorted(values)
    return ordered[max(0, -(-int(share * 100) * len(ordered) // 100) - 1)]
