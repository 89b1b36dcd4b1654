"""From the probabilities of single frames to decisions: smoothed over time, steady, and "unknown" where unsure."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import UsageError
from tgkt_edge.runtime.records import Candidate

UNKNOWN = "unknown"
"""The label where no class is likely enough."""

MARGIN = 0.1
"""How far another class must be ahead of the one that was decided before it takes over, while smoothing is on."""


class Decider:
    """Decides frame by frame; without options the likeliest class of each frame alone.

    Args:
        classes: names in the order of the probabilities.
        smooth: time constant in seconds of an exponential average over the frames' timestamps, so that the answer
            does not depend on the frame rate; 0: none.
        min_confidence: 0 to 1; a smaller probability gives UNKNOWN.

    Raises:
        UsageError: (exit 2) a negative or non-finite ``smooth``, a ``min_confidence`` outside [0, 1], a class named
            like UNKNOWN together with ``min_confidence``.
    """

    def __init__(self, classes: Sequence[str], smooth: float = 0.0, min_confidence: float = 0.0) -> None:
        if not (math.isfinite(smooth) and smooth >= 0):
            raise UsageError(f"`smooth={smooth}`: expected 0 or more seconds")
        if not 0 <= min_confidence <= 1:
            raise UsageError(f"`min_confidence={min_confidence}`: expected a probability, 0 to 1")
        if min_confidence and UNKNOWN in classes:
            raise UsageError(
                f"`min_confidence`: the bundle has a class named '{UNKNOWN}', which could not be distinguished "
                f"from no answer"
            )
        self._classes, self._smooth, self._least = classes, smooth, min_confidence
        self._average: NDArray[np.float64] | None = None
        self._time = 0.0
        self._held = -1  # class decided before

    def decide(self, probabilities: NDArray[np.float32], time: float) -> Candidate:
        """What is decided after one more frame: a class or UNKNOWN, and the probability of the likeliest class.

        Args:
            probabilities: (K,), sum 1. time: the frame's timestamp in seconds; one that is not later than the frame's
                before, as after a clock was set back, counts as equal to it.
        """
        if not self._smooth:
            best = int(probabilities.argmax())
            return self._named(best, float(probabilities[best]))
        if self._average is None:
            self._average = probabilities.astype(np.float64)
        else:
            keep = math.exp(-max(0.0, time - self._time) / self._smooth)
            self._average = keep * self._average + (1 - keep) * probabilities
        self._time = time  # also an earlier one: after a clock was set back, time goes on from there
        best = int(self._average.argmax())
        if self._held < 0 or self._average[best] > self._average[self._held] + MARGIN:
            self._held = best
        return self._named(self._held, float(self._average[self._held]))

    def _named(self, index: int, probability: float) -> Candidate:
        return Candidate(self._classes[index] if probability >= self._least else UNKNOWN, probability)
