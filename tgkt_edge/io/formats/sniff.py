"""What a file is, by its first bytes. Names of files decide nothing."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

from tgkt_edge.errors import DataError
from tgkt_edge.io.formats import exr, npy
from tgkt_edge.io.formats.bmp import decode_bmp
from tgkt_edge.io.formats.jpeg import decode_jpeg
from tgkt_edge.io.formats.other_files import image_of_brands, refusal
from tgkt_edge.io.formats.packed import decode_packed
from tgkt_edge.io.formats.pfm import decode_pfm
from tgkt_edge.io.formats.picture import Picture
from tgkt_edge.io.formats.png import SIGNATURE, decode_png
from tgkt_edge.io.formats.pnm import decode_pnm
from tgkt_edge.io.formats.tiff import decode_tiff
from tgkt_edge.io.formats.webp import decode_webp

READ = "PNG, TIFF, JPEG, PGM, PPM, BMP, WebP, PFM, OpenEXR, NumPy (.npy, .npz)"
"""The formats that are read."""

HEAD = 512
"""So many bytes of a file tell what it is."""

VIDEO = "a video"

STACKS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
"""How a TIFF begins."""


def is_picture(head: bytes) -> bool:
    """Whether a file that begins with ``head`` is of a format in :data:`READ`."""
    return _decoder(head) is not None


def is_video(head: bytes) -> bool:
    """Whether a file that begins with ``head`` is Matroska, AVI, MOV or MP4."""
    return (
        head.startswith(b"\x1a\x45\xdf\xa3")
        or (head[:4] == b"RIFF" and head[8:12] == b"AVI ")
        or _is_mov(head)
    )


def decode(data: bytes, **part: Any) -> Picture:
    """One picture, of whatever format it is.

    Args:
        part: which part of the file is meant: ``page`` of a TIFF or a NumPy stack, ``array`` of a .npz, ``channel`` of
            an OpenEXR; ``shape`` and ``packing`` of a file without a header.

    Raises:
        DataError: what it is instead, or what is wrong with it. Its text lacks the name of the file.
    """
    if "shape" in part:
        return decode_packed(data, **part)
    decoder = _decoder(data[:HEAD])
    if decoder is None:
        raise DataError(_refusal(data))
    known = _PARTS.get(decoder, ())
    for word in part:
        if word not in known:
            raise DataError(f"is of a format that has no {word}; read it without '?{word}='")
    return decoder(data, **part)


def _decode_npy(data: bytes, page: int | None = None) -> Picture:
    return npy.decode_npy(io.BytesIO(data), page)


_Decoder = Callable[..., Picture]
_PARTS: dict[_Decoder, tuple[str, ...]] = {
    decode_tiff: ("page",),
    _decode_npy: ("page",),
    npy.decode_npz: ("page", "array"),
    exr.decode_exr: ("channel",),
}


def _decoder(head: bytes) -> _Decoder | None:
    if head.startswith(SIGNATURE):
        return decode_png
    if head.startswith(b"\xff\xd8\xff"):
        return decode_jpeg
    if head.startswith(STACKS):
        return decode_tiff
    if head.startswith(npy.MAGIC):
        return _decode_npy
    if head.startswith(b"PK\3\4"):
        return npy.decode_npz
    if head.startswith(exr.MAGIC):
        return exr.decode_exr
    if head[:2] in (b"Pf", b"PF") and head[2:3].isspace():
        return decode_pfm
    if head[:2] in (b"P2", b"P3", b"P5", b"P6") and (head[2:3].isspace() or head[2:3] == b"#"):
        return decode_pnm
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return decode_webp
    if head[:2] == b"BM" and len(head) >= 18 and head[15:18] == b"\0\0\0":  # a header of less than 256 bytes
        return decode_bmp
    return None


def _refusal(data: bytes) -> str:
    if is_video(data[:HEAD]):
        return f"is a video, not an image ({len(data)} bytes)"
    return refusal(data[:HEAD]) or (
        f"is damaged or not an image ({len(data)} bytes). Read are {READ}, and raw numbers without a header as "
        f"FILE?shape=480x640&packing=uint16."
    )


def _is_mov(head: bytes) -> bool:
    if head[4:8] == b"ftyp":
        return not image_of_brands(head)
    return head[4:8] in (b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot")
