"""Raw frames without any header, as cameras write them: plain numbers, and the packings of V4L2 and MIPI CSI-2.

The order of bits is that of the Linux kernel's "V4L2 image formats": Y10P (MIPI RAW10), Y12P (MIPI RAW12), Y10BPACK,
Y8I, Y12I and INZI.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import DataError
from tgkt_edge.io.formats.picture import Picture, check_size

_Bytes = NDArray[np.uint8]


@dataclass(frozen=True)
class Packing:
    """Rows of ``group`` pixels in ``size`` bytes, and how a row's bytes become its counts."""

    group: int
    size: int
    unpack: Callable[[_Bytes], NDArray[Any]]
    planes: int = 1
    plane: int = 0


def _plain(dtype: str) -> Packing:
    kind = np.dtype(dtype)
    native: np.dtype[Any] = kind.newbyteorder("=")
    return Packing(1, kind.itemsize, lambda rows: np.ascontiguousarray(rows).view(kind).astype(native))


def _raw10(rows: _Bytes) -> NDArray[Any]:
    """Four bytes of high bits, then one with the low two bits of each, the first pixel's lowest."""
    groups = rows.reshape(len(rows), -1, 5).astype(np.uint16)
    low = np.stack([(groups[..., 4] >> shift) & 3 for shift in (0, 2, 4, 6)], axis=-1)
    return ((groups[..., :4] << 2) | low).reshape(len(rows), -1)


def _raw12(rows: _Bytes) -> NDArray[Any]:
    """Two bytes of high bits, then one with the low four bits of each, the first pixel's lowest."""
    groups = rows.reshape(len(rows), -1, 3).astype(np.uint16)
    low = np.stack([groups[..., 2] & 15, groups[..., 2] >> 4], axis=-1)
    return ((groups[..., :2] << 4) | low).reshape(len(rows), -1)


def _bits10(rows: _Bytes) -> NDArray[Any]:
    """A stream of bits, the highest of each pixel first."""
    b = rows.reshape(len(rows), -1, 5).astype(np.uint16)
    pixels = [(b[..., i] << (2 + 2 * i)) & 1023 | (b[..., i + 1] >> (6 - 2 * i)) for i in range(4)]
    return np.stack(pixels, axis=-1).reshape(len(rows), -1)


def _left12(rows: _Bytes) -> NDArray[Any]:
    """The left of two pictures of 12 bits in three bytes, the low byte first."""
    groups = rows.reshape(len(rows), -1, 3).astype(np.uint16)
    return groups[..., 0] | ((groups[..., 1] & 15) << 8)


PACKINGS: dict[str, Packing] = {
    "uint8": _plain("u1"),
    "uint16": _plain("<u2"),
    "uint16be": _plain(">u2"),
    "float16": _plain("<f2"),
    "float32": _plain("<f4"),
    "float32be": _plain(">f4"),
    "y10p": Packing(4, 5, _raw10),
    "raw10": Packing(4, 5, _raw10),
    "y12p": Packing(2, 3, _raw12),
    "raw12": Packing(2, 3, _raw12),
    "y10bpack": Packing(4, 5, _bits10),
    "y8i": Packing(1, 2, lambda rows: np.ascontiguousarray(rows[:, ::2])),
    "y12i": Packing(1, 3, _left12),
    "inzi-ir": Packing(1, 2, _plain("<u2").unpack, planes=2, plane=0),
    "inzi-depth": Packing(1, 2, _plain("<u2").unpack, planes=2, plane=1),
}
"""How a headerless file may hold its frame, by the name that ``?packing=`` takes."""


def decode_packed(data: bytes, shape: str, packing: str = "uint16") -> Picture:
    """A frame of ``shape`` ("480x640": rows and columns) from all bytes of a file, or of a buffer of a camera.

    Args:
        packing: one of :data:`PACKINGS`.

    Raises:
        DataError: the words mean nothing, or the file holds another number of bytes.
    """
    found = re.fullmatch(r"(\d{1,6})x(\d{1,6})", shape)
    if found is None:
        raise DataError(f"shape={shape}: expected rows and columns, e.g. shape=480x640")
    known = PACKINGS.get(packing.lower())
    if known is None:
        raise DataError(f"packing={packing}: expected one of {', '.join(PACKINGS)}")
    height, width = int(found.group(1)), int(found.group(2))
    check_size(width, height)
    if width % known.group:
        raise DataError(f"packing={packing} holds rows of a multiple of {known.group} pixels, not of {width}")
    row = width // known.group * known.size
    expected = row * height * known.planes
    if len(data) != expected:
        raise DataError(
            f"holds {len(data)} bytes; {height} rows of {width} pixels as {packing} are {expected}. Correct shape or "
            f"packing; a header or the padding of rows has to be cut off first."
        )
    rows = np.frombuffer(data, np.uint8).reshape(known.planes, height, row)[known.plane]
    return Picture(known.unpack(rows), frame_only="a file of raw numbers")
