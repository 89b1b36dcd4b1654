"""``tgkt-edge data import``: recordings of ROS and MCAP to a folder that ``run`` replays and ``adapt`` reads."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from tgkt_edge.errors import DataError, FrameError, UsageError
from tgkt_edge.io.bags.message import Bag, Message
from tgkt_edge.io.bags.open_bag import Role, Stream, choose, open_bag, realsense_unit, streams
from tgkt_edge.io.bags.pictures import deserialized, read_picture, stamp_of
from tgkt_edge.notes import note
from tgkt_edge.runtime.recorder.pair_matcher import Pairing
from tgkt_edge.runtime.recorder.writer import FORMATS, RecordingWriter
from tgkt_edge.runtime.sources.bag import ROLES
from tgkt_edge.runtime.sources.base import Captured
from tgkt_edge.sensor import PRESETS, SensorSpec, load_sensor

_COLOUR: tuple[Role, ...] = ("colour",)

CLOCKS = ("header", "received")

_BY_ENCODING = {"16UC1": "depth", "32FC1": "depth-m"}  # ROS's REP 118: millimetres, and metres


@dataclass(frozen=True)
class ImportSummary:
    """What was written.

    Attributes:
        output: the folder. topic, rgb_topic: what was read. frames: written; with ``rgb_topic``, pairs.
        bad: messages that are no pictures, or contradict the SensorSpec. alone: frames without a colour picture.
        problem: why the recording could not be read to its end; empty: it could.
    """

    output: Path
    topic: str
    rgb_topic: str | None
    frames: int
    bad: int
    alone: int
    problem: str

    def text(self) -> str:
        """For people, one line."""
        more = f", {self.bad} bad" if self.bad else ""
        more += f", {self.alone} without a partner" if self.alone else ""
        what = "pairs" if self.rgb_topic is not None else "frames"
        return f"{self.output}: {self.frames} {what} of {self.topic}{more}"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "output": str(self.output)}


@dataclass(frozen=True)
class _Pending:
    """A message that is decoded when it is needed: what waits for a partner takes no more memory than its file does."""

    message: Message
    number: int
    time: float


def import_recording(
    src: Path,
    out: Path,
    *,
    topic: str | None = None,
    sensor: str | None = None,
    pair: bool = False,
    rgb_topic: str | None = None,
    max_skew_ms: float = 20.0,
    clock: str = "header",
    form: str = "png",
) -> ImportSummary:
    """Write the frames of a topic, or pairs of two, with their times, SensorSpec and intrinsics.

    Args:
        src: a .bag, .mcap or .db3 file, or a folder of ``ros2 bag record``. out: new or empty folder.
        topic: of the sensor's pictures; None: the only one of depth (or, with a NIR ``sensor``, of grey) pictures.
        sensor: preset or YAML file. None: of 16UC1 and 32FC1 depth, as ROS defines them (millimetres, metres), or in
            the unit that a RealSense camera wrote down.
        pair: write pairs with the colour pictures of ``rgb_topic``; None: the only colour topic.
        max_skew_ms: milliseconds that the halves of a pair may lie apart.
        clock: "header": when the camera says that it took them; "received": when they were recorded.
        form: as of ``record``.

    Raises:
        UsageError: (exit 2) a bad argument, or ``out`` holds something. DataError: (exit 2) no such recording or
            topic, or no frame of it fits. TgktEdgeError: (exit 1) the disk refuses. MissingDependency: (exit 6).
    """
    if clock not in CLOCKS:
        raise UsageError(f"--clock {clock}: expected {' or '.join(CLOCKS)}")
    if form not in FORMATS:
        raise UsageError(f"--format {form}: expected {' or '.join(FORMATS)}")
    if not max_skew_ms > 0:
        raise UsageError(f"--max-skew-ms {max_skew_ms:g}: expected more than 0")
    pair = pair or rgb_topic is not None
    if pair and form != "png":
        raise UsageError(
            "--pair: pairs are written as PNG, which 'adapt --paired' reads. Leave --format out."
        )
    if not src.exists():
        raise DataError(f"{src}: does not exist")
    bag = open_bag(src)
    known = streams(bag)
    roles: tuple[Role, ...] = ("depth",) if sensor is None else ROLES[load_sensor(sensor).kind]
    stream = choose(bag, known, topic, roles, "--topic", str(src))
    spec = _spec(stream, sensor, realsense_unit(bag) if stream.role == "depth" else None)
    colour = choose(bag, known, rgb_topic, _COLOUR, "--rgb-topic", str(src)) if pair else None
    bad = alone = 0
    nearest = float("inf")
    with RecordingWriter(out, spec, form) as writer:
        items = (
            _single(bag, stream, clock)
            if colour is None
            else _paired(bag, stream, colour, clock, max_skew_ms)
        )
        for frame, partner, apart in items:
            nearest = min(nearest, apart)
            if colour is not None and partner is None:
                alone += 1
                continue
            try:
                writer.add(_captured(frame, src), None if partner is None else _captured(partner, src))
            except (DataError, FrameError) as error:
                if not bad:
                    note(f"{src}: a message is left out: {error}")
                bad += 1
    if bag.problem:
        note(bag.problem)
    if not writer.written:
        raise DataError(_nothing(src, stream, colour, bad, alone, nearest, max_skew_ms))
    name = colour.topic.name if colour is not None else None
    return ImportSummary(out, stream.topic.name, name, writer.written, bad, alone, bag.problem)


def _spec(stream: Stream, sensor: str | None, unit_m: float | None) -> SensorSpec:
    """``unit_m``: metres a count, where the recording says it."""
    if unit_m is not None:
        if sensor is None:
            return _with_camera(replace(PRESETS["depth"], unit_m=unit_m), stream)
        given = load_sensor(sensor)
        if given.kind == "depth" and not math.isclose(given.unit_m or 0.0, unit_m, rel_tol=1e-3):
            raise UsageError(
                f"--sensor {sensor} says unit_m: {given.unit_m}, but the camera wrote down {unit_m:g} m a count. Leave "
                f"--sensor out, or correct it."
            )
        return _with_camera(given, stream)
    if sensor is None and stream.encoding not in _BY_ENCODING:
        raise UsageError(
            f"--sensor is missing: it says what the counts of {stream} mean. Expected a preset ({', '.join(PRESETS)}) "
            f"or a YAML file. Only 16UC1 (millimetres) and 32FC1 (metres) are defined by ROS."
        )
    return _with_camera(load_sensor(sensor or _BY_ENCODING[stream.encoding]), stream)


def _with_camera(spec: SensorSpec, stream: Stream) -> SensorSpec:
    if stream.camera is not None and spec.intrinsics is None:
        spec = replace(spec, intrinsics=stream.camera)
    return replace(spec, size=stream.size) if spec.size is None else spec


def _single(bag: Bag, stream: Stream, clock: str) -> Iterator[tuple[_Pending, _Pending | None, float]]:
    for number, message in enumerate(bag.messages([stream.topic.name])):
        yield _Pending(message, number, _time(message, clock)), None, 0.0


def _paired(
    bag: Bag, stream: Stream, colour: Stream, clock: str, max_skew_ms: float
) -> Iterator[tuple[_Pending, _Pending | None, float]]:
    """Frames with the colour picture nearest in time, if any, and how far the newest halves lie apart, seconds."""
    pairing: Pairing[_Pending] = Pairing(max_skew_ms / 1e3)
    newest: dict[str, float] = {}
    number = 0
    for message in bag.messages([stream.topic.name, colour.topic.name]):
        name, taken = message.topic.name, _time(message, clock)
        newest[name] = taken
        pending = _Pending(replace(message, data=bytes(message.data)), number, taken)
        if name == stream.topic.name:
            number += 1
            pairing.add_frame(pending)
        else:
            pairing.add_colour(pending)
        apart = (
            abs(newest[stream.topic.name] - newest[colour.topic.name]) if len(newest) == 2 else float("inf")
        )
        for frame, partner in pairing.resolve():
            yield frame, partner, apart
    if number:
        pairing.add_colour(replace(pending, time=float("inf")))  # none comes any more
    for frame, partner in pairing.resolve():
        yield frame, partner, float("inf")


def _time(message: Message, clock: str) -> float:
    """Unix seconds of a message; where its header says none, when it was recorded."""
    if clock == "header":
        try:
            stamp = stamp_of(deserialized(message))
        except DataError:
            stamp = 0.0
        if stamp > 0:
            return stamp
    return message.received / 1e9


def _captured(pending: _Pending, src: Path) -> Captured:
    picture = read_picture(pending.message)
    return Captured(picture.pixels, pending.number, pending.time, f"{src}: {pending.message.topic.name}")


def _nothing(
    src: Path, stream: Stream, colour: Stream | None, bad: int, alone: int, nearest: float, max_skew_ms: float
) -> str:
    if colour is not None and alone and not bad:
        apart = f"; the nearest lie {nearest:.3g} s apart" if nearest < float("inf") else ""
        return (
            f"{src}: no frame of {stream.topic.name} has a picture of {colour.topic.name} within {max_skew_ms:g} ms"
            f"{apart}. Do their clocks differ? --clock received matches by the time of recording; or raise "
            f"--max-skew-ms."
        )
    return f"{src}: no message of {stream.topic.name} can be used ({bad} bad)"
