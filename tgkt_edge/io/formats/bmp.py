"""BMP, uncompressed, with 8, 24 or 32 bits a pixel: read here."""

from __future__ import annotations

import struct

import numpy as np

from tgkt_edge.errors import DataError
from tgkt_edge.io.formats.picture import Picture, check_size

_RGB, _BITFIELDS = 0, 3
_MASKS = (0x00FF0000, 0x0000FF00, 0x000000FF)


def decode_bmp(data: bytes) -> Picture:
    """A BMP: the numbers of a grey palette, or blue, green, red and alpha.

    Raises:
        DataError: truncated, damaged, or compressed.
    """
    if len(data) < 54:
        raise DataError(f"is truncated ({len(data)} bytes; the header of a BMP has 54)")
    start, header, width, height, planes, bits, packing = struct.unpack_from("<IIiiHHI", data, 10)
    if header < 40 or planes != 1:
        raise DataError(f"is a BMP of a kind that is not read (header of {header} bytes). Save it as PNG.")
    if (packing, bits) not in ((_RGB, 8), (_RGB, 24), (_RGB, 32), (_BITFIELDS, 32)):
        raise DataError(f"is a BMP of {bits} bits, packing {packing}, which is not read. Save it as PNG.")
    check_size(width, abs(height))
    row = (width * bits // 8 + 3) // 4 * 4
    if start < 14 + header or start + row * abs(height) > len(data):
        raise DataError(f"is truncated ({len(data)} of {start + row * abs(height)} bytes)")
    rows = np.frombuffer(data, np.uint8, row * abs(height), start).reshape(abs(height), row)
    pixels = rows[:, : width * bits // 8].reshape(abs(height), width, bits // 8)
    if height > 0:
        pixels = pixels[::-1]
    if bits == 8:
        return Picture(_look_up(data, pixels[..., 0], header))
    if bits == 24:
        return Picture(pixels)
    if packing == _RGB:  # the fourth byte means nothing
        return Picture(pixels[..., :3])
    if len(data) < 70 or struct.unpack_from("<III", data, 54) != _MASKS:
        raise DataError("is a BMP with an unusual order of colours, which is not read. Save it as PNG.")
    return Picture(pixels)


def _look_up(data: bytes, indices: np.ndarray, header: int) -> np.ndarray:
    """What the palette says: (H, W) if all its colours are grey, else (H, W, 3)."""
    colours = struct.unpack_from("<I", data, 46)[0] or 256
    end = 14 + header + 4 * colours
    if colours > 256 or end > len(data):
        raise DataError(f"is damaged: its palette has {colours} colours")
    palette = np.frombuffer(data, np.uint8, 4 * colours, 14 + header).reshape(colours, 4)[:, :3]
    if int(indices.max()) >= colours:
        raise DataError(f"is damaged: it uses colour {int(indices.max())} of a palette of {colours}")
    grey = (palette == palette[:, :1]).all()
    found: np.ndarray = palette[:, 0][indices] if grey else palette[indices]
    return found
