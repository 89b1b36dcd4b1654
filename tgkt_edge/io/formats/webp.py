"""WebP: its container is checked, its one picture decoded by OpenCV."""

from __future__ import annotations

import struct

import numpy as np

from tgkt_edge.errors import DataError
from tgkt_edge.io.formats.picture import Picture, check_size, opencv_decode
from tgkt_edge.io.formats.tiff_tags import orientation_of

_LOSSY = "is a lossy WebP, which squeezes intensities to 16..235 and loses the raw counts. Record PNG, or lossless WebP"


def decode_webp(data: bytes) -> Picture:
    """A WebP that is no animation. Transparency of lossy ones is left out.

    Raises:
        DataError: truncated, damaged, or an animation.
    """
    end = 8 + struct.unpack_from("<I", data, 4)[0]
    if end > len(data):
        raise DataError(f"is truncated ({len(data)} of {end} bytes)")
    position, picture, exif = 12, (b"", b""), b""
    while position + 8 <= end:
        name, length = struct.unpack_from("<4sI", data, position)
        if position + 8 + length > end:
            raise DataError(f"is truncated: it ends within its part {name!r}")
        body = data[position + 8 : position + 8 + length]
        if name in (b"ANIM", b"ANMF"):
            raise DataError("holds several frames (an animated WebP). Write each to a file of its own.")
        if name in (b"VP8 ", b"VP8L") and not picture[0]:
            picture = (name, body)
        elif name == b"EXIF":
            exif = exif or body
        position += 8 + length + length % 2
    name, body = picture
    alpha = False
    if name == b"VP8L" and len(body) >= 5 and body[0] == 0x2F:
        packed = struct.unpack_from("<I", body, 1)[0]
        width, height, alpha = (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1, bool(packed >> 28 & 1)
    elif name == b"VP8 " and len(body) >= 10 and body[3:6] == b"\x9d\x01\x2a":
        width, height = (value & 0x3FFF for value in struct.unpack_from("<HH", body, 6))
    else:
        raise DataError("is damaged: it holds no picture")
    check_size(width, height)
    padded = body + b"\0" * (len(body) % 2)
    clean = struct.pack("<4sI4s4sI", b"RIFF", 12 + len(padded), b"WEBP", name, len(body)) + padded
    pixels = opencv_decode(clean, (height, width, 4 if alpha else 3), np.uint8)
    return Picture(pixels, 255, orientation_of(exif) if exif else 1, _LOSSY if name == b"VP8 " else "")
