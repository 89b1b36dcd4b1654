"""``jsonl:-``: JSON lines on stdout, written by the thread that decides, which no reader may hold up."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TextIO

from tgkt_edge.errors import TgktEdgeError
from tgkt_edge.runtime.output.nonblocking import Outlet
from tgkt_edge.runtime.sinks.base import DirectSink, Message, ReaderGoneError, RunInfo

STDOUT = "jsonl:-"
"""Its URI."""

QUEUE = 10_000
"""Lines of a camera that wait at most for a reader: ten minutes at 15 fps. With more the oldest are lost."""


class StdoutSink(DirectSink):
    """Writes one JSON object a line, at once if the stream takes it.

    A reader that is slow or stopped holds up frames of files, which can wait, but no frame of a camera: its lines are
    kept, in order. In neither case does it hold up a signal. Lines are whole; only one of over 4 KiB may end in its
    middle, where the reader has stopped within it and the run is over.

    Args:
        stream: usually stdout; every line is flushed.
        stopping: whether the run was told to end; then little is waited for.
    """

    name = STDOUT

    def __init__(self, stream: TextIO, stopping: Callable[[], bool] = lambda: False) -> None:
        self._outlet = Outlet(stream, QUEUE, stopping)
        self.on_terminal = stream.isatty()

    @property
    def lost(self) -> int:
        """Lines that nobody took in time."""
        return self._outlet.lost

    def open(self, info: RunInfo) -> None:
        """Nothing to do."""

    def write(self, message: Message, *, patient: bool = False) -> None:
        """Write one record, after those that wait; see :meth:`DirectSink.write`."""
        with _told():
            self._outlet.put(message.text + "\n")
            if patient:
                self._outlet.wait()

    def flush(self) -> None:
        """See :meth:`DirectSink.flush`."""
        with _told():
            self._outlet.flush()

    def finish(self, seconds: float) -> None:
        """See :meth:`DirectSink.finish`."""
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
