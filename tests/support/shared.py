"""What several workers need and is costly to make: made by the first, read by all."""

from __future__ import annotations

import fcntl
from collections.abc import Callable
from pathlib import Path

import pytest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder of the whole run, whichever worker fills it; nobody may change it.

    Args:
        factory: of this worker, whose folder lies in that of the run. name: of the folder.
        make: fills an empty folder. Where it fails, whoever asks next tries again in another one.
    """
    own = factory.getbasetemp()
    place = (own.parent if own.name.startswith("popen-") else own) / "made-once"
    place.mkdir(exist_ok=True)
    with (place / f"{name}.lock").open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        if text := lock.read():
            return Path(text)
        folder = factory.mktemp(name)
        make(folder)
        lock.write(str(folder))
    return folder
