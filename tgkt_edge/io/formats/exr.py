"""OpenEXR with one part of scan lines, uncompressed or packed without loss by RLE or zlib: read here."""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import DataError
from tgkt_edge.io.formats.picture import Picture, check_size

MAGIC = b"\x76\x2f\x31\x01"

_TYPES: dict[int, np.dtype[Any]] = {0: np.dtype("<u4"), 1: np.dtype("<f2"), 2: np.dtype("<f4")}
_NONE, _RLE, _ZIPS, _ZIP = range(4)
_ROWS = {_NONE: 1, _RLE: 1, _ZIPS: 1, _ZIP: 16}
_PACKINGS = {4: "PIZ", 5: "PXR24", 6: "B44", 7: "B44A", 8: "DWAA", 9: "DWAB"}
_KINDS = {0x200: "tiles", 0x800: "deep data", 0x1000: "several parts"}
_REPACK = "Save it as scan lines with ZIP: oiiotool IN --scanline --compression zip -o OUT, or as .npy."


@dataclass(frozen=True)
class _Channel:
    name: str
    dtype: np.dtype[Any]


def decode_exr(data: bytes, channel: str | None = None) -> Picture:
    """The only channel of an OpenEXR; of several the one that ``channel`` names, else Z (distance, by OpenEXR's own
    convention), else grey where red, green and blue are equal.

    Raises:
        DataError: truncated, damaged, tiled, deep, several parts, packed otherwise; or the channel is not clear.
    """
    attributes, position = _header(data)
    window = _window(attributes, b"dataWindow")
    if window != _window(attributes, b"displayWindow"):
        raise DataError(f"is an OpenEXR of which only a part is stored (data window {window}). {_REPACK}")
    left, top, right, bottom = window
    width, height = right - left + 1, bottom - top + 1
    check_size(width, height)
    packing = (attributes.get(b"compression") or b"\xff")[0]
    if packing not in _ROWS:
        raise DataError(
            f"is an OpenEXR compressed with {_PACKINGS.get(packing, f'method {packing}')}, which is not read. {_REPACK}"
        )
    channels = _channels(attributes.get(b"channels", b""))
    expected = _choose([one.name for one in channels], channel)
    planes = _planes(data, position, channels, expected, (width, height, top), packing)
    pixels = planes[0] if len(planes) == 1 else np.stack(planes, axis=2)
    return Picture(pixels, frame_only="an OpenEXR of floating-point numbers")


def _choose(names: list[str], channel: str | None) -> list[str]:
    """The channel to read, or blue, green and red, of which grey may be made."""
    if channel is not None:
        if channel not in names:
            raise DataError(f"holds no channel '{channel}'. It holds {', '.join(names)}.")
        return [channel]
    if len(names) == 1:
        return names
    if "Z" in names:
        return ["Z"]
    if set(names) in ({"R", "G", "B"}, {"R", "G", "B", "A"}):
        return ["B", "G", "R"]
    raise DataError(f"holds the channels {', '.join(names)}. Name one: FILE?channel={names[0]}")


def _header(data: bytes) -> tuple[dict[bytes, bytes], int]:
    if len(data) < 8:
        raise DataError(f"is truncated ({len(data)} bytes)")
    version = struct.unpack_from("<I", data, 4)[0]
    for bit, kind in _KINDS.items():
        if version & bit:
            raise DataError(f"is an OpenEXR with {kind}, which is not read. {_REPACK}")
    if version & 0xFF != 2:
        raise DataError(f"is an OpenEXR of version {version & 0xFF}, which is not read")
    attributes: dict[bytes, bytes] = {}
    position = 8
    while data[position : position + 1] != b"\0":
        name, position = _text(data, position)
        _, position = _text(data, position)
        if position + 4 > len(data):
            raise DataError("is truncated: it ends within its header")
        size = struct.unpack_from("<i", data, position)[0]
        position += 4
        if size < 0 or position + size > len(data):
            raise DataError("is truncated: it ends within its header")
        attributes[name] = data[position : position + size]
        position += size
    return attributes, position + 1


def _text(data: bytes, position: int) -> tuple[bytes, int]:
    end = data.find(b"\0", position, position + 257)
    if end <= position:
        raise DataError("is damaged or truncated: its header cannot be read")
    return data[position:end], end + 1


