"""The small buffer between two threads of the pipeline."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

T = TypeVar("T")


class Mailbox(Generic[T]):
    """Hands items from one writing thread to one reading thread, in order.

    Args:
        ahead: items that wait at most while ``latest`` is off; the writer then waits, too.
        ring: called in the writing thread after each item and at the end, for a reader of several mailboxes.

    Attributes:
        latest: a new item replaces those that nobody has taken yet, which count as dropped. Items put with ``keep``
            are never replaced.
        dropped: items that were replaced.
    """

    def __init__(
        self, ahead: int = 1, *, latest: bool = False, ring: Callable[[], None] | None = None
    ) -> None:
        if ahead < 1:
            raise ValueError(f"ahead = {ahead}: expected at least 1")
        self.latest, self.dropped = latest, 0
        self._ahead, self._ring = ahead, ring
        self._items: deque[tuple[T, bool]] = deque()  # (item, keep)
        self._changed = threading.Condition()
        self._finished = self._stopped = False
        self._error: Exception | None = None

    @property
    def ended(self) -> bool:
        """The writer has finished without an error, and everything was taken."""
        with self._changed:
            return self._finished and not self._items and self._error is None

    def put(self, item: T, *, keep: bool = False) -> bool:
        """Store one item, when there is room. False: the reader has stopped, or the writing was finished."""
        with self._changed:
            if keep:
                pass  # rare, and none may be lost: these do not wait for room
            elif self.latest:
                kept = [entry for entry in self._items if entry[1]]
                if len(kept) < len(self._items):
                    self.dropped += len(self._items) - len(kept)
                    self._items = deque(kept)
            else:
                self._changed.wait_for(
                    lambda: len(self._items) < self._ahead or self._stopped or self._finished
                )
            if self._stopped or self._finished:
                return False
            self._items.append((item, keep))
            self._changed.notify_all()
        if self._ring is not None:
            self._ring()
        return True

    def take(self, timeout: float | None = None) -> T | None:
        """The next item; None after ``timeout`` seconds (None: wait without limit), at the end, or once stopped.

        Raises:
            Exception: the one that the writer finished with, once the items before it are taken.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._items or self._finished or self._stopped, timeout)
            if self._stopped:
                return None
            if self._items:
                item, _ = self._items.popleft()
                self._changed.notify_all()
                return item
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            return None

    def finish(self, error: Exception | None = None) -> None:
        """The writer has no more; ``error`` is raised in the reader's thread. Only the first call counts."""
        with self._changed:
            if not self._finished:
                self._finished, self._error = True, error
                self._changed.notify_all()
        if self._ring is not None:
            self._ring()

    def stop(self) -> None:
        """The reader wants no more: what waits is forgotten, and a waiting writer wakes up."""
        with self._changed:
            self._stopped = True
            self._items.clear()
            self._changed.notify_all()
