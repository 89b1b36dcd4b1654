"""When a lost camera is opened again, and what is reported meanwhile."""

from __future__ import annotations

import random
from dataclasses import dataclass, field

from tgkt_edge.errors import UsageError


@dataclass(frozen=True)
class Backoff:
    """Waits that double up to a limit, shortened by chance, so that many devices do not return in step.

    Attributes:
        first, most: seconds before the first and at most before any attempt.
        jitter: share 0 to 1 of each wait that is left to chance: 0.5 waits between half of it and all of it.
    """

    first: float = 0.5
    most: float = 30.0
    jitter: float = 0.5

    def seconds(self, failures: int, chance: float) -> float:
        """The wait after ``failures`` failures in a row, at least 1; ``chance`` is uniform in [0, 1)."""
        full = min(self.first * 2.0 ** min(failures - 1, 60), self.most)
        return full * (1.0 - self.jitter * chance)


@dataclass(frozen=True)
class Retry:
    """How patient a run is with a live source. Recordings are never opened again.

    Attributes:
        limit: failures in a row, without one frame between them, after which the run gives up; None: never.
        wait: seconds during which the very first opening may fail, for a camera that is late at boot.
        stall: seconds without a frame after which the source counts as stalled.
        hung_read, hung_open: seconds in one driver call after which its thread is left behind and the source opened
            again. Longer than the sources' own time limits, which end a wait in an orderly way.
        most_hung: threads left behind at a time. With one more the run ends: only a new process gets rid of them.
        held: seconds without one frame after a thread began to hang, and still does, after which the run ends, too: the
            driver may hold the device in that thread, so that nobody else can open it.
        backoff: the waits between two attempts.
    """

    limit: int | None = None
    wait: float = 0.0
    stall: float = 5.0
    hung_read: float = 20.0
    hung_open: float = 60.0
    most_hung: int = 3
    held: float = 120.0
    backoff: Backoff = field(default_factory=Backoff)

    def __post_init__(self) -> None:
        if self.limit is not None and self.limit < 0:
            raise UsageError(f"`max_retries={self.limit}`: expected at least 0")
        if not self.wait >= 0:
            raise UsageError(f"`wait={self.wait}`: expected at least 0 seconds")
        if not self.stall > 0:
            raise UsageError(f"`stall={self.stall}`: expected more than 0 seconds")

    def delay(self, failures: int) -> float:
        """Seconds to wait now, after ``failures`` failures in a row."""
        return self.backoff.seconds(failures, random.random())


NEVER = Retry(limit=0)
"""A loss ends the run."""
