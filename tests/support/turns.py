"""Two tests at a time, except where one measures time: then the other worker waits."""

from __future__ import annotations

import fcntl
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def turn(lock: Path, *, alone: bool) -> Iterator[None]:
    """Hold a shared lock, or the only one.

    Whoever waits for the only one keeps the gate shut, so that others who come later do not hold it up for ever.

    Args:
        lock: a file that all workers name; ``.gate`` is added for a second one.
    """
    with lock.with_suffix(".gate").open("w") as gate, lock.open("w") as held:
        fcntl.flock(gate, fcntl.LOCK_EX)
        fcntl.flock(held, fcntl.LOCK_EX if alone else fcntl.LOCK_SH)
        fcntl.flock(gate, fcntl.LOCK_UN)
        yield


def lock_of(run: str) -> Path:
    """The file that all workers of a run of pytest-xdist lock, by the run's id."""
    return Path(tempfile.gettempdir()) / f"tgkt-edge-tests-{run}.lock"
