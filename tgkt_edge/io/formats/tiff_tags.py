"""The directories of a TIFF file, which EXIF data are as well. Nothing is trusted: every offset is checked."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from mmap import mmap
from typing import Literal

from tgkt_edge.errors import DataError

ORIENTATION = 274

_EXIF = b"Exif\0\0"
_SIZES = {1: 1, 2: 1, 3: 2, 4: 4, 6: 1, 7: 1, 8: 2, 9: 4, 13: 4, 16: 8, 17: 8, 18: 8}
_LETTERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
_MAX_VALUES = 1 << 22

Tags = dict[int, "tuple[int, ...] | bytes"]
"""Tag number -> its whole numbers, or the bytes of a text. Rational numbers and floats are left out."""


def directories(data: bytes | mmap, at_most: int = 100_000) -> Iterator[Tags]:
    """The directories of a TIFF file (also BigTIFF), in the order of its chain.

    Raises:
        DataError: the file ends too early, or the chain leads back.
    """
    order: Literal["<", ">"] = "<" if data[:2] == b"II" else ">"
    magic = _unpack(order + "H", data, 2)
    big = magic == 43
    if magic not in (42, 43) or (big and _unpack(order + "HH", data, 4, 0) != 8):
        raise DataError("is damaged: its TIFF header cannot be read")
    offset = _unpack(order + ("Q" if big else "I"), data, 8 if big else 4)
    seen: set[int] = set()
    while offset and len(seen) < at_most:
        if offset in seen:
            raise DataError("is damaged: its list of pages leads back to an earlier one")
        seen.add(offset)
        tags, offset = _directory(data, offset, order, big)
        yield tags


def orientation_of(exif: bytes) -> int:
    """The orientation 1 to 8 that EXIF data say; 1 if they say none, or are damaged.

    JPEG's mark of EXIF may stand before them: some programs write it into other formats, too.
    """
    while exif.startswith(_EXIF):
        exif = exif[len(_EXIF) :]
    try:
        tags = next(directories(exif, at_most=1), {})
    except DataError:
        return 1
    return checked_orientation(tags)


def checked_orientation(tags: Tags) -> int:
    """The orientation 1 to 8 of one directory; 1 for none, and for numbers that mean nothing."""
    found = tags.get(ORIENTATION, (1,))
    value = found[0] if found else 1
    return value if 1 <= value <= 8 else 1


def _directory(data: bytes | mmap, offset: int, order: str, big: bool) -> tuple[Tags, int]:
    count = _unpack(order + ("Q" if big else "H"), data, offset)
    start, size, inline = (offset + 8, 20, 8) if big else (offset + 2, 12, 4)
    if count > (len(data) - start) // size:
        raise DataError("is truncated: it ends within its list of tags")
    tags: Tags = {}
    for place in range(start, start + count * size, size):
        tag, kind = struct.unpack_from(order + "HH", data, place)
        number = _unpack(order + ("Q" if big else "I"), data, place + 4)
        width = _SIZES.get(kind)
        if width is None or tag in tags:
            continue
        if number > _MAX_VALUES:
            raise DataError(f"is damaged: tag {tag} has {number} values")
        where = place + size - inline
        if number * width > inline:
            where = _unpack(order + ("Q" if big else "I"), data, where)
        if where + number * width > len(data):
            raise DataError(f"is truncated: it ends before the values of tag {tag}")
        if kind in _LETTERS:
            tags[tag] = struct.unpack_from(f"{order}{number}{_LETTERS[kind]}", data, where)
        else:
            tags[tag] = bytes(data[where : where + number])
    return tags, _unpack(order + ("Q" if big else "I"), data, start + count * size)


def _unpack(form: str, data: bytes | mmap, offset: int, position: int = 0) -> int:
    if offset + struct.calcsize(form) > len(data):
        raise DataError("is truncated: it ends within its list of tags")
    value: int = struct.unpack_from(form, data, offset)[position]
    return value
