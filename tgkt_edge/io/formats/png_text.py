"""EXIF in the texts of a PNG: where ImageMagick and others kept it before the format had a chunk for it (2017)."""

from __future__ import annotations

import zlib

_KEYWORDS = (b"Raw profile type exif", b"Raw profile type APP1")
_MOST = 1 << 20


def exif_in_text(name: bytes, body: bytes) -> bytes:
    """The EXIF data that a chunk ``tEXt``, ``zTXt`` or ``iTXt`` holds as hexadecimal digits; empty if it holds none."""
    keyword, _, rest = body.partition(b"\0")
    if keyword not in _KEYWORDS:
        return b""
    packed = name == b"zTXt" or (name == b"iTXt" and rest[:1] == b"\1")
    if name == b"iTXt":  # packed or not, how, a language, the keyword in it
        rest = rest[2:].split(b"\0", 2)[-1]
    elif name == b"zTXt":
        rest = rest[1:]
    try:
        text = zlib.decompressobj().decompress(rest, _MOST) if packed else rest
        words = text.split()  # the profile's name, its length, digits
        data = bytes.fromhex(b"".join(words[2:]).decode("ascii"))
    except (zlib.error, ValueError):
        return b""
    return data if data.startswith((b"Exif\0\0", b"II*\0", b"MM\0*")) else b""  # APP1 may be XMP as well
