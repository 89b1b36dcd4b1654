"""Which video tracks a Matroska, AVI, MOV or MP4 file holds, read without decoding anything."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from tgkt_edge.errors import DataError

_MAX_HEADER = 1 << 24
"""Tables of tracks are some kilobytes; what claims to be larger is damaged."""


@dataclass(frozen=True)
class Track:
    """One video track.

    Attributes:
        codec: as the container names it, e.g. "V_FFV1", "FFV1", "avc1"; of raw video the code of its pixel format.
        name: what the writer called it, e.g. "DEPTH"; may be empty.
        odd_view: how it is to be shown where that is more than a turn by quarters, e.g. "mirrored"; may be empty.
    """

    codec: bytes
    name: str = ""
    odd_view: str = ""

    def __str__(self) -> str:
        codec = self.codec.decode("latin-1")
        return f"{self.name} ({codec})" if self.name else codec


def video_tracks(path: Path) -> list[Track]:
    """The video tracks of a file, in order.

    Raises:
        DataError: it cannot be read, is none of these containers, or is damaged.
    """
    try:
        with path.open("rb") as file:
            head = file.read(12)
            size = file.seek(0, 2)
            file.seek(0)
            if head.startswith(b"\x1a\x45\xdf\xa3"):
                return list(_matroska(file, size))
            if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
                return list(_avi(file, size))
            return list(_mov(file, size))
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except (struct.error, IndexError) as error:
        raise DataError(f"{path}: is damaged: its table of tracks cannot be read") from error


# Matroska: elements of an identity, a size and a content

_SEGMENT, _TRACKS, _CLUSTER = 0x18538067, 0x1654AE6B, 0x1F43B675
_ENTRY, _TYPE, _CODEC, _PRIVATE, _NAME, _VIDEO, _FOURCC = 0xAE, 0x83, 0x86, 0x63A2, 0x536E, 0xE0, 0x2EB524


def _matroska(file: BinaryIO, size: int) -> Iterator[Track]:
    while file.tell() < size:
        identity, length = _element(file)
        if identity == _SEGMENT:
            continue  # its parts follow
        if identity == _TRACKS:
            yield from _entries(_content(file, length))
            return
        if length is None or identity == _CLUSTER:
            return
        file.seek(length, 1)


def _entries(data: bytes) -> Iterator[Track]:
    for identity, body in _elements(data):
        if identity != _ENTRY:
            continue
        parts = dict(_elements(body))
        if int.from_bytes(parts.get(_TYPE, b"\0"), "big") != 1:
            continue
        codec, private = parts.get(_CODEC, b"").rstrip(b"\0"), parts.get(_PRIVATE, b"")
        if codec == b"V_MS/VFW/FOURCC":
            codec = private[16:20]
        elif codec == b"V_QUICKTIME":
            codec = private[4:8]
        elif codec == b"V_UNCOMPRESSED":
            codec = dict(_elements(parts.get(_VIDEO, b""))).get(_FOURCC, b"")
        yield Track(codec, parts.get(_NAME, b"").decode("utf-8", "replace"))


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    position = 0
    while position < len(data):
        identity, position = _number(data, position, keep_mark=True)
        length, position = _number(data, position, keep_mark=False)
        yield identity, data[position : position + length]
        position += length


def _number(data: bytes, position: int, keep_mark: bool) -> tuple[int, int]:
    width = 9 - data[position].bit_length()
    value = int.from_bytes(data[position : position + width], "big")
    return value if keep_mark else value & ~(1 << 7 * width), position + width


def _element(file: BinaryIO) -> tuple[int, int | None]:
    """The next identity and the length of its content; None: not known, it is being written or was cut off."""
    start = file.tell()
    head = file.read(12)
    identity, position = _number(head, 0, keep_mark=True)
    length, end = _number(head, position, keep_mark=False)
    file.seek(start + end)
    return identity, None if length == (1 << 7 * (end - position)) - 1 else length


def _content(file: BinaryIO, length: int | None) -> bytes:
    if length is None or length > _MAX_HEADER:
        raise struct.error
    data = file.read(length)
    if len(data) < length:
        raise struct.error
    return data


# AVI: lists and chunks of a name, a size and a content


def _avi(file: BinaryIO, size: int) -> Iterator[Track]:
    file.seek(12)
    while file.tell() + 12 <= size:
        name, length, kind = struct.unpack("<4sI4s", file.read(12))
        if name == b"LIST" and kind == b"hdrl":
            for part, body in _chunks(_content(file, length - 4)):
                if part == b"LIST" and body[:4] == b"strl":
                    chunks = dict(reversed(list(_chunks(body[4:]))))
                    if chunks.get(b"strh", b"")[:4] == b"vids":
                        yield Track(_avi_codec(chunks.get(b"strf", b"")), _text(chunks.get(b"strn", b"")))
            return
        file.seek(length + length % 2 - 4, 1)


def _avi_codec(header: bytes) -> bytes:
    """BITMAPINFOHEADER's code; without one, the pixels are blue, green and red, or a palette's."""
    bits, codec = struct.unpack_from("<H4s", header, 14)
    return codec if codec != bytes(4) else b"RGB of %d bits" % bits


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position + 8 <= len(data):
        name, length = struct.unpack_from("<4sI", data, position)
        yield name, data[position + 8 : position + 8 + length]
        position += 8 + length + length % 2


def _text(data: bytes) -> str:
    return data.rstrip(b"\0").decode("utf-8", "replace")


# MOV and MP4: atoms of a size, a name and a content


def _mov(file: BinaryIO, size: int) -> Iterator[Track]:
    while (start := file.tell()) + 8 <= size:
        length, name = struct.unpack(">I4s", file.read(8))
        head = 8
        if length == 1:
            length, head = struct.unpack(">Q", file.read(8))[0], 16
        elif length == 0:
            length = size - start
        if length < head:
            raise struct.error
        if name == b"moov":
            movie = list(_atoms(_content(file, length - head)))
            whole = _matrix(dict(movie).get(b"mvhd", b""), 36)
            for part, body in movie:
                if part == b"trak":
                    yield from _mov_track(body, whole)
            return
        file.seek(start + length)


_Matrix = tuple[int, int, int, int]
_ONE = 1 << 16  # in the fixed point of these matrices


def _matrix(header: bytes, position: int) -> _Matrix:
    """The upper left of a header's matrix; ``position``: where it lies if times take 4 bytes."""
    if header[:1] == b"\1":
        position += 12
    if len(header) < position + 36:
        return (_ONE, 0, 0, _ONE)
    a, b, _, c, d = struct.unpack_from(">5i", header, position)
    return a, b, c, d


