"""TIFF and BigTIFF with whole numbers of 8 or 16 bits, or floating-point numbers of 16 or 32: read here, so that no tag
is obeyed on some depths only."""

from __future__ import annotations

import re
import zlib
from collections.abc import Iterator
from mmap import mmap
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import DataError
from tgkt_edge.io.formats.picture import Picture, check_page, check_size
from tgkt_edge.io.formats.tiff_packing import unpack_bits, unpack_lzw
from tgkt_edge.io.formats.tiff_tags import Tags, checked_orientation, directories

SPLIT = (
    "; or write each to a file of its own, e.g. python3 -c \"import cv2; [cv2.imwrite(f'page_{i:05d}.png', page) for "
    "i, page in enumerate(cv2.imreadmulti('IN', flags=-1)[1])]\""
)
"""What to do about a file of several pages."""

_KINDS = {2: "signed whole numbers", 3: "floating-point numbers", 4: "undefined", 5: "complex", 6: "complex"}
_PACKINGS = {
    2: "CCITT", 3: "CCITT", 4: "CCITT", 6: "JPEG", 7: "JPEG", 34661: "JBIG", 34712: "JPEG 2000", 34887: "LERC",
    34925: "LZMA", 50000: "Zstandard", 50001: "WebP", 50002: "JPEG XL",
}  # fmt: skip
_COLOURS = {
    3: "a palette",
    4: "a mask",
    5: "CMYK",
    6: "YCbCr",
    8: "Lab",
    32803: "a colour filter array (raw, DNG)",
}
_DNG_VERSION = 50706
_NONE, _LZW, _DEFLATE, _OLD_DEFLATE, _PACKBITS = 1, 5, 8, 32946, 32773
_UNCOMPRESS = "Save it uncompressed or with deflate: tiffcp -c zip IN OUT"


