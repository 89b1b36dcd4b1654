"""PGM and PPM (netpbm's P2, P3, P5 and P6): read here, counts as they are written."""

from __future__ import annotations

import re

import numpy as np

from tgkt_edge.errors import DataError
from tgkt_edge.io.formats.picture import Picture, check_size

_GAP = rb"(?:\s|#[^\n\r]*[\n\r])+"
_HEADER = re.compile(
    rb"P([2356])" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})" + _GAP + rb"(\d{1,9})(?:#[^\n\r]*)?\s"
)
_ANOTHER = re.compile(rb"\s*P[1-7]\s")
_COMMENT = re.compile(rb"#[^\n\r]*")
_NUMBER = re.compile(rb"\d{1,9}")


def decode_pnm(data: bytes) -> Picture:
    """A PGM or PPM. Maxima up to 255 give uint8, larger ones uint16; nothing is scaled to the maximum.

    Raises:
        DataError: truncated, damaged, several pictures in one file, or a kind that holds no counts.
    """
    header = _HEADER.match(data)
    if header is None:
        raise DataError("is damaged: its header is not that of a PGM or PPM")
    kind, width, height, top = (int(group) for group in header.groups())
    check_size(width, height)
    if not 1 <= top <= 65535:
        raise DataError(f"is damaged: its maximum is {top}; expected 1 to 65535")
    channels = 3 if kind in (3, 6) else 1
    count = width * height * channels
    if kind in (2, 3):
        pixels = _plain(data[header.end() :], count, top)
    else:
        size, start = count * (2 if top > 255 else 1), header.end()
        if data[start - 1 : start + 1] == b"\r\n" and len(data) - start == size + 1:
            start += 1  # Windows's end of a line, where the format has one character
        start += _comment_after_header(data, start, size)
        if len(data) - start < size:
            raise DataError(f"is truncated ({len(data) - start} of {size} bytes of pixels)")
        if _ANOTHER.match(data, start + size):
            raise DataError("holds several pictures. Write each to a file of its own.")
        pixels = np.frombuffer(data, ">u2" if top > 255 else np.uint8, count, start)
        pixels = pixels.astype(np.uint16) if top > 255 else pixels
    if int(pixels.max()) > top:
        raise DataError(
            f"is damaged: it holds counts up to {int(pixels.max())}, and its header says at most {top}"
        )
    shaped = pixels.reshape(height, width, channels)
    return Picture(shaped[..., ::-1] if channels == 3 else shaped[..., 0], top)


def _comment_after_header(data: bytes, start: int, size: int) -> int:
    """The length of a comment between the maximum and the pixels. The format allows none there, and some programs write
    one: it is taken for one where without it the file has exactly the bytes of its pixels."""
    if data[start : start + 1] != b"#":
        return 0
    end = data.find(b"\n", start) + 1
    return end - start if end and len(data) - end == size else 0


def _plain(text: bytes, count: int, top: int) -> np.ndarray:
    """Counts written as decimal numbers."""
    words = _COMMENT.sub(b" ", text).split()
    if len(words) < count:
        raise DataError(f"is truncated ({len(words)} of {count} pixels)")
    if len(words) > count and re.fullmatch(rb"P[1-7]", words[count]):
        raise DataError("holds several pictures. Write each to a file of its own.")
    odd = next((word for word in words[:count] if not _NUMBER.fullmatch(word)), None)
    if odd is not None:
        raise DataError(f"is damaged: a pixel is not a whole number ({odd[:20].decode('latin-1')!r})")
    numbers = np.array([int(word) for word in words[:count]])
    if numbers.max() > top:
        raise DataError(f"is damaged: it holds counts beyond its maximum, {top}")
    return numbers.astype(np.uint16 if top > 255 else np.uint8)
