"""What several workers need and is costly to make: made by the first, read by all."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TypeVar

import pytest

T = TypeVar("T")


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder of the whole run, whichever worker fills it; nobody may change it.

    Args:
        factory: of this worker, whose folder lies in that of the run. name: of the folder.
        make: fills an empty folder. Where it fails, whoever asks next tries again in another one.
    """
    with _locked(_place(factory, "made-once") / f"{name}.lock") as lock:
        if text := lock.read():
            return Path(text)
        folder = factory.mktemp(name)
        make(folder)
        lock.write(str(folder))
    return folder


def made_seldom(
    factory: pytest.TempPathFactory,
    name: str,
    make: Callable[[Path], object],
    use: Callable[[Path], T],
    most: int = 8,
) -> T:
    """What ``use`` gives of a folder that is made where it is not among the last ``most`` that were used.

    For what would fill the disk if all of it were kept.

    Args:
        factory, name, make: as of :func:`made_once`. use: reads the folder, which is gone some time after.
    """
    place = _place(factory, "made-seldom")
    with _locked(place / "lock"):
        if (place / name).is_dir():
            os.utime(place / name)
            return use(place / name)
    new = factory.mktemp(name)
    make(new)  # meanwhile the other worker goes on, and may make the same
    with _locked(place / "lock"):
        shutil.rmtree(place / name, ignore_errors=True)
        new.rename(place / name)
        os.utime(place / name)
        kept = sorted(filter(Path.is_dir, place.iterdir()), key=lambda folder: folder.stat().st_mtime_ns)
        for folder in kept[:-most]:
            shutil.rmtree(folder)
        return use(place / name)


def _place(factory: pytest.TempPathFactory, name: str) -> Path:
    """A folder of the whole run."""
    own = factory.getbasetemp()
    place = (own.parent if own.name.startswith("popen-") else own) / name
    place.mkdir(exist_ok=True)
    return place


@contextmanager
def _locked(file: Path) -> Iterator[IO[str]]:
    """The file, read from its beginning, which no other worker has meanwhile."""
    with file.open("a+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        lock.seek(0)
        yield lock