def decode_tiff(data: bytes, page: int | None = None) -> Picture:
    """The page of a TIFF, or of several the one that ``page`` names. Grey, or colour of three or four channels; strips
    or tiles; uncompressed, PackBits, LZW or deflate, with or without differences of neighbours. Thumbnails and masks
    beside the pages are left alone.

    Raises:
        DataError: truncated, damaged, several pages, or a kind that is not read (signed, palette, JPEG, ...).
    """
    pages = _page_tags(data)
    count = max(len(pages), _imagej_pages(pages[0]))
    number = check_page(page, count, SPLIT)
    if len(pages) == 1 and count > 1:
        raise DataError(
            f"holds {count} pages as ImageJ writes stacks of more than 4 GB, which is not read{SPLIT}"
        )
    tags = pages[number]
    width, height = _one(tags, 256, 0), _one(tags, 257, 0)
    check_size(width, height)
    samples = _one(tags, 277, 1)
    dtype = _dtype(tags, samples, data[:2] == b"II")
    if _one(tags, 266, 1) != 1 or _one(tags, 32997, 1) != 1:
        raise DataError("is a TIFF with reversed bits or several slices, which is not read. Save it as PNG.")
    planes = samples if _one(tags, 284, 1) == 2 else 1
    pixels = np.zeros((height, width, samples), dtype.newbyteorder("="))
    for top, left, plane, segment in _segments(data, tags, (height, width), samples // planes, planes, dtype):
        part = pixels[top : top + segment.shape[0], left : left + segment.shape[1]]
        chosen = slice(plane, plane + 1) if planes > 1 else slice(None)
        part[..., chosen] = segment[: part.shape[0], : part.shape[1]]
    if samples == 1:
        pixels = pixels[..., 0]
    else:
        pixels = pixels[..., [2, 1, 0, 3][:samples]]
    orientation = checked_orientation(tags)
    if pixels.dtype.kind == "f":
        return Picture(pixels, orientation=orientation, frame_only="a TIFF of floating-point numbers")
    return Picture(pixels, int(np.iinfo(pixels.dtype).max), orientation)


def count_tiff_pages(data: bytes | mmap) -> int:
    """How many pages a TIFF has, thumbnails and masks not counted. Raises DataError if it is damaged."""
    pages = _page_tags(data)
    return max(len(pages), _imagej_pages(pages[0]))


def _page_tags(data: bytes | mmap) -> list[Tags]:
    """The directories of the pages; at least one."""
    every = list(directories(data))
    if any(_DNG_VERSION in tags for tags in every):
        raise DataError(
            "is a DNG (a camera's raw file), which is not read. Export its counts as 16-bit PNG or TIFF."
        )
    pages = [tags for tags in every if not _one(tags, 254, 0) & 5 and _one(tags, 255, 1) != 2]
    if not pages:
        raise DataError("is damaged: it has no page")
    return pages


def _one(tags: Tags, tag: int, default: int) -> int:
    values = tags.get(tag)
    return values[0] if values else default


def _imagej_pages(tags: Tags) -> int:
    """ImageJ writes stacks of more than 4 GB as one page and a word in its description."""
    text = tags.get(270, b"")
    if not isinstance(text, bytes) or not text.startswith(b"ImageJ="):
        return 1
    found = re.search(rb"\bimages=(\d{1,9})\b", text)
    return int(found.group(1)) if found else 1


def _dtype(tags: Tags, samples: int, little: bool) -> np.dtype[Any]:
    """The number format of a sample. Raises DataError for everything that is not read."""
    depths = set(tags.get(258, (1,)))
    kinds = set(tags.get(339, (1,)))
    floats = kinds == {3} and depths in ({16}, {32}) and samples == 1
    if kinds != {1} and not floats:
        kind = next(iter(kinds - {1}))
        advice = "32 bits and one channel." if kind == 3 else "unsigned 16 bits, e.g. as PNG."
        raise DataError(
            f"is a TIFF of {_KINDS.get(kind, f'sample format {kind}')}, {max(depths)} bits each; expected unsigned "
            f"whole numbers, or floating-point numbers of 16 or 32 bits in one channel. Save it with {advice}"
        )
    if not floats and depths not in ({8}, {16}):
        bits = ", ".join(str(depth) for depth in sorted(depths))
        raise DataError(
            f"is a TIFF of {bits} bits a sample; expected 8 or 16. Save it with 16 bits, e.g. as PNG."
        )
    colours = _one(tags, 262, 1)
    if colours == 0:
        raise DataError(
            "is a TIFF in which 0 is white (min-is-white), so that its counts or their meaning are reversed. If the "
            "counts are the sensor's as they are, correct the tag: tiffset -s 262 1 FILE; else reverse them."
        )
    if (colours, samples) not in ((1, 1), (2, 3), (2, 4)):
        what = _COLOURS.get(colours, f"colour kind {colours}")
        raise DataError(
            f"is a TIFF of {what if colours not in (1, 2) else f'{samples} channels'}, which is not read; expected "
            f"grey (one channel) or RGB. Save it as PNG."
        )
    packing = _one(tags, 259, 1)
    if packing not in (_NONE, _LZW, _DEFLATE, _OLD_DEFLATE, _PACKBITS):
        raise DataError(
            f"is a TIFF compressed with {_PACKINGS.get(packing, f'method {packing}')}, which is not read. {_UNCOMPRESS}"
        )
    if _one(tags, 317, 1) not in ((1, 3) if floats else (1, 2)):
        raise DataError(f"is a TIFF with predictor {_one(tags, 317, 1)}, which is not read. {_UNCOMPRESS}")
    plain = np.dtype(f"{'f' if floats else 'u'}{max(depths) // 8}")
    return plain.newbyteorder("<" if little else ">")


def _segments(
    data: bytes, tags: Tags, size: tuple[int, int], samples: int, planes: int, dtype: np.dtype[Any]
) -> Iterator[tuple[int, int, int, NDArray[Any]]]:
    """Top row, left column, plane and pixels (h, w, samples) of every strip or tile."""
    height, width = size
    if 322 in tags:
        across, down = _one(tags, 322, 0), _one(tags, 323, 0)
        offsets, counts = tags.get(324, ()), tags.get(325, ())
    else:
        across, down = width, min(_one(tags, 278, height), height)
        offsets, counts = tags.get(273, ()), tags.get(279, ())
    if not 0 < across <= width + 65535 or not 0 < down <= height + 65535 or across * down > 1 << 28:
        raise DataError(f"is damaged: its parts are {across}x{down} pixels")
    columns, rows = -(-width // across), -(-height // down)
    if not counts and len(offsets) == 1:
        counts = (len(data) - offsets[0],)
    if len(offsets) < columns * rows * planes or len(counts) < columns * rows * planes:
        raise DataError(
            f"is damaged: {len(offsets)} of {columns * rows * planes} parts of the picture are there"
        )
    packing, differences = _one(tags, 259, 1), _one(tags, 317, 1) == 2
    for number in range(columns * rows * planes):
        plane, place = divmod(number, columns * rows)
        top, left = place // columns * down, place % columns * across
        tall = down if 322 in tags else min(down, height - top)
        expected = tall * across * samples * dtype.itemsize
        held = data[offsets[number] : offsets[number] + counts[number]]
        plain = _unpacked(held, packing, expected // tall, tall)
        if len(plain) < expected:
            raise DataError(
                f"is truncated: part {number + 1} of the picture has {len(plain)} of {expected} bytes"
            )
        if _one(tags, 317, 1) == 3:
            plain, dtype = _undifferenced(plain[:expected], tall, dtype.itemsize), dtype.newbyteorder(">")
        part = np.frombuffer(plain, dtype, expected // dtype.itemsize).reshape(tall, across, samples)
        part = part.astype(dtype.newbyteorder("="))
        yield top, left, plane, np.cumsum(part, axis=1, dtype=part.dtype) if differences else part


def _undifferenced(data: bytes, rows: int, width: int) -> bytes:
    """Predictor 3 (Adobe's TIFF technical note 3): each row holds all first bytes of its numbers, then all second ones,
    each byte as its difference from the one before. Returns numbers with the high byte first."""
    steps = np.frombuffer(data, np.uint8).reshape(rows, -1)
    planes = np.cumsum(steps, axis=1, dtype=np.uint8).reshape(rows, width, -1)
    return planes.transpose(0, 2, 1).tobytes()


def _unpacked(held: bytes, packing: int, row: int, rows: int) -> bytes:
    if packing == _NONE:
        return held
    if packing == _PACKBITS:
        return unpack_bits(held, row * rows)
    if packing == _LZW:
        return unpack_lzw(held, row, rows)
    try:
        return zlib.decompressobj().decompress(held, row * rows)
    except zlib.error as error:
        raise DataError(f"is damaged: its pixels cannot be unpacked ({error})") from error
