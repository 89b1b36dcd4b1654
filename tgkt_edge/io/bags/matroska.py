"""Matroska recordings of Azure Kinect and of cameras that write like it (Orbbec's Femto): depth, infrared and color.

Microsoft's description: "Azure Kinect DK recording file format". Tracks are told by their names; depth and infrared are
uncompressed, 16 bits, the high byte first (b16g); color is MJPEG, NV12, YUY2 or BGRA.
"""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.alignment.rig import Rig
from tgkt_edge.errors import DataError
from tgkt_edge.io.bags.ebml import (
    Damaged,
    Element,
    children,
    content,
    unsigned,
    variable,
)
from tgkt_edge.io.bags.k4a import read_calibration
from tgkt_edge.io.bags.matroska_head import CLUSTER, Head, Track, read_head, segment_children
from tgkt_edge.io.bags.message import MAX_BYTES, Bag, Message, Topic
from tgkt_edge.io.bags.pictures import Stamped
from tgkt_edge.io.formats.picture import check_size
from tgkt_edge.io.formats.sniff import decode
from tgkt_edge.optional_deps import require

TRACKS = ("DEPTH", "IR", "COLOR")
"""Names of tracks that are read."""

_TIME, _SIMPLE, _GROUP, _BLOCK = 0xE7, 0xA3, 0xA0, 0xA1
_ENCODED = {"b16g": "16 bits", "MJPG": "bgr8", "NV12": "bgr8", "YUY2": "bgr8", "BGRA": "bgr8"}
_LACED = 0x06


def is_kinect(path: Path) -> bool:
    """Whether a Matroska file has an uncompressed track of 16 bits: else OpenCV reads it as a video."""
    try:
        with path.open("rb") as file:
            head = read_head(file, path.stat().st_size)
    except (OSError, Damaged):
        return False
    return any(track.codec == "b16g" for track in (head.tracks or {}).values())


