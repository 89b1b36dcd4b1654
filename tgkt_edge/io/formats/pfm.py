"""PFM: one channel of 32-bit floating-point numbers, read here. Its scale factor is not applied, as nobody's is."""

from __future__ import annotations

import re

import numpy as np

from tgkt_edge.errors import DataError
from tgkt_edge.io.formats.picture import Picture, check_size
from tgkt_edge.notes import note

_HEADER = re.compile(rb"Pf\s+(\d{1,9})\s+(\d{1,9})\s+([-+0-9.eE]{1,40})\s")
_ANOTHER = re.compile(rb"P[fF]\s+\d")


def decode_pfm(data: bytes) -> Picture:
    """A grey PFM, its rows from the bottom to the top. The sign of its scale says the order of bytes; a scale other
    than 1 is noted, and the numbers stay as they are stored: Middlebury's disparities have one for showing them.

    Raises:
        DataError: truncated, damaged, in colour, or several pictures.
    """
    if data.startswith(b"PF"):
        raise DataError(
            "is a PFM of three channels, which is not read; expected one (Pf). Save the sensor's alone."
        )
    header = _HEADER.match(data)
    if header is None:
        raise DataError("is damaged: its header is not that of a PFM")
    width, height = int(header.group(1)), int(header.group(2))
    check_size(width, height)
    try:
        scale = float(header.group(3))
    except ValueError:
        scale = 0.0
    if not np.isfinite(scale) or scale == 0:
        raise DataError(
            f"is damaged: its scale is {header.group(3).decode()}, and its sign says the order of bytes"
        )
    start, size = header.end(), 4 * width * height
    if len(data) - start < size:
        raise DataError(f"is truncated ({len(data) - start} of {size} bytes of pixels)")
    if _ANOTHER.match(data, start + size):
        raise DataError("holds several pictures. Write each to a file of its own.")
    if abs(scale) != 1:
        note(
            f"PFM files say a scale of {abs(scale):g}: their numbers are read as they are stored, without it"
        )
    pixels = np.frombuffer(data, "<f4" if scale < 0 else ">f4", width * height, start)
    rows = pixels.reshape(height, width)[::-1].astype(np.float32)
    return Picture(np.ascontiguousarray(rows), frame_only="a PFM of floating-point numbers")
