"""JPEG: checked marker by marker, decoded by OpenCV from what belongs to the picture and nothing else."""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass, field

import numpy as np

from tgkt_edge.errors import DataError
from tgkt_edge.io.complaints import decode_and_listen
from tgkt_edge.io.formats.picture import Picture, check_size, opencv_decode
from tgkt_edge.io.formats.tiff_tags import orientation_of

_SCAN_END = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_EXTRANEOUS = re.compile(r"(\d+) extraneous bytes before marker 0xd9")
_SOI, _EOI, _SOS, _DQT, _DHT, _DRI, _DNL, _COM = 0xD8, 0xD9, 0xDA, 0xDB, 0xC4, 0xDD, 0xDC, 0xFE
_BASELINE, _EXTENDED, _PROGRESSIVE = 0xC0, 0xC1, 0xC2
_FRAMES = frozenset(range(0xC0, 0xD0)) - {_DHT, 0xC8, 0xCC}
_LS = (0xF7, 0xF8)
_NAMES = {0xC3: "lossless", 0xC9: "arithmetic-coded", 0xCA: "arithmetic-coded", 0xCB: "arithmetic-coded"}
_JFIF = b"JFIF\0\1\1\0\0\1\0\1\0\0"
_AHEAD = 8
"""Bytes that libjpeg takes in before it needs them, and does not count as too many."""
_THERMAL = (
    "is a radiometric JPEG of a FLIR camera: its picture is for people, and the counts in its FLIR segment are not "
    "read. Export 16-bit TIFF of linear temperature from the camera or its program, for `sensor=flir-tiff` or a "
    "YAML file"
)
_LIMITED = (
    "is a JPEG whose intensities are squeezed to 16..235 (it says CS=ITU601), so that the raw counts are lost. "
    "With ffmpeg: -pix_fmt yuvj420p"
)


@dataclass
class _Parts:
    """What the walk along the markers finds."""

    clean: bytearray = field(default_factory=lambda: bytearray(b"\xff\xd8"))
    frame: bytes = b""
    progressive: bool = False
    scans: list[tuple[bytes, bytes]] = field(default_factory=list)
    orientation: int = 1
    limited: bool = False
    thermal: bool = False
    several: bool = False


def decode_jpeg(data: bytes) -> Picture:
    """A JPEG of 8 bits, baseline or progressive, grey, colour or CMYK. What stands between its markers and what follows
    its end (a motion photo's film, zeros, a preview) is left alone.

    Raises:
        DataError: truncated; damaged: pixels are missing or left over; or a kind that is not read.
    """
    parts = _walk(data)
    height, width, count = struct.unpack_from(">HHB", parts.frame, 1)
    if height == 0:
        raise DataError("is a JPEG that gives its height at its end, which is not read. Save it as PNG.")
    check_size(width, height)
    if count not in (1, 3, 4):
        raise DataError(f"is a JPEG of {count} channels, which is not read; expected 1 or 3")
    _check_scans(parts, width, height, count)
    shape = (height, width) if count == 1 else (height, width, 3)
    pixels, complaint = decode_and_listen(lambda: opencv_decode(bytes(parts.clean), shape, np.uint8))
    if complaint and not _only_padding(complaint, parts.scans[-1][1]):
        raise DataError(f"is damaged: pixels are missing or wrong (libjpeg: {complaint})")
    not_counts = _THERMAL if parts.thermal else _LIMITED if parts.limited else ""
    return Picture(pixels, 255, parts.orientation, not_counts)


def _walk(data: bytes) -> _Parts:
    """Every marker up to the end of the picture."""
    parts = _Parts()
    position = 2
    while True:
        position = data.find(b"\xff", position)
        while 0 <= position < len(data) - 1 and data[position + 1] == 0xFF:
            position += 1
        if position < 0 or position + 2 > len(data):
            raise _truncated(data)
        marker = data[position + 1]
        position += 2
        if marker == 0 or 0xD0 <= marker <= 0xD7 or marker == 1:
            continue  # belongs to no segment
        if marker == _EOI:
            break
        if marker == _SOI:
            raise _truncated(data)  # the next picture begins before this one has ended
        if position + 2 > len(data):
            raise _truncated(data)
        length = struct.unpack_from(">H", data, position)[0]
        body = data[position + 2 : position + length]
        if length < 2:
            raise DataError(f"is damaged: its part 0x{marker:02x} has {length} bytes")
        if position + length > len(data):
            raise _truncated(data)
        position += length
        if marker == _SOS:
            found = _SCAN_END.search(data, position)
            if found is None:
                raise _truncated(data)
            parts.scans.append((body, data[position : found.start()]))
            _keep(parts, marker, body)
            parts.clean += parts.scans[-1][1]
            position = found.start()
        else:
            _segment(parts, marker, body)
    parts.clean += b"\xff\xd9"
    if not parts.frame:
        raise DataError("is damaged: it holds no picture")
    if data.startswith(b"\xff\xd8\xff", position) and not parts.several:
        raise DataError("holds several pictures, one behind the other. Write each to a file of its own.")
    return parts