def _window(attributes: dict[bytes, bytes], name: bytes) -> tuple[int, int, int, int]:
    value = attributes.get(name, b"")
    if len(value) != 16:
        raise DataError(f"is damaged: its header lacks {name.decode()}")
    left, top, right, bottom = struct.unpack("<4i", value)
    return left, top, right, bottom


def _channels(value: bytes) -> list[_Channel]:
    found = []
    position = 0
    while position < len(value) and value[position] != 0:
        name, position = _text(value, position)
        if position + 16 > len(value):
            raise DataError("is damaged: its list of channels ends too early")
        kind, across, down = struct.unpack_from("<i4xii", value, position)
        position += 16
        if kind not in _TYPES or (across, down) != (1, 1):
            raise DataError(
                "is an OpenEXR with a channel of a kind that is not read (subsampled or of unknown type)"
            )
        found.append(_Channel(name.decode("latin-1"), _TYPES[kind]))
    if not found:
        raise DataError("is damaged: it has no channel")
    return found


def _planes(
    data: bytes,
    position: int,
    channels: list[_Channel],
    expected: list[str],
    window: tuple[int, int, int],
    packing: int,
) -> list[NDArray[Any]]:
    """The channels ``expected``, each (H, W). ``window``: width, height and number of the first row."""
    width, height, first = window
    step = _ROWS[packing]
    count = -(-height // step)
    if position + 8 * count > len(data):
        raise DataError("is truncated: it ends within its table of lines")
    offsets = struct.unpack_from(f"<{count}Q", data, position)
    row = width * sum(one.dtype.itemsize for one in channels)
    starts: dict[str, tuple[int, np.dtype[Any]]] = {}
    at = 0
    for one in channels:
        starts[one.name] = (at, one.dtype)
        at += width * one.dtype.itemsize
    planes = [np.zeros((height, width), starts[name][1].newbyteorder("=")) for name in expected]
    seen = np.zeros(height, np.bool_)
    for offset in offsets:
        if offset == 0 or offset + 8 > len(data):
            raise DataError("is truncated: lines of the picture are missing")
        line, size = struct.unpack_from("<ii", data, offset)
        top = line - first
        if size < 0 or not 0 <= top < height or top % step:
            raise DataError("is damaged: a block of lines cannot be read")
        if offset + 8 + size > len(data):
            raise DataError("is truncated: lines of the picture are missing")
        tall = min(step, height - top)
        plain = _unpacked(data[offset + 8 : offset + 8 + size], packing, tall * row)
        rows = np.frombuffer(plain, np.uint8).reshape(tall, row)
        for plane, name in zip(planes, expected, strict=True):
            start, dtype = starts[name]
            held = np.ascontiguousarray(rows[:, start : start + width * dtype.itemsize])
            plane[top : top + tall] = held.view(dtype)
        seen[top : top + tall] = True
    if not seen.all():
        raise DataError("is damaged: lines of the picture are missing")
    return planes


def _unpacked(held: bytes, packing: int, size: int) -> bytes:
    if packing == _NONE or len(held) == size:  # what does not shrink is stored as it is
        if len(held) != size:
            raise DataError("is damaged: a block of lines has another size than its pixels")
        return held
    try:
        mixed = (
            _run_lengths(held, size) if packing == _RLE else zlib.decompressobj().decompress(held, size + 1)
        )
    except zlib.error as error:
        raise DataError(f"is damaged: its pixels cannot be unpacked ({error})") from error
    if len(mixed) != size:
        raise DataError("is damaged: a block of lines has another size than its pixels")
    steps = np.frombuffer(mixed, np.uint8).astype(np.int64)
    steps[1:] -= 128
    halves = np.cumsum(steps).astype(np.uint8)
    plain = np.empty(size, np.uint8)
    plain[0::2], plain[1::2] = halves[: (size + 1) // 2], halves[(size + 1) // 2 :]
    return plain.tobytes()


def _run_lengths(held: bytes, size: int) -> bytes:
    out = bytearray()
    position = 0
    while position < len(held) and len(out) <= size:
        count = held[position]
        if count > 127:  # negative: so many bytes as they are
            out += held[position + 1 : position + 1 + 256 - count]
            position += 1 + 256 - count
        else:
            out += held[position + 1 : position + 2] * (count + 1)
            position += 2
    return bytes(out)
