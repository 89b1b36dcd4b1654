"""``tgkt-edge record``: frames of a camera to disk, bit for bit, alone or with a colour camera's beside them."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TextIO

from tgkt_edge.alignment.rig import Rig
from tgkt_edge.alignment.warp import describe_shares
from tgkt_edge.data.pair_matcher import Pairing
from tgkt_edge.errors import FrameError, UsageError
from tgkt_edge.io.addresses import redacted
from tgkt_edge.io.recording_format import is_recording, read_spec
from tgkt_edge.runtime.output.live_line import LiveLine
from tgkt_edge.runtime.output.nonblocking import PATIENCE
from tgkt_edge.runtime.output.shutdown import StopRequest
from tgkt_edge.runtime.recorder.aligning import PairAligner, known_rig
from tgkt_edge.runtime.recorder.record_checks import check_alignment, check_recording
from tgkt_edge.runtime.recorder.source_reader import SourceReader
from tgkt_edge.runtime.recorder.writer import RecordingWriter
from tgkt_edge.runtime.sources import Captured, open_colour, open_source, open_with_colour, same_device
from tgkt_edge.runtime.sources.base import check_first
from tgkt_edge.sensor import PRESETS, SensorSpec, load_sensor


@dataclass(frozen=True)
class RecordSummary:
    """What was recorded.

    Attributes:
        output: the folder.
        frames: written; in a paired recording, pairs.
        bad: could not be read, or contradicted the SensorSpec. Left out.
        alone: had no colour frame near enough in time. Left out.
        seconds: from the first to the last frame written, by their own times.
        stopped: "end" (of a recording), "max-frames", "seconds", "interrupted", "terminated".
        lost: frames that the camera's driver took and could not deliver, by the gaps in its own numbering.
        aligned: with ``align``: mean shares of the pixels whose own depth says their color, that are filled, and that
            lie outside the color picture.
        blank: of the frames written, those that hold no measurement at all: a covered lens, or nothing in reach.
    """

    output: Path
    frames: int
    bad: int
    alone: int
    seconds: float
    stopped: str
    lost: int = 0
    aligned: dict[str, float] | None = None
    blank: int = 0

    def text(self) -> str:
        """For people, one line."""
        rest = "".join(
            f", {count} {what}"
            for count, what in (
                (self.bad, "bad"),
                (self.alone, "without a partner"),
                (self.lost, "lost in the driver"),
                (self.blank, "without a measurement"),
            )
            if count
        )
        rest += f"; {describe_shares(self.aligned)}" if self.aligned is not None else ""
        rate = f", {(self.frames - 1) / self.seconds:.1f} fps" if self.frames > 1 and self.seconds > 0 else ""
        return f"{self.output}: {self.frames} frames in {self.seconds:.1f} s{rate}{rest} (stopped: {self.stopped})"


def record(
    camera: str,
    output: Path | str,
    *,
    sensor: str | None = None,
    form: str = "png",
    max_frames: int | None = None,
    seconds: float | None = None,
    interval: float = 0.0,
    rgb: str | None = None,
    max_skew_ms: float = 20.0,
    align: bool = False,
    extrinsics: Path | None = None,
    log: TextIO | None = None,
    live: bool = True,
) -> RecordSummary:
    """Write a camera's frames, their times and their SensorSpec to a folder that ``run`` replays and ``adapt`` reads.

    Args:
        camera: see :func:`tgkt_edge.runtime.sources.open_source`.
        output: new or empty folder; see :mod:`tgkt_edge.io.recording_format` for what it will hold.
        sensor: preset or YAML file: what the counts mean. None: the one that ``camera`` was recorded with, if it is a
            recording.
        form: "png" (.npy files for floating-point frames) or "ffv1"; both lossless.
        max_frames: stop after so many frames were written.
        seconds: stop this long after the first frame: of a camera by a clock that nobody sets, of a recording by the
            frames' own times.
        interval: leave out frames that follow a written one in less than so many seconds.
        rgb: a second, colour camera. Each frame is written with the colour frame nearest in time as a pair, to
            ``frame/`` and ``rgb/`` with equal names; ``adapt --paired`` takes the folder as it is. "realsense": color
            of the RealSense that ``camera`` names.
        max_skew_ms: milliseconds that the two frames of a pair may lie apart.
        align: warp color into the depth camera's view, by its depth, with what the device knows of its cameras or
            ``extrinsics``, a YAML file: see :func:`tgkt_edge.alignment.rig.load_rig`.
        log: takes the live line and the summary; None: stderr. Neither while the level of the logger ``tgkt_edge`` is
            above INFO.
        live: show the live line.

    Returns:
        What was recorded, also after SIGINT, SIGTERM and SIGHUP; see ``stopped``.

    Raises:
        UsageError: (exit 2) a bad argument, or ``output`` holds something.
        SourceLostError: (exit 5) a camera cannot be used or was lost. What was recorded until then is valid.
        TgktEdgeError: (exit 1) the disk is full or refuses. The frames before are valid.
        MissingDependency: (exit 6) OpenCV, or the library of this kind of camera.
    """
    output = Path(output)
    check_recording(form, max_frames, seconds, interval, rgb, max_skew_ms)
    check_alignment(rgb, align, extrinsics)
    together = rgb is not None and (rgb == "realsense" or rgb.startswith("realsense://"))
    if together and rgb not in ("realsense", "realsense://", camera):
        raise UsageError(
            f"`rgb={redacted(rgb or '')}`: expected realsense: color of the device that `camera` names"
        )
    if rgb is not None and same_device(camera, rgb):
        raise UsageError(
            f"`camera={redacted(camera)}` and `rgb={redacted(rgb)}` are one device, which delivers one stream. Name "
            f"the node of the colour camera with `rgb`; see 'v4l2-ctl --list-devices'."
        )
    spec = _spec(camera, sensor)
    stop = StopRequest()
    line = LiveLine(sys.stderr if log is None else log, enabled=live, stopping=stop.asked)
    tally = _Tally()
    with stop, RecordingWriter(output, spec, form) as writer, ExitStack() as readers:
        opened = open_with_colour if together else open_source
        frames = readers.enter_context(SourceReader(partial(opened, camera, spec), stop))
        colours: SourceReader | None = None
        aligner: PairAligner | None = None
        stopped = "failed"
        try:
            opening = frames.wait_open()
            if opening and align:
                rig = frames.rig or Rig(origin=f"{redacted(camera)} does not say")
                aligner = PairAligner(known_rig(spec, extrinsics, rig), spec, redacted(camera))
            if opening and rgb is not None and not together:
                if not frames.live:
                    raise UsageError(f"`rgb` pairs two cameras by time; {redacted(camera)} is a recording")
                colours = readers.enter_context(SourceReader(partial(open_colour, rgb), stop))
                colours.wait_open()
            writer.calibrate(frames.rig.depth if frames.rig is not None else None)
            if frames.format is not None:
                writer.describe(frames.format, colours.format if colours is not None else None)
                line.inform(f"{redacted(camera)} delivers {frames.format}")
            pairs: Iterator[tuple[Captured, Captured | None] | None] = (
                _together(frames, max_skew_ms / 1e3, tally)
                if together
                else _single(frames)
                if colours is None
                else _paired(frames, colours, Pairing(max_skew_ms / 1e3), tally)
            )
            stopped = _write(
                pairs, writer, aligner, tally, stop, line, max_frames, seconds, interval, frames.live
            )
        finally:
            line.clear()
            summary = RecordSummary(
                output, writer.written, tally.bad, tally.alone, tally.last - tally.first, stopped, frames.lost,
                None if aligner is None else aligner.shares(), writer.blank,
            )  # fmt: skip
            if writer.written or stopped != "failed":
                line.inform(summary.text())
            line.finish(PATIENCE)
    return summary


@dataclass
class _Tally:
    """Counts of one recording; ``first``, ``last``: times of frames written, Unix seconds; ``begin``: that of
    the first by the clock that ``seconds`` is measured with.
    """

    bad: int = 0
    alone: int = 0
    first: float = 0.0
    last: float = 0.0
    begin: float = 0.0


def _write(
    pairs: Iterator[tuple[Captured, Captured | None] | None],
    writer: RecordingWriter,
    aligner: PairAligner | None,
    tally: _Tally,
    stop: StopRequest,
    line: LiveLine,
    max_frames: int | None,
    seconds: float | None,
    interval: float,
    live: bool,
) -> str:
    """Write until there is a reason to stop; return it. A None among ``pairs`` is a moment without a frame."""
    for pair in pairs:
        if stop.reason is not None:
            return stop.reason
        if pair is not None:
            captured, colour = pair
            if captured.frame is None or (colour is not None and colour.frame is None):
                tally.bad += 1
                continue
            now = time.monotonic() if live else captured.time
            if writer.written and seconds is not None and now - tally.begin >= seconds:
                return "seconds"
            if writer.written and 0 <= captured.time - tally.last < interval:  # below 0: a clock was set back
                continue
            if not writer.written:
                check_first(
                    captured.frame, writer.spec, captured.name, "Describe what does arrive with `sensor`."
                )
            try:
                if aligner is not None and colour is not None:
                    aligner.add(writer, captured, colour)
                else:
                    writer.add(captured, colour)
            except FrameError:
                tally.bad += 1
                continue
            if writer.written == 1:
                tally.first, tally.begin = captured.time, now
            tally.last = captured.time
            if writer.written == max_frames:
                return "max-frames"
        if line.due():
            line.show(f"{writer.written} frames, {tally.bad} bad, {tally.alone} without a partner")
    return "end"


def _single(reader: SourceReader) -> Iterator[tuple[Captured, Captured | None] | None]:
    while True:
        item = reader.take()
        if item is None and reader.over:
            return
        yield None if item is None else (item, None)


def _together(
    reader: SourceReader, max_skew: float, tally: _Tally
) -> Iterator[tuple[Captured, Captured | None] | None]:
    """Frames with the color picture that the same device delivered with each: not always of the same moment."""
    for item in _single(reader):
        if item is not None and item[0].frame is not None:
            frame, color = item[0], item[0].color
            if color is None or abs(color.time - frame.time) > max_skew:
                tally.alone += 1
                yield None
                continue
            item = (frame, color)
        yield item


def _paired(
    frames: SourceReader, colours: SourceReader, pairing: Pairing[Captured], tally: _Tally
) -> Iterator[tuple[Captured, Captured | None] | None]:
    while not frames.over and not colours.over:
        arrived = False
        while (captured := frames.take(0)) is not None:
            arrived = True
            if captured.frame is None:
                tally.bad += 1
            else:
                pairing.add_frame(captured)
        while (colour := colours.take(0)) is not None:
            arrived = True
            if colour.frame is not None:
                pairing.add_color(colour)
        for frame, partner in pairing.resolve():
            if partner is None:
                tally.alone += 1
            else:
                yield frame, partner
        yield None
        if not arrived:
            time.sleep(0.002)


def _spec(camera: str, sensor: str | None) -> SensorSpec:
    if sensor is not None:
        return load_sensor(sensor)
    spec = read_spec(Path(camera)) if is_recording(Path(camera)) else None
    if spec is None:
        raise UsageError(
            f"`sensor` is missing: it says what the counts of {redacted(camera)} mean. Expected a preset "
            f"({', '.join(PRESETS)}) or a YAML file."
        )
    return spec