def _segment(parts: _Parts, marker: int, body: bytes) -> None:
    """Keep what decoding needs, note what reading needs, leave the rest."""
    if marker in _FRAMES:
        if marker not in (_BASELINE, _EXTENDED, _PROGRESSIVE):
            raise DataError(
                f"is a JPEG of a kind that is not read ({_NAMES.get(marker, 'hierarchical')}). Save it as PNG."
            )
        if len(body) < 6 or len(body) != 6 + 3 * body[5]:
            raise DataError("is damaged: its header cannot be read")
        if body[0] != 8:
            raise DataError(
                f"is a JPEG of {body[0]} bits, which is not read; expected 8. Save it as 16-bit PNG."
            )
        if parts.frame:
            raise DataError("is damaged: it has two headers")
        parts.frame, parts.progressive = body, marker == _PROGRESSIVE
        _keep(parts, marker, body)
    elif marker in (_DQT, _DHT, _DRI):
        _keep(parts, marker, body)
    elif marker == 0xE0 and body.startswith(b"JFIF\0"):
        _keep(parts, marker, _JFIF)
    elif marker == 0xEE and body.startswith(b"Adobe") and len(body) >= 12 and body[11] <= 2:
        _keep(parts, marker, body[:12])
    elif marker == 0xE1 and body.startswith(b"Exif\0\0"):
        parts.orientation = orientation_of(body[6:])
    elif marker == 0xE1 and body.startswith(b"FLIR\0"):
        parts.thermal = True
    elif (marker == 0xE2 and body.startswith(b"MPF\0")) or (marker == 0xE1 and b"hdrgm" in body):
        parts.several = True  # previews, gain maps and the other half of a stereo pair, as cameras write them
    elif marker == _COM and body.startswith(b"CS=ITU601"):
        parts.limited = True
    elif marker in _LS:
        raise DataError("is a JPEG-LS, which is not read. Save it as PNG.")
    elif marker in (_DNL, 0xDE, 0xDF):
        raise DataError("is a JPEG of a kind that is not read (hierarchical). Save it as PNG.")


def _keep(parts: _Parts, marker: int, body: bytes) -> None:
    parts.clean += struct.pack(">BBH", 0xFF, marker, len(body) + 2) + body


def _check_scans(parts: _Parts, width: int, height: int, count: int) -> None:
    """Raise DataError where whole scans are missing, or so much of them that no decoder need be asked."""
    identities = [parts.frame[6 + 3 * i] for i in range(count)]
    factors = [(parts.frame[7 + 3 * i] >> 4, parts.frame[7 + 3 * i] & 15) for i in range(count)]
    if any(not (1 <= across <= 4 and 1 <= down <= 4) for across, down in factors):
        raise DataError("is damaged: its header cannot be read")
    missing = {
        identity: set(range(64)) for identity in identities
    }  # coefficients not yet there to the last bit
    for head, _ in parts.scans:
        if not head or len(head) != 4 + 2 * head[0]:
            raise DataError("is damaged: the header of a scan cannot be read")
        first, last, exact = head[-3], head[-2], head[-1] & 15 == 0
        for identity in head[1 : 1 + 2 * head[0] : 2]:
            if identity not in missing:
                raise DataError("is damaged: a scan is of a channel that the picture does not have")
            if exact or not parts.progressive:
                missing[identity] -= set(range(first, last + 1)) if parts.progressive else set(range(64))
    if any(missing.values()):
        raise DataError("is truncated: scans are missing")
    widest, tallest = max(across for across, _ in factors), max(down for _, down in factors)
    units = -(-width // (8 * widest)) * -(-height // (8 * tallest))
    bits = 8 * sum(len(scan) for _, scan in parts.scans)
    if bits < units * count:  # at least a bit for a channel's unit
        raise DataError(f"is truncated: {bits // 8} bytes cannot hold {width}x{height} pixels")


def _only_padding(complaint: str, scan: bytes) -> bool:
    """Whether all that libjpeg found too much before the end are filling bytes, and it took none of them for pixels:
    the scan then ends before them."""
    found = _EXTRANEOUS.search(complaint)
    filling = len(scan) - len(scan.rstrip(scan[-1:]))
    return found is not None and 0 <= filling - int(found.group(1)) <= _AHEAD


def _truncated(data: bytes) -> DataError:
    return DataError(f"is truncated ({len(data)} bytes, no end mark)")
