"""``tgkt-edge data import``: recordings of ROS and MCAP to a folder that ``run`` replays and ``adapt`` reads."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from tgkt_edge.alignment.rig import Rig
from tgkt_edge.data.pair_matcher import Pairing
from tgkt_edge.errors import DataError, UsageError
from tgkt_edge.io.bags.depthai import RAW16
from tgkt_edge.io.bags.depthai import TYPES as OAK_TYPES
from tgkt_edge.io.bags.message import Bag, Message
from tgkt_edge.io.bags.open_bag import Role, Stream, choose, open_bag, recorded_unit, streams
from tgkt_edge.io.bags.pictures import read_picture, time_taken
from tgkt_edge.io.bags.poses import pose_between
from tgkt_edge.notes import note
from tgkt_edge.runtime.recorder.aligning import PairAligner, known_rig
from tgkt_edge.runtime.recorder.import_options import ImportOptions, ImportSummary
from tgkt_edge.runtime.recorder.write_pairs import Decoded, PairWriter, note_blank
from tgkt_edge.runtime.recorder.writer import RecordingWriter
from tgkt_edge.runtime.sources.bag import ROLES
from tgkt_edge.runtime.sources.base import Captured
from tgkt_edge.sensor import PRESETS, SensorSpec, load_sensor

_COLOR: tuple[Role, ...] = ("color",)

CLOCKS = ("header", "received")

_LOOKED = (
    "Looked for CameraInfo beside the topics, for pictures of their size, and for /tf_static between the frames that "
    "their headers name"
)
_LOOKED_IN_FRAMES = (
    "Looked for them in the frames: depthai writes intrinsics since 3.0, extrinsics in newer versions only"
)

_FACTOR = 20.0  # between the speeds of two clocks

_BY_ENCODING = {"16UC1": "depth", "32FC1": "depth-m"}  # ROS's REP 118: millimetres, and metres


@dataclass(frozen=True)
class _Pending:
    """A message that is decoded when it is needed: what waits for a partner takes no more memory than its file does."""

    message: Message
    number: int
    time: float


def import_recording(
    src: Path,
    out: Path,
    options: ImportOptions,
    *,
    clock: str = "header",
) -> ImportSummary:
    """Write the frames of a topic, or pairs of two, with their times, SensorSpec and intrinsics.

    Args:
        src: a .bag, .mcap or .db3 file, or a folder of ``ros2 bag record``. out: new or empty folder.
        options: ``topic`` None: the only one of depth (or, with a NIR ``sensor``, of grey) pictures; ``rgb_topic``
            None: the only one in color. ``sensor`` None: of 16UC1 and 32FC1 depth, as ROS defines them (millimetres,
            metres), or in the unit that a RealSense camera wrote down.
        clock: "header": when the camera says that it took them; "received": when they were recorded.

    Raises:
        UsageError: (exit 2) a bad argument, or ``out`` holds something. DataError: (exit 2) no such recording or
            topic, or no frame of it fits. TgktEdgeError: (exit 1) the disk refuses. MissingDependency: (exit 6).
    """
    if clock not in CLOCKS:
        raise UsageError(f"`clock={clock}`: expected {' or '.join(CLOCKS)}")
    sensor, max_skew_ms = options.sensor, options.max_skew_ms
    bag = open_bag(src)
    known = streams(bag)
    roles: tuple[Role, ...] = ("depth",) if sensor is None else ROLES[load_sensor(sensor).kind]
    stream = choose(bag, known, options.topic, roles, "`topic`", str(src))
    spec = _spec(stream, sensor, recorded_unit(bag) if stream.role == "depth" else None)
    color = choose(bag, known, options.rgb_topic, _COLOR, "`rgb_topic`", str(src)) if options.pairs else None
    aligner = (
        _aligner(bag, src, stream, color, spec, options) if color is not None and options.align else None
    )
    counts, clocks = _Counts(), _Clocks()
    with RecordingWriter(out, spec, options.form) as writer:
        if color is None:
            items = clocks.watched(_single(bag, stream, clock))
        else:
            items = clocks.watched(_with_partners(_paired(bag, stream, color, clock, max_skew_ms), counts))
        pairs: PairWriter[_Pending] = PairWriter(
            writer, aligner, lambda pending, _: _decoded(pending, src), str(src), "a message"
        )
        pairs.write(items)
    if bag.problem:
        note(bag.problem)
    if not writer.written:
        raise DataError(_nothing(src, stream, color, pairs.bad, counts.alone, counts.nearest, max_skew_ms))
    note_blank(writer, f"{src}: {stream.topic.name}")
    if apart := clocks.differ():
        note(f"{src}: {stream.topic.name}: {apart}. If the headers are wrong: `clock=received`")
    name = color.topic.name if color is not None else None
    shares = None if aligner is None else aligner.shares()
    return ImportSummary(
        out,
        stream.topic.name,
        name,
        writer.written,
        pairs.bad,
        counts.alone,
        bag.problem,
        shares,
        writer.blank,
    )


def _aligner(
    bag: Bag, src: Path, stream: Stream, color: Stream, spec: SensorSpec, options: ImportOptions
) -> PairAligner:
    looked = _LOOKED_IN_FRAMES if stream.topic.schema in OAK_TYPES else _LOOKED
    recorded = bag.rig() or Rig(stream.camera, color.camera, None, stream.size, color.size, looked)
    rig = known_rig(spec, options.extrinsics, recorded)
    if rig.pose is None and bag.rig() is None:
        try:
            rig = replace(rig, pose=pose_between(bag, stream.topic.name, color.topic.name))
        except DataError as error:
            raise DataError(f"{src}: {error}") from error
    return PairAligner(rig, spec, f"{src}: {stream.topic.name} and {color.topic.name}")


def _spec(stream: Stream, sensor: str | None, unit_m: float | None) -> SensorSpec:
    """``unit_m``: metres a count, where the recording says it."""
    if unit_m is not None:
        if sensor is None:
            return _with_camera(replace(PRESETS["depth"], unit_m=unit_m), stream)
        given = load_sensor(sensor)
        if given.kind == "depth" and not math.isclose(given.unit_m or 0.0, unit_m, rel_tol=1e-3):
            raise UsageError(
                f"`sensor={sensor}` says unit_m: {given.unit_m}, but the camera wrote down {unit_m:g} m a count. Leave "
                f"`sensor` out, or correct it."
            )
        return _with_camera(given, stream)
    if sensor is None and stream.encoding not in _BY_ENCODING:
        known = "Only 16UC1 (millimetres) and 32FC1 (metres) are defined by ROS."
        if stream.encoding == RAW16:
            known = "Depth of OAK cameras is millimetres, `sensor=depth`, unless their pipeline was told otherwise."
        raise UsageError(
            f"`sensor` is missing: it says what the counts of {stream} mean. Expected a preset ({', '.join(PRESETS)}) "
            f"or a YAML file. {known}"
        )
    return _with_camera(load_sensor(sensor or _BY_ENCODING[stream.encoding]), stream)


def _with_camera(spec: SensorSpec, stream: Stream) -> SensorSpec:
    if stream.camera is not None and spec.intrinsics is None:
        spec = replace(spec, intrinsics=stream.camera)
    return replace(spec, size=stream.size) if spec.size is None else spec


@dataclass
class _Counts:
    """Frames without a partner, and how near the newest halves came to each other, seconds."""

    alone: int = 0
    nearest: float = math.inf


class _Clocks:
    """Whether the times of frames run as fast as those at which they were recorded."""

    def __init__(self) -> None:
        self._first: _Pending | None = None
        self._last: _Pending | None = None

    def watched(
        self, items: Iterator[tuple[_Pending, _Pending | None]]
    ) -> Iterator[tuple[_Pending, _Pending | None]]:
        """The items as they are."""
        for item in items:
            self._first, self._last = self._first or item[0], item[0]
            yield item

    def differ(self) -> str:
        """How they differ, where it is by a factor that no late message explains; empty: they do not."""
        if self._first is None or self._last is None:
            return ""
        taken = self._last.time - self._first.time
        recorded = (self._last.message.received - self._first.message.received) / 1e9
        if min(taken, recorded) <= 0 or 1 / _FACTOR < taken / recorded < _FACTOR:
            return ""
        return f"its frames were taken within {taken:.3g} s by their headers, and recorded within {recorded:.3g} s"


def _with_partners(
    items: Iterator[tuple[_Pending, _Pending | None, float]], counts: _Counts
) -> Iterator[tuple[_Pending, _Pending | None]]:
    for frame, partner, apart in items:
        counts.nearest = min(counts.nearest, apart)
        if partner is None:
            counts.alone += 1
        else:
            yield frame, partner


def _single(bag: Bag, stream: Stream, clock: str) -> Iterator[tuple[_Pending, _Pending | None]]:
    for number, message in enumerate(bag.messages([stream.topic.name])):
        # A copy: the next message may lie in the same buffer.
        yield _Pending(replace(message, data=bytes(message.data)), number, _time(message, clock)), None


def _paired(
    bag: Bag, stream: Stream, color: Stream, clock: str, max_skew_ms: float
) -> Iterator[tuple[_Pending, _Pending | None, float]]:
    """Frames with the color picture nearest in time, if any, and how far the newest halves lie apart, seconds."""
    pairing: Pairing[_Pending] = Pairing(max_skew_ms / 1e3)
    newest: dict[str, float] = {}
    number = 0
    for message in bag.messages([stream.topic.name, color.topic.name]):
        name, taken = message.topic.name, _time(message, clock)
        newest[name] = taken
        pending = _Pending(replace(message, data=bytes(message.data)), number, taken)
        if name == stream.topic.name:
            number += 1
            pairing.add_frame(pending)
        else:
            pairing.add_color(pending)
        apart = (
            abs(newest[stream.topic.name] - newest[color.topic.name]) if len(newest) == 2 else float("inf")
        )
        for frame, partner in pairing.resolve():
            yield frame, partner, apart
    if number:
        pairing.add_color(replace(pending, time=float("inf")))  # none comes any more
    for frame, partner in pairing.resolve():
        yield frame, partner, float("inf")


def _time(message: Message, clock: str) -> float:
    """Unix seconds of a message; where its header says none, when it was recorded."""
    if clock == "header":
        try:
            stamp = time_taken(message)
        except DataError:
            stamp = 0.0
        if stamp > 0:
            return stamp
    return message.received / 1e9


def _decoded(pending: _Pending, src: Path) -> Decoded:
    picture = read_picture(pending.message)
    name = f"{src}: {pending.message.topic.name}"
    return Decoded(Captured(picture.pixels, pending.number, pending.time, name), picture.file)


def _nothing(
    src: Path, stream: Stream, color: Stream | None, bad: int, alone: int, nearest: float, max_skew_ms: float
) -> str:
    if color is not None and alone and not bad:
        apart = f"; the nearest lie {nearest:.3g} s apart" if nearest < float("inf") else ""
        return (
            f"{src}: no frame of {stream.topic.name} has a picture of {color.topic.name} within {max_skew_ms:g} ms"
            f"{apart}. Do their clocks differ? `clock=received` matches by the time of recording; or raise "
            f"`max_skew_ms`."
        )
    return f"{src}: no message of {stream.topic.name} can be used ({bad} bad)"
