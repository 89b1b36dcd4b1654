"""What a run did, in the end."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

Stopped = Literal["end", "max-frames", "interrupted", "terminated", "broken-pipe", "failed"]


@dataclass(frozen=True)
class CameraSummary:
    """What one of several cameras did; fields as in :class:`RunSummary`.

    Attributes:
        failed: why it was given up; empty: it was not.
    """

    source: str
    frames: int
    bad: int
    dropped: int
    lost: int = 0
    reconnects: int = 0
    format: str = ""
    ms: dict[str, dict[str, float]] = field(default_factory=dict)
    labels: dict[str, int] = field(default_factory=dict)
    failed: str = ""

    def text(self) -> str:
        """One line for people."""
        lost = f", {self.lost} lost in the driver" if self.lost else ""
        words = [f"{self.frames} frames ({self.bad} bad, {self.dropped} dropped{lost})"]
        if self.format:
            words.append(self.format)
        if self.reconnects:
            words.append(f"lost {self.reconnects} times")
        if "age" in self.ms:
            words.append(f"age p50 {self.ms['age']['p50']:.1f} ms, p99 {self.ms['age']['p99']:.1f} ms")
        if self.failed:
            words.append(f"given up: {self.failed}")
        return "; ".join(words)


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
        updates: bundles that took over, and that were refused, while it ran.
        cameras: by name, where cameras have names; the figures above are those of all.
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
    cameras: dict[str, CameraSummary] = field(default_factory=dict)
    updates: tuple[int, int] = (0, 0)

    def losses(self) -> list[str]:
        """What a person should know who wants no summary: sinks that lost messages, a line each."""
        return [f"{name}: {lost} messages lost" for name, (lost, _) in self.sinks.items() if lost]

    def text(self) -> str:
        """The summary for people, several lines, without a final newline."""
        lost = f", {self.lost} lost in the driver" if self.lost else ""
        counts = f"{self.frames} frames ({self.bad} bad, {self.dropped} dropped{lost})"
        lines = [
            f"{counts} in {self.seconds:.1f} s: {self.fps:.1f} fps, {self.engine}, ended by: {self.stopped}"
        ]
        if self.format:
            lines.append(f"  camera format {self.format}")
        if self.reconnects and not self.cameras:
            lines.append(f"  camera lost {self.reconnects} times")
        if any(self.updates):
            lines.append("  bundle replaced {} times, {} refused".format(*self.updates))
        lines += [f"  camera {name}: {camera.text()}" for name, camera in self.cameras.items()]
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
