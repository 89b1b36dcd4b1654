"""When a frame was taken, from a driver's monotonic timestamp and two clocks of this machine."""

from __future__ import annotations

import time

_OLDEST = 10.0  # seconds; a driver's timestamp further away than this follows another clock
_SET = 1.0  # seconds; a system clock that goes back further than this was set, and is followed
_APART = 5e-5  # seconds that the two clocks may be read apart
_READINGS = 5


def both_clocks() -> tuple[float, float]:
    """Monotonic and Unix seconds of one moment: read without an interruption between them, if five tries suffice."""
    best = (0.0, 0.0, float("inf"))
    for _ in range(_READINGS):
        before, unix = time.clock_gettime(time.CLOCK_MONOTONIC), time.time()
        apart = time.clock_gettime(time.CLOCK_MONOTONIC) - before
        if apart < best[2]:
            best = (before + apart / 2, unix, apart)
        if apart < _APART:
            break
    return best[:2]


class FrameClock:
    """Unix times of the frames of one stream, which never go back unless the driver's own do.

    A system clock that is corrected backwards by up to a second is approached at half speed; one that is set further
    back is followed at once.
    """

    def __init__(self) -> None:
        self._before: tuple[float, float] | None = None  # tick and Unix time of the frame before
        self._stamped = False  # whether its tick was the driver's

    def unix_time(self, stamp: float | None, monotonic: float, unix: float) -> float:
        """When a frame was taken, Unix seconds.

        Args:
            stamp: the driver's time of the frame, seconds of the monotonic clock; None: it keeps another clock.
            monotonic, unix: the moment at which the frame was handed over, by either clock; see :func:`both_clocks`.
        """
        stamped = stamp is not None and 0 <= monotonic - stamp < _OLDEST
        tick = stamp if stamped and stamp is not None else monotonic
        taken = unix - (monotonic - tick)
        if self._before is not None:
            step = tick - self._before[0]
            if self._stamped is not stamped:  # the ticks of two clocks say nothing about each other
                step = 0.0
            if step >= 0 and 0 < self._before[1] - taken < _SET:
                taken = self._before[1] + step / 2
        self._before, self._stamped = (tick, taken), stamped
        return taken
