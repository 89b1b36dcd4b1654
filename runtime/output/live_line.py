"""The state of a run as one line for people."""

from __future__ import annotations

import contextlib
import logging
import shutil
import threading
import time
from collections.abc import Callable
from typing import TextIO

from tgkt_edge.notes import LOGGER, phrase
from tgkt_edge.runtime.output.nonblocking import Outlet

_SAID = 1000  # texts that wait at most


class LiveLine:
    """The state of a run for people: one line rewritten in place on a terminal, else a line every few seconds.

    Args:
        stream: usually stderr. One that fails is not written to again, and nobody waits for one that is not drained:
            the results matter more. What was to be said waits until there is room, or :meth:`finish`.
        enabled: False writes nothing.
        period: seconds between two lines where ``stream`` is not a terminal.
        stopping: whether the run was told to end; then :meth:`finish` hurries.
    """

    _REFRESH = 0.1  # seconds between two rewrites on a terminal
    _STEADY = 2.0  # seconds that an answer stays while no other comes: a camera of 5 fps is not "waiting" in between

    def __init__(
        self,
        stream: TextIO,
        *,
        enabled: bool = True,
        period: float = 5.0,
        stopping: Callable[[], bool] = lambda: False,
    ) -> None:
        self._enabled = enabled
        self._terminal = stream.isatty()
        self._period = self._REFRESH if self._terminal else period
        self._last = time.monotonic() - (self._period if self._terminal else 0.0)
        self._answered = float("-inf")
        self._shown = False
        self._outlet = Outlet(stream, _SAID, stopping)
        self._lock = threading.Lock()  # sinks complain in threads of their own

    def due(self, *, waiting: bool = False) -> bool:
        """Whether to call :meth:`show` now: asked first, so that the text is only made when needed.

        Args:
            waiting: there is no new answer. The latest one then stays in place for two seconds.
        """
        now = time.monotonic()
        if not waiting:
            self._answered = now
        elif now - self._answered < self._STEADY:
            return False
        return self._enabled and now - self._last >= self._period

    def show(self, text: str) -> None:
        """Write ``text`` in place of the line before it."""
        self._last = time.monotonic()
        if self._outlet.waits:
            self._say("")  # what was said comes first
        elif self._terminal:
            width = shutil.get_terminal_size().columns - 1
            self._say(f"\r{text[:width]}\x1b[K")
            self._shown = True
        else:
            self._say(text + "\n")

    def clear(self) -> None:
        """Take the line away, before other text is written to the same terminal."""
        if self._shown:
            self._say("\r\x1b[K")
            self._shown = False

    @property
    def informs(self) -> bool:
        """Whether :meth:`inform` says anything."""
        return LOGGER.level <= logging.INFO

    def inform(self, text: str) -> None:
        """:meth:`say` of what is no note: nothing while the logger ``tgkt_edge`` is above INFO (``-q``)."""
        if self.informs:
            self.say(text)

    def say(self, text: str) -> None:
        """Write ``text`` as lines of their own, whether the live line is enabled or not."""
        self.clear()
        self._say(phrase(text) + "\n")

    def _say(self, text: str) -> None:
        with self._lock:
            try:
                self._outlet.put(text)
            except OSError:
                self._enabled = False

    def finish(self, seconds: float) -> None:
        """Give the reader ``seconds`` to take what was said."""
        with self._lock, contextlib.suppress(OSError):
            self._outlet.finish(seconds)