class Matroska(Bag):
    """A .mkv file; see :class:`Bag`. Its topics are its tracks."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._head: Head | None = None

    def topics(self) -> dict[str, Topic]:
        """See :meth:`Bag.topics`."""
        return {
            track.name: Topic(track.name, f"track of {track.codec}", "matroska", None, self._picture)
            for track in self._tracks().values()
            if track.name in TRACKS
        }

    def messages(self, names: Collection[str]) -> Iterator[Message]:
        """See :meth:`Bag.messages`."""
        self.problem = ""
        topics, head, size = self.topics(), self._known(), self._path.stat().st_size
        by_number = {
            number: topics[track.name]
            for number, track in self._tracks().items()
            if track.name in names and track.name in topics
        }
        end = size if head.segment.end is None else min(size, head.segment.end)
        try:
            with self._path.open("rb") as file:
                if head.segment.end is not None and head.segment.end > size:
                    self.problem = f"{self._path}: is cut off; its intact part is read"
                for cluster in segment_children(file, head.segment, end):
                    if cluster.number == CLUSTER:
                        yield from _blocks(file, cluster, end, head, by_number)
        except (Damaged, OSError, struct.error) as error:
            self.problem = f"{self._path}: is cut off or damaged ({error}); its intact part is read"

    def rig(self) -> Rig | None:
        """The cameras as the attachment ``calibration.json`` has them; see :meth:`Bag.rig`."""
        sizes = {track.name: (track.width, track.height) for track in self._tracks().values()}
        depth = sizes.get("DEPTH", sizes.get("IR"))
        if not self._known().calibration:
            return Rig(origin="The recording has no attachment calibration.json")
        try:
            return read_calibration(self._known().calibration, depth, sizes.get("COLOR"))
        except DataError as error:
            return Rig(origin=f"Its calibration.json cannot be used: {error}")

    def _known(self) -> Head:
        if self._head is None:
            try:
                with self._path.open("rb") as file:
                    self._head = read_head(file, self._path.stat().st_size)
            except OSError as error:
                raise DataError(f"{self._path}: cannot be read: {error.strerror or error}") from error
            except Damaged as error:
                raise DataError(
                    f"{self._path}: is cut off or damaged before its first frame: {error}"
                ) from error
        return self._head

    def _tracks(self) -> dict[int, Track]:
        tracks = self._known().tracks
        if not tracks:
            raise DataError(f"{self._path}: holds no track: the recording was cut off before its first frame")
        return tracks

    def _picture(self, message: Message) -> Stamped:
        """Decode a frame. Raises DataError, which names no file."""
        track = next(track for track in self._tracks().values() if track.name == message.topic.name)
        if track.packed:
            raise DataError(
                f"its track {track.name} is compressed again by Matroska, which is not read; write it again: mkvmerge "
                f"--compression -1:none"
            )
        pixels, file = _decoded(track, message.data)
        encoding = "bgr8" if pixels.ndim == 3 else "16UC1" if track.name == "DEPTH" else "mono16"
        return Stamped(pixels, encoding, 0.0, message.received / 1e9, file)


def _decoded(track: Track, data: bytes | memoryview) -> tuple[NDArray[Any], bytes]:
    """(H, W) uint16, or (H, W, 3) uint8 blue, green, red; and the file that it came as: see :class:`Stamped`."""
    if track.codec == "MJPG":
        file = bytes(data)
        picture = decode(file)
        if picture.pixels.ndim != 3 or picture.pixels.dtype != np.uint8:
            raise DataError(f"is damaged: its JPEG holds {picture.pixels.dtype} {picture.pixels.shape}")
        return np.ascontiguousarray(picture.pixels[..., :3]), file if picture.orientation == 1 else b""
    return _plain(track, data), b""


def _plain(track: Track, data: bytes | memoryview) -> NDArray[Any]:
    width, height = track.width, track.height
    needed = {"b16g": 4, "YUY2": 4, "NV12": 3, "BGRA": 8}.get(track.codec)  # bytes of two pixels
    if needed is None:
        raise DataError(
            f"its track {track.name} is coded as {track.codec}, which is not read; expected {', '.join(_ENCODED)}"
        )
    check_size(width, height)
    if len(data) != width * height * needed // 2:
        raise DataError(
            f"is damaged: {len(data)} bytes for {width}x{height} pixels of {track.codec}, expected "
            f"{width * height * needed // 2}"
        )
    plain = np.frombuffer(data, np.uint8)
    if track.codec == "b16g":
        return plain.view(">u2").reshape(height, width).astype(np.uint16)
    if track.codec == "BGRA":
        return np.ascontiguousarray(plain.reshape(height, width, 4)[..., :3])
    if width % 2 or (track.codec == "NV12" and height % 2):
        raise DataError(f"is damaged: {width}x{height} pixels of {track.codec}, which has even sizes only")
    cv2 = require("cv2", "cpu", "Reading color")
    if track.codec == "YUY2":
        return np.asarray(cv2.cvtColor(plain.reshape(height, width, 2), cv2.COLOR_YUV2BGR_YUY2))
    return np.asarray(cv2.cvtColor(plain.reshape(height * 3 // 2, width), cv2.COLOR_YUV2BGR_NV12))


def _blocks(
    file: IO[bytes], cluster: Element, end: int, head: Head, topics: dict[int, Topic]
) -> Iterator[Message]:
    tick = 0
    for child in children(file, cluster, end):
        block: Element | None = None
        if child.number == _TIME:
            tick = unsigned(content(file, child, 8))
        elif child.number == _SIMPLE:
            block = child
        elif child.number == _GROUP:
            block = next((one for one in children(file, child, end) if one.number == _BLOCK), None)
        if block is None or block.end is None:
            continue
        file.seek(block.start)
        start = file.read(min(12, block.end - block.start))
        number, length = variable(start)
        if number not in topics:
            continue
        relative, flags = struct.unpack_from(">hB", start, length)
        if flags & _LACED:
            raise Damaged(f"track {topics[number].name} has several frames in a block, which is not read")
        body = Element(block.number, block.start + length + 3, block.end)
        received = head.began + (tick + relative) * head.scale
        yield Message(topics[number], received, content(file, body, MAX_BYTES))
