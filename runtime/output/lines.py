"""JSON lines on stdout, written by the thread that decides, which no reader may hold up."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TextIO

from tgkt_edge.errors import TgktEdgeError
from tgkt_edge.runtime.output.nonblocking import Outlet

QUEUE = 10_000
"""Lines of a camera that wait at most for a reader: ten minutes at 15 fps. With more the oldest are lost."""


class ReaderGoneError(Exception):
    """Nobody reads stdout any more: the end of a run like any other."""


class JsonLines:
    """Writes one JSON object a line, at once if the stream takes it.

    A reader that is slow or stopped holds up frames of files, which can wait, but no frame of a camera: its lines are
    kept, in order. In neither case does it hold up a signal. Lines are whole; only one of over 4 KiB may end in its
    middle, where the reader has stopped within it and the run is over.

    Args:
        stream: usually stdout; every line is flushed.
        stopping: whether the run was told to end; then little is waited for.
    """

    def __init__(self, stream: TextIO, stopping: Callable[[], bool] = lambda: False) -> None:
        self._outlet = Outlet(stream, QUEUE, stopping)
        self.on_terminal = stream.isatty()

    @property
    def lost(self) -> int:
        """Lines that nobody took in time."""
        return self._outlet.lost

    def write(self, record: dict[str, Any], *, patient: bool) -> None:
        """Write one record, after those that wait.

        Args:
            patient: wait until the reader took it, or the run is told to end.

        Raises:
            ReaderGoneError: nobody reads any more.
            TgktEdgeError: (exit 1) it cannot be written, e.g. the disk is full.
        """
        with _told():
            self._outlet.put(json.dumps(record, allow_nan=False) + "\n")
            if patient:
                self._outlet.wait()

    def flush(self) -> None:
        """Write what the reader takes now. Raises as :meth:`write`."""
        with _told():
            self._outlet.flush()

    def finish(self, seconds: float) -> None:
        """Write what waits, within ``seconds``; what is not taken by then is lost. Raises as :meth:`write`."""
        with _told():
            self._outlet.finish(seconds)


@contextmanager
def _told() -> Iterator[None]:
    try:
        yield
    except BrokenPipeError as error:
        raise ReaderGoneError from error
    except OSError as error:
        raise TgktEdgeError(f"cannot write the results: {error.strerror or error}") from error
