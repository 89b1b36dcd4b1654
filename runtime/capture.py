"""A thread that reads a source, and the small buffer between it and inference."""

from __future__ import annotations

import threading
import time
from collections import deque
from types import TracebackType
from typing import Literal

from tgkt_edge.runtime.sources.base import Captured, FrameSource

Drop = Literal["latest", "none"]

_AHEAD = 2  # frames of a recording read ahead: one being decoded, one waiting


class Capture:
    """Reads ``source`` in a thread of its own; a context manager that starts and stops it.

    The source belongs to this thread from here on: the thread closes it. A camera's driver may hang inside
    ``read``; closing it from another thread would crash the process, so a hung one is left behind (the thread is a
    daemon and does not keep the program alive).

    Args:
        source: an open source.
        drop: "latest": a new frame replaces one that nobody has taken yet, which counts as dropped; "none": reading
            waits until there is room.
    """

    def __init__(self, source: FrameSource, drop: Drop) -> None:
        self._source, self._drop = source, drop
        self._buffer: deque[tuple[Captured, float]] = deque()
        self._changed = threading.Condition()
        self._stopping = False
        self._finished = False
        self._error: Exception | None = None
        self._dropped = 0
        self._thread = threading.Thread(target=self._work, name="tgkt-edge capture", daemon=True)

    def __enter__(self) -> Capture:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    @property
    def dropped(self) -> int:
        """Frames that were replaced before anybody took them."""
        return self._dropped

    @property
    def ended(self) -> bool:
        """The source delivers no more, and everything it delivered was taken."""
        with self._changed:
            return self._finished and not self._buffer and self._error is None

    def take(self, timeout: float) -> tuple[Captured, float] | None:
        """The next frame and when it was in memory (``time.perf_counter``); None after ``timeout`` seconds, or at
        the end.

        Raises:
            Exception: whatever ``read`` raised, once the frames before it are taken.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._buffer or self._finished, timeout)
            if self._buffer:
                item = self._buffer.popleft()
                self._changed.notify_all()
                return item
            if self._error is not None:
                error, self._error = self._error, None
                raise error
            return None

    def stop(self, timeout: float = 2.0) -> bool:
        """End the thread and close the source. False: it hangs inside the driver and was left behind."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        self._thread.join(timeout)
        return not self._thread.is_alive()

    def _work(self) -> None:
        try:
            with self._source:
                while not self._stopping:
                    captured = self._source.read()
                    if captured is None or not self._put(captured, time.perf_counter()):
                        break
        except Exception as error:  # noqa: BLE001 - raised again by take(), in the reader's thread
            self._error = error
        finally:
            with self._changed:
                self._finished = True
                self._changed.notify_all()

    def _put(self, captured: Captured, arrived: float) -> bool:
        """Store a frame, when there is room; False: the reader has stopped."""
        with self._changed:
            if self._drop == "latest":
                self._dropped += len(self._buffer)
                self._buffer.clear()
            else:
                self._changed.wait_for(lambda: len(self._buffer) < _AHEAD or self._stopping)
            if self._stopping:
                return False
            self._buffer.append((captured, arrived))
            self._changed.notify_all()
            return True
