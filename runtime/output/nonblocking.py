"""Writing to stdout and stderr, which nobody may drain, without ever standing still for it."""

from __future__ import annotations

import os
import select
import stat
import time
import weakref
from collections import deque
from collections.abc import Callable
from typing import TextIO

PATIENCE = 30.0
"""Seconds that a run gives its readers, as its sinks, at the end, unless it is stopped."""

_PIECE = 4096  # bytes that a pipe takes in one go once it says that there is room (PIPE_BUF of Linux)
_LOOK = 0.1  # seconds between two looks at whether to stop
_HURRY = 0.2  # seconds for what waits, once the run is told to end


class Outlet:
    """Texts for a stream, in order. Those that it does not take at once wait, at most ``most`` of them.

    Used by one thread at a time. The stream's own buffer is passed by; nobody else should write to it meanwhile.

    Args:
        stopping: whether the run was told to end; then little is waited for.

    Attributes:
        lost: texts that were never taken, or not to their end.
    """

    def __init__(self, stream: TextIO, most: int, stopping: Callable[[], bool] = lambda: False) -> None:
        self._stream, self._most, self._stopping = stream, most, stopping
        self._waiting: deque[bytes] = deque()
        self._rest = b""  # of a text that may have been begun: it is never dropped for a newer one
        self.lost = 0
        self._number: int | None = None
        self._piece: int | None = _PIECE
        try:
            self._number = stream.fileno()
            stream.flush()
        except (OSError, ValueError):  # in memory, or closed
            return
        if stat.S_ISREG(os.fstat(self._number).st_mode):
            self._piece = None  # a disk makes nobody wait for a reader
        elif os.isatty(self._number):  # a terminal has room for less than a piece, and waits for the rest
            try:
                flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
                self._number = os.open(os.ttyname(self._number), flags)
                weakref.finalize(self, os.close, self._number)
            except OSError:  # not this user's: then pieces have to do
                pass

    @property
    def waits(self) -> bool:
        """Whether something was not taken yet."""
        return bool(self._rest or self._waiting)

    def put(self, text: str) -> None:
        """Add a text, and write what the stream takes now. Raises OSError as writing does."""
        self._waiting.append(text.encode(self._stream.encoding or "utf-8", "backslashreplace"))
        self.flush()
        if len(self._waiting) > self._most:
            self._waiting.popleft()
            self.lost += 1

    def flush(self, seconds: float = 0.0) -> None:
        """Write what the stream takes; wait at most ``seconds`` for the first of it. Raises OSError."""
        while self.waits:
            self._rest = self._rest or self._waiting.popleft()
            taken = self._write(self._rest, seconds)
            self._rest, seconds = self._rest[taken:], 0.0
            if not taken:
                return

    def wait(self) -> None:
        """Until everything is taken, or the run is told to end. Raises OSError."""
        while self.waits and not self._stopping():
            self.flush(_LOOK)

    def finish(self, seconds: float) -> None:
        """Write what waits, within ``seconds`` or hurriedly; the rest is lost. Raises OSError."""
        begin = time.monotonic()
        while self.waits:
            left = begin + (min(seconds, _HURRY) if self._stopping() else seconds) - time.monotonic()
            if left <= 0:
                break
            self.flush(min(left, _LOOK))
        self.lost += len(self._waiting) + bool(self._rest)
        self._waiting.clear()
        self._rest = b""

    def _write(self, data: bytes, seconds: float) -> int:
        """How much of ``data`` the stream took."""
        if self._number is None:
            self._stream.write(data.decode(self._stream.encoding or "utf-8"))
            self._stream.flush()
            return len(data)
        if self._piece is not None:
            # A new one each time: several outlets may ask for one stream at once. True also without a reader.
            poll = select.poll()
            poll.register(self._number, select.POLLOUT)
            if not poll.poll(seconds * 1e3):
                return 0
        try:
            return os.write(self._number, data[: self._piece])
        except BlockingIOError:
            return 0
