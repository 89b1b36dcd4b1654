"""How far the report is: a line a step, and one every ten seconds within a long one, with the time that is left."""

from __future__ import annotations

import time
from collections.abc import Callable

from tgkt_edge.train.time_left import in_words

WIDTH = 79
"""Columns that a line fits."""

EVERY_S = 10.0
"""Seconds between two lines within a step."""


class ReportProgress:
    """Counts work in frames that a network processes; other steps count as so many frames.

    Args:
        total: of all steps. say: prints a line.
    """

    def __init__(
        self, total: float, say: Callable[[str], None], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._total, self._say, self._clock = total, say, clock
        self._began = self._last = clock()
        self._done = 0.0
        self._step, self._size, self._in_step = "", 0, 0

    def begin(self, step: str, size: int = 0) -> None:
        """A step starts: what it is, and how many frames it has (0: not counted)."""
        self._step, self._size, self._in_step = step, size, 0
        self._line()

    def advance(self, count: float) -> None:
        """So much of the work is done: frames, or the step's equivalent."""
        self._done += count
        self._in_step += int(count)
        if self._clock() - self._last >= EVERY_S and self._in_step < self._size:
            self._line()

    def end(self) -> None:
        """All is done: how long it took."""
        self._say(f"report: done in {self._clock() - self._began:.0f} s")

    def _line(self) -> None:
        self._last = self._clock()
        of = f" {self._in_step}/{self._size}" if self._in_step else f" {self._size}" if self._size else ""
        counted = f",{of} frames" if self._size else ""
        ending = f"{counted}{self._left()}"
        self._say(f"report: {self._step}"[: WIDTH - len(ending)] + ending)

    def _left(self) -> str:
        spent = self._last - self._began
        if self._done < 0.05 * self._total or spent <= 0:
            return ""
        return f", ETA {in_words(spent / self._done * max(0.0, self._total - self._done))}"
