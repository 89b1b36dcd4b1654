"""Noticing a thread that does not come back from a driver call."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

Call = Literal["open", "read", "close"]


class Watched:
    """A thread that says when it enters and leaves calls which may hang. Made by one thread, asked by another.

    Attributes:
        abandoned: somebody gave this thread up. When it comes back it delivers nothing and cleans up after itself.
    """

    def __init__(self) -> None:
        self.thread: threading.Thread | None = None
        self.abandoned = False
        self._call: tuple[Call, float] | None = None

    @contextmanager
    def calling(self, call: Call) -> Iterator[None]:
        """While entered, the thread is inside ``call``."""
        self._call = (call, time.monotonic())
        try:
            yield
        finally:
            self._call = None

    def inside(self) -> tuple[Call, float] | None:
        """The call that the thread is in and for how many seconds already; None: in none."""
        entered = self._call  # one read: the other thread may change it at any time
        return None if entered is None else (entered[0], time.monotonic() - entered[1])

    @property
    def alive(self) -> bool:
        """The thread has not ended."""
        return self.thread is not None and self.thread.is_alive()
