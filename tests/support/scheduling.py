"""In which order several workers take the tests: file by file, and those that measure time last."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from xdist.scheduler import LoadFileScheduling

from tests.support.turns import lock_of

ALONE = "alone"


class FilesThenAlone(LoadFileScheduling):  # type: ignore[misc]
    """A file's tests go to one worker, which shares what they make; those marked ``alone`` go together, last.

    Spread over the run, each of them would wait for the other workers' tests, and hold them up.
    """

    _alone: frozenset[str] = frozenset()

    def schedule(self) -> None:
        """Called when every worker has collected its tests, and so has written which of them are ``alone``."""
        listed = list_of_alone(self.nodes[0].workerinput["testrunuid"])
        if self.collection is None and listed.exists():
            self._alone = frozenset(listed.read_text(encoding="utf-8").splitlines())
        super().schedule()

    def _split_scope(self, nodeid: str) -> str:
        return ALONE if nodeid in self._alone else str(super()._split_scope(nodeid))


def list_of_alone(run: str) -> Path:
    """The file in which a worker tells the scheduler, who collects nothing, which tests are ``alone``: an id a line."""
    return lock_of(run).with_suffix(".alone")


def order_for_workers(items: list[pytest.Item], run: str) -> None:
    """Sort in place: files with slow tests first, so that no worker ends with a long one; what is ``alone`` last."""
    alone = [item for item in items if item.get_closest_marker(ALONE) is not None]
    slow = {item.path for item in items if item.get_closest_marker("slow") is not None}
    items.sort(key=lambda item: (item in alone, item.path not in slow))
    mine = list_of_alone(run).with_suffix(f".{os.getpid()}")
    mine.write_text("".join(f"{item.nodeid}\n" for item in alone), encoding="utf-8")
    mine.replace(list_of_alone(run))  # whole, whichever worker is the last
