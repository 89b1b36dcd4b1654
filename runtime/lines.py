"""JSON lines on stdout, written by the thread that decides, which no reader may hold up."""

from __future__ import annotations

import contextlib
import json
import select
import time
from collections import deque
from collections.abc import Callable
from typing import Any, TextIO

from tgkt_edge.errors import TgktEdgeError

QUEUE = 10_000
"""Lines of a camera that wait at most for a reader: ten minutes at 15 fps. With more the oldest are lost."""

_PIECE = 4096  # bytes that a pipe takes without waiting once it says that there is room (PIPE_BUF of Linux)
_LOOK = 0.1  # seconds between two looks at whether to stop


class Room:
    """Whether a stream takes text now. A file, or a stream that is none of the system's, always does.

    Several threads may ask at once.
    """

    def __init__(self, stream: TextIO) -> None:
        self._number: int | None = None
        with contextlib.suppress(OSError, ValueError):  # in memory, or closed
            self._number = stream.fileno()

    def within(self, seconds: float) -> bool:
        """Wait for room at most so long. True also for a pipe without a reader: writing will say so."""
        if self._number is None:
            return True
        poll = select.poll()  # a new one each time: one that another thread waits with cannot be used
        poll.register(self._number, select.POLLOUT)
        return bool(poll.poll(seconds * 1e3))


class ReaderGoneError(Exception):
    """Nobody reads stdout any more: the end of a run like any other."""


class JsonLines:
    """Writes one JSON object a line, at once if the stream takes it.

    A reader that is slow or stopped holds up frames of files, which can wait, but no frame of a camera: its lines are
    kept, in order. In neither case does it hold up a signal.

    Args:
        stream: usually stdout; every line is flushed.
        stopping: whether the run was told to end; then nothing is waited for.

    Attributes:
        lost: lines that nobody took in time.
    """

    def __init__(self, stream: TextIO, stopping: Callable[[], bool] = lambda: False) -> None:
        self._stream, self._stopping = stream, stopping
        self._room = Room(stream)
        self._waiting: deque[str] = deque()
        self.lost = 0
        self.on_terminal = stream.isatty()

    def write(self, record: dict[str, Any], *, patient: bool) -> None:
        """Write one record, after those that wait.

        Args:
            patient: wait until the reader took it, or the run is told to end.

        Raises:
            ReaderGoneError: nobody reads any more.
            TgktEdgeError: (exit 1) it cannot be written, e.g. the disk is full.
        """
        self._waiting.append(json.dumps(record, allow_nan=False) + "\n")
        self.flush()
        while patient and self._waiting and not self._stopping():
            self.flush(_LOOK)
        if len(self._waiting) > QUEUE:
            self._waiting.popleft()
            self.lost += 1

    def flush(self, seconds: float = 0.0) -> None:
        """Write what the reader takes; wait at most ``seconds`` for the first of it. Raises as :meth:`write`."""
        try:
            while self._waiting and self._room.within(seconds):
                text, seconds = self._waiting.popleft(), 0.0
                if len(text) > _PIECE:  # ASCII, so characters are bytes
                    self._waiting.appendleft(text[_PIECE:])
                self._stream.write(text[:_PIECE])
                self._stream.flush()
        except BrokenPipeError as error:
            raise ReaderGoneError from error
        except OSError as error:
            raise TgktEdgeError(f"cannot write the results: {error.strerror or error}") from error

    def finish(self, seconds: float) -> None:
        """Write what waits, within ``seconds``; what is not taken by then is lost. Raises as :meth:`write`."""
        deadline = time.monotonic() + seconds
        while self._waiting and (left := deadline - time.monotonic()) > 0:
            self.flush(min(left, _LOOK))
        self.lost += len(self._waiting)
        self._waiting.clear()
