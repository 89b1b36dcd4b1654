"""What a run says to people: a live line and a summary."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, TextIO

from tgkt_edge.runtime.output.nonblocking import Outlet

Stopped = Literal["end", "max-frames", "interrupted", "terminated", "broken-pipe", "failed"]


@dataclass(frozen=True)
class RunSummary:
    """What one run did.

    Attributes:
        source: the camera's URI without any password in it.
        engine: library and device.
        frames: frames answered on stdout, with a label or with an error.
        bad: those among them answered with an error: unreadable, of another format, without a valid pixel.
        dropped: frames replaced by a newer one before inference was free.
        lost: frames that the camera's driver took and could not deliver, by the gaps in its own numbering.
        format: what a camera delivered: "Z16 640x480".
        seconds: from the first request for a frame to the last answer.
        fps: ``frames / seconds``.
        ms: by stage (capture, preprocess, inference, total; age of a live source's decisions) p50, p90 and p99 in
            milliseconds, within 1 %.
        labels: how many frames each class won.
        stopped: why the run ended: the recording's end, ``max_frames``, SIGINT, SIGTERM, nobody read stdout any
            more, or a failure that follows as an exception.
        reconnects: how often a camera was lost and opened again.
        sinks: by sink, messages that were lost (it was too slow, or its buffer full) and messages that it did not write
            at the first try; those it kept and wrote later count, too.
        undelivered: by sink that delivered not one of its messages, why.
    """

    source: str
    engine: str
    frames: int
    bad: int
    dropped: int
    seconds: float
    fps: float
    ms: dict[str, dict[str, float]] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    stopped: Stopped = "end"
    reconnects: int = 0
    sinks: dict[str, tuple[int, int]] = field(default_factory=dict)
    undelivered: dict[str, str] = field(default_factory=dict)
    lost: int = 0
    format: str = ""

    def text(self) -> str:
        """The summary for people, several lines, without a final newline."""
        lost = f", {self.lost} lost in the driver" if self.lost else ""
        counts = f"{self.frames} frames ({self.bad} bad, {self.dropped} dropped{lost})"
        lines = [
            f"{counts} in {self.seconds:.1f} s: {self.fps:.1f} fps, {self.engine}, ended by: {self.stopped}"
        ]
        if self.format:
            lines.append(f"  camera format {self.format}")
        if self.reconnects:
            lines.append(f"  camera lost {self.reconnects} times")
        lines += [
            f"  {name}: {lost} messages lost, {failed} not written at the first try"
            for name, (lost, failed) in self.sinks.items()
            if lost or failed
        ]
        if self.ms:
            lines.append(f"  {'ms':<12}{'p50':>10}{'p90':>10}{'p99':>10}")
            for stage, values in self.ms.items():
                lines.append(f"  {stage:<12}" + "".join(f"{values[p]:>10.2f}" for p in ("p50", "p90", "p99")))
        width = max((len(label) for label in self.labels), default=0)
        lines += [f"  {label:<{width}}  {count}" for label, count in self.labels.items()]
        return "\n".join(lines)


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

    def say(self, text: str) -> None:
        """Write ``text`` as lines of their own, whether the live line is enabled or not."""
        self.clear()
        self._say(text + "\n")

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
