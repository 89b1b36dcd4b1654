"""Figures of a run that may last for months: memory does not grow with the number of frames."""

from __future__ import annotations

import math
from array import array
from collections import Counter, deque
from dataclasses import dataclass, field

STAGES = ("capture", "preprocess", "inference", "total")

AGE = "age"
"""Beside the stages, of live sources: from the frame's timestamp to its decision."""
"""The columns of ``ms``. capture: decoding or copying, without the wait for the camera. total: from the moment
that the frame was there until its answer was, the wait in the queue included."""


class Histogram:
    """Percentiles of positive numbers, from counts in logarithmic bins.

    A percentile is within ``RESOLUTION`` (1 %) of the exact one, for values from 1e-4 to 1e7 (in milliseconds: 0.1
    microseconds to 2.8 hours); values outside count as the nearest end. Smallest and largest are exact.
    """

    RESOLUTION = 0.01
    _LOWEST, _HIGHEST = 1e-4, 1e7
    _STEP = 2 * math.log1p(RESOLUTION)  # width of a bin: its middle is within RESOLUTION of both ends

    def __init__(self) -> None:
        bins = math.ceil(math.log(self._HIGHEST / self._LOWEST) / self._STEP) + 1
        self._counts = array("Q", bytes(8 * bins))
        self._total = 0
        self._smallest, self._largest = math.inf, -math.inf

    def __len__(self) -> int:
        return self._total

    def add(self, value: float) -> None:
        """Count one value. Raises ValueError for a negative or a non-finite one."""
        if not (math.isfinite(value) and value >= 0):
            raise ValueError(f"{value}: expected a finite number >= 0")
        clipped = min(max(value, self._LOWEST), self._HIGHEST)
        self._counts[int(math.log(clipped / self._LOWEST) / self._STEP)] += 1
        self._total += 1
        self._smallest, self._largest = min(self._smallest, value), max(self._largest, value)

    def percentile(self, percent: float) -> float:
        """The smallest value that ``percent`` of all values do not exceed (numpy's ``inverted_cdf``).

        Raises:
            ValueError: nothing was counted, or ``percent`` is not within 0 to 100.
        """
        if not self._total or not 0 <= percent <= 100:
            raise ValueError(f"percentile {percent} of {self._total} values")
        rank = max(1, math.ceil(percent / 100 * self._total))
        if rank == 1:
            return self._smallest
        if rank == self._total:
            return self._largest
        seen = 0
        for index, count in enumerate(self._counts):
            seen += count
            if seen >= rank:
                middle = self._LOWEST * math.exp((index + 0.5) * self._STEP)
                return min(max(middle, self._smallest), self._largest)
        raise AssertionError("the counts sum to the total")


class FrameRate:
    """Frames per second over the latest frames: at most ``window`` intervals, none older than ``seconds``."""

    def __init__(self, window: int = 120, seconds: float = 5.0) -> None:
        self._times: deque[float] = deque(maxlen=window + 1)
        self._seconds = seconds

    def tick(self, now: float) -> None:
        """One frame was finished at ``now``, in seconds of a clock that never goes back."""
        self._times.append(now)
        while len(self._times) > 2 and self._times[0] < now - self._seconds:
            self._times.popleft()

    def rate(self, now: float) -> float:
        """Frames per second at ``now``; 0 before the second frame. Falls towards 0 while no frame comes."""
        if len(self._times) < 2:
            return 0.0
        intervals = len(self._times) - 1
        regular = self._times[-1] - self._times[0]
        # One interval of silence is normal; from the second on the silence counts as time without a frame.
        silence = max(0.0, now - self._times[-1] - regular / intervals)
        return intervals / (regular + silence) if regular + silence > 0 else 0.0


@dataclass
class Statistics:
    """Running totals of one run.

    Attributes:
        frames: frames that were answered, with a label or with an error.
        bad: those among them that were answered with an error.
        labels: how often each class was first.
        ms: by stage of ``STAGES``, and AGE, milliseconds of every classified frame.
    """

    frames: int = 0
    bad: int = 0
    labels: Counter[str] = field(default_factory=Counter)
    ms: dict[str, Histogram] = field(default_factory=lambda: {stage: Histogram() for stage in (*STAGES, AGE)})
    rate: FrameRate = field(default_factory=FrameRate)

    def count_bad(self, now: float) -> None:
        """One frame could not be used; ``now`` in seconds of a monotonic clock."""
        self.frames += 1
        self.bad += 1
        self.rate.tick(now)

    def count(self, label: str, ms: dict[str, float], now: float) -> None:
        """One frame was classified; ``ms`` by stage, ``now`` in seconds of a monotonic clock."""
        self.frames += 1
        self.labels[label] += 1
        self.rate.tick(now)
        for stage, value in ms.items():
            self.ms[stage].add(value)

    def percentiles(self) -> dict[str, dict[str, float]]:
        """p50, p90 and p99 in milliseconds by stage; empty if no frame was classified."""
        return {
            stage: {f"p{percent}": round(histogram.percentile(percent), 3) for percent in (50, 90, 99)}
            for stage, histogram in self.ms.items()
            if len(histogram)
        }
