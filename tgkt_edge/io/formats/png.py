"""PNG: checked chunk by chunk, decoded by OpenCV from the chunks that hold pixels and no others."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

import numpy as np

from tgkt_edge.errors import DataError
from tgkt_edge.io.complaints import decode_and_listen
from tgkt_edge.io.formats.picture import Picture, check_size, opencv_decode
from tgkt_edge.io.formats.png_text import exif_in_text
from tgkt_edge.io.formats.tiff_tags import orientation_of

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_GREY, _COLOUR, _PALETTE, _GREY_ALPHA, _COLOUR_ALPHA = 0, 2, 3, 4, 6
_DEPTHS = {
    _GREY: (1, 2, 4, 8, 16),
    _COLOUR: (8, 16),
    _PALETTE: (1, 2, 4, 8),
    _GREY_ALPHA: (8, 16),
    _COLOUR_ALPHA: (8, 16),
}


def decode_png(data: bytes) -> Picture:
    """A PNG. Grey of 1, 2 and 4 bits keeps its counts; gamma, significant bits and transparent colours change nothing.
    What follows the end mark is left alone.

    Raises:
        DataError: truncated, damaged, or an animation of several frames.
    """
    parts: dict[bytes, list[bytes]] = {}
    exif = old_exif = b""
    for name, body in _chunks(data):
        if name in (b"IHDR", b"PLTE", b"IDAT"):
            parts.setdefault(name, []).append(body)
        elif name == b"eXIf":
            exif = exif or body
        elif name == b"acTL" and len(body) == 8 and (frames := struct.unpack(">I", body[:4])[0]) > 1:
            raise DataError(f"holds {frames} frames (an animated PNG). Write each to a file of its own.")
        elif name == b"CgBI":
            raise DataError(
                "is a PNG as Xcode changes them for iPhones (CgBI), which is not read. Change it back: "
                "xcrun pngcrush -revert-iphone-optimizations IN OUT"
            )
        elif name in (b"tEXt", b"zTXt", b"iTXt") and not old_exif:
            old_exif = exif_in_text(name, body)
        elif not name[0] & 0x20 and name != b"IEND":
            raise DataError(f"is damaged: it has a chunk {name!r} that no decoder knows")
    head = parts.get(b"IHDR", [b""])[0]
    if len(head) != 13:
        raise DataError("is damaged: it has no header")
    width, height, bits, colour, method, filters, interlaced = struct.unpack(">IIBBBBB", head)
    check_size(width, height)
    if bits not in _DEPTHS.get(colour, ()) or method or filters or interlaced > 1:
        raise DataError(f"is damaged: {bits} bits of colour type {colour} do not exist")
    palette = parts.get(b"PLTE", [])[:1] if colour == _PALETTE else []
    if colour == _PALETTE and not (palette and 3 <= len(palette[0]) <= 768 and len(palette[0]) % 3 == 0):
        raise DataError("is damaged: it has no palette")
    stream = b"".join(parts.get(b"IDAT", []))
    if 8 * 1032 * len(stream) < width * height * bits:  # deflate makes nothing smaller than that
        raise DataError(f"is truncated: {len(stream)} bytes cannot hold {width}x{height} pixels")
    clean = SIGNATURE + b"".join(
        _chunk(name, body)
        for name, body in (
            (b"IHDR", head),
            *((b"PLTE", one) for one in palette),
            (b"IDAT", stream),
            (b"IEND", b""),
        )
    )
    channels = {_GREY: (), _COLOUR: (3,), _PALETTE: (3,)}.get(colour, (4,))
    shape, dtype = (height, width, *channels), np.uint16 if bits == 16 else np.uint8
    pixels, _ = decode_and_listen(lambda: opencv_decode(clean, shape, dtype))
    top = 255
    if colour == _GREY and bits < 8:  # libpng spreads them over 0 to 255, by a whole factor
        top = (1 << bits) - 1
        pixels = pixels // (255 // top)
    return Picture(pixels, 65535 if bits == 16 else top, orientation_of(exif or old_exif))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Name and content of every chunk up to the end mark. Optional ones whose checksum differs are left out."""
    position = len(SIGNATURE)
    while True:
        if position + 12 > len(data):
            raise DataError(f"is truncated ({len(data)} bytes, no end mark)")
        length, name = struct.unpack_from(">I4s", data, position)
        end = position + 12 + length
        if end > len(data):
            if not name.isalpha():
                raise DataError("is damaged: it has a chunk without a name")
            raise DataError(f"is truncated ({len(data)} bytes, no end mark)")
        if zlib.crc32(data[position + 4 : end - 4]) == struct.unpack_from(">I", data, end - 4)[0]:
            yield name, data[position + 8 : end - 4]
        elif not name[0] & 0x20:
            raise DataError(f"is damaged: the checksum of its chunk {name.decode('latin-1')!r} differs")
        position = end
        if name == b"IEND":
            break
    if data.startswith(SIGNATURE, position):
        raise DataError("holds several pictures, one behind the other. Write each to a file of its own.")


def _chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(body, zlib.crc32(name)))