def _odd_view(one: _Matrix, other: _Matrix) -> str:
    """What two matrices do together beside turning by quarters and scaling. FFmpeg obeys turns alone."""
    (a, b, c, d), (e, f, g, h) = one, other
    across = (a * e + b * g, a * f + b * h)
    down = (c * e + d * g, c * f + d * h)
    if across[0] * down[1] - across[1] * down[0] < 0:
        return "mirrored"
    plain = (across[1] == 0 and down[0] == 0) or (across[0] == 0 and down[1] == 0)
    return "" if plain else "turned by another angle than a quarter, or sheared"


def _mov_track(data: bytes, whole: _Matrix) -> Iterator[Track]:
    track = dict(_atoms(data))
    media = dict(_atoms(track.get(b"mdia", b"")))
    if media.get(b"hdlr", b"")[8:12] != b"vide":
        return
    view = _odd_view(_matrix(track.get(b"tkhd", b""), 40), whole)
    table = dict(_atoms(dict(_atoms(media.get(b"minf", b""))).get(b"stbl", b"")))
    description = table.get(b"stsd", b"")
    count, _, codec = struct.unpack_from(">II4s", description, 4)
    yield Track(codec if count == 1 else b"%d codecs" % count, odd_view=view)


def _atoms(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    position = 0
    while position + 8 <= len(data):
        length, name = struct.unpack_from(">I4s", data, position)
        head = 8
        if length == 1:
            length, head = struct.unpack_from(">Q", data, position + 8)[0], 16
        elif length == 0:
            length = len(data) - position
        if length < head:
            raise struct.error
        yield name, data[position + head : position + length]
        position += length
