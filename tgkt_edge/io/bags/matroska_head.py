"""What stands in a Matroska file before its first frame: its clock, its tracks and the camera's calibration."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import IO

from tgkt_edge.io.bags.ebml import (
    MAGIC,
    Damaged,
    Element,
    children,
    content,
    read_element,
    unsigned,
    variable,
)

SEGMENT, _INFO, _TRACKS, CLUSTER, _ATTACHMENTS = 0x18538067, 0x1549A966, 0x1654AE6B, 0x1F43B675, 0x1941A469
_SCALE, _DATE = 0x2AD7B1, 0x4461
_ENTRY, _NUMBER, _NAME, _CODEC, _PRIVATE, _VIDEO, _ENCODINGS = 0xAE, 0xD7, 0x536E, 0x86, 0x63A2, 0xE0, 0x6D80
_WIDTH, _HEIGHT = 0xB0, 0xBA
_ATTACHED, _FILE_NAME, _FILE_DATA = 0x61A7, 0x466E, 0x465C
_EPOCH = 978_307_200  # Unix seconds of Matroska's: 2001-01-01
_SMALL, _ATTACHMENT = 1 << 16, 1 << 24  # bytes
_FOURCC = "V_MS/VFW/FOURCC"


@dataclass(frozen=True)
class Track:
    """A track: its name, FourCC or codec, pixels, and whether Matroska compresses it once more."""

    name: str
    codec: str
    width: int
    height: int
    packed: bool


@dataclass
class Head:
    """What stands before the first frame: nanoseconds a tick, Unix nanoseconds of tick 0, tracks, calibration."""

    segment: Element
    scale: int = 1_000_000
    began: int = 0
    tracks: dict[int, Track] | None = None
    calibration: bytes = b""


def read_head(file: IO[bytes], size: int) -> Head:
    """Everything before the first cluster. Raises Damaged."""
    header = read_element(file, size)
    if header is None or header.end is None or file.seek(0) or file.read(4) != MAGIC:
        raise Damaged("it does not begin as Matroska does")
    file.seek(header.end)
    segment = _segment(file, size)
    found = Head(segment)
    end = size if segment.end is None else min(size, segment.end)
    for element in segment_children(file, segment, end):
        if element.number == CLUSTER:
            break
        if element.number == _INFO:
            for child in children(file, element, end):
                if child.number == _SCALE:
                    found.scale = unsigned(content(file, child, 8)) or found.scale
                elif child.number == _DATE:
                    date = int.from_bytes(content(file, child, 8), "big", signed=True)
                    found.began = date + _EPOCH * 1_000_000_000
        elif element.number == _TRACKS:
            found.tracks = dict(
                _track(file, entry, end) for entry in children(file, element, end) if entry.number == _ENTRY
            )
        elif element.number == _ATTACHMENTS:
            for attached in children(file, element, end):
                if attached.number == _ATTACHED:
                    found.calibration = _calibration(file, attached, end) or found.calibration
    return found


def _segment(file: IO[bytes], size: int) -> Element:
    """The segment; one whose size was never written, as its recording was not ended, reaches to the end."""
    at = file.tell()
    head = file.read(12)
    if head[:4] != SEGMENT.to_bytes(4, "big"):
        raise Damaged("it holds no segment")
    length, more = variable(head[4:])
    unknown = length == (1 << 7 * more) - 1 or length == 0
    return Element(SEGMENT, at + 4 + more, None if unknown else at + 4 + more + length)


def segment_children(file: IO[bytes], parent: Element, end: int) -> Iterator[Element]:
    """Elements of the segment; clusters without a size end where the next one begins."""
    at = parent.start
    while at < end:
        file.seek(at)
        child = read_element(file, end, clipped=CLUSTER)
        if child is None:
            return
        if child.end is None:
            if child.number != CLUSTER:
                raise Damaged(f"an element without a size at byte {at}")
            child = Element(child.number, child.start, _end_of_cluster(file, child.start, end))
        yield child
        assert child.end is not None
        at = child.end


def _end_of_cluster(file: IO[bytes], start: int, end: int) -> int:
    at = start
    while at < end:
        file.seek(at)
        try:
            child = read_element(file, end)
        except Damaged:
            return end  # what is whole in it is read
        if (
            child is None
            or child.end is None
            or child.number in (CLUSTER, _TRACKS, _INFO, 0x1C53BB6B, 0x1254C367)
        ):
            return at
        at = child.end
    return at


def _track(file: IO[bytes], entry: Element, end: int) -> tuple[int, Track]:
    found: dict[int, bytes] = {}
    width = height = 0
    for child in children(file, entry, end):
        if child.number == _VIDEO:
            for one in children(file, child, end):
                if one.number == _WIDTH:
                    width = unsigned(content(file, one, 8))
                elif one.number == _HEIGHT:
                    height = unsigned(content(file, one, 8))
        elif child.number in (_NUMBER, _NAME, _CODEC, _PRIVATE, _ENCODINGS):
            found[child.number] = content(file, child, _SMALL)
    name = found.get(_NAME, b"").decode("utf-8", "replace").rstrip("\0")
    codec = found.get(_CODEC, b"").decode("utf-8", "replace").rstrip("\0")
    private = found.get(_PRIVATE, b"")
    if codec == _FOURCC and len(private) >= 20:
        codec = private[16:20].decode("latin-1")
        if not private[16:20].strip(b"\0") and private[14:16] == b"\x10\0" and name in ("DEPTH", "IR"):
            codec = "b16g"  # cut with ffmpeg, which copies the frames and forgets how they are called
    elif codec == "V_MJPEG":
        codec = "MJPG"
    number = unsigned(found.get(_NUMBER, b""))
    return number, Track(name, codec, width, height, _ENCODINGS in found)


def _calibration(file: IO[bytes], attached: Element, end: int) -> bytes:
    name, data = b"", None
    for child in children(file, attached, end):
        if child.number == _FILE_NAME:
            name = content(file, child, _SMALL)
        elif child.number == _FILE_DATA:
            data = child
    if name.rstrip(b"\0") != b"calibration.json" or data is None:
        return b""
    return content(file, data, _ATTACHMENT)
