"""PackBits and LZW, as TIFF 6.0 (sections 9 and 13) defines them."""

from __future__ import annotations

import struct

import numpy as np

from tgkt_edge.errors import DataError
from tgkt_edge.io.formats.picture import opencv_decode

_CLEAR, _END, _FIRST = 256, 257, 258


def unpack_bits(data: bytes, expected: int) -> bytes:
    """PackBits: up to ``expected`` bytes; fewer if ``data`` end before."""
    found = bytearray()
    position, end = 0, len(data)
    while len(found) < expected and position < end:
        head = data[position]
        if head < 128:
            found += data[position + 1 : position + 2 + head]
            position += 2 + head
        else:
            if head > 128:
                found += data[position + 1 : position + 2] * (257 - head)
            position += 2 if head > 128 else 1
    return bytes(found[:expected])


def unpack_lzw(data: bytes, row: int, rows: int) -> bytes:
    """LZW with the most significant bit first: ``rows`` rows of ``row`` bytes; fewer if ``data`` end before.

    OpenCV's libtiff does it, a hundred times as fast as :func:`unpack_lzw_slowly`, from a TIFF that holds nothing else.
    Its pixels have 16 bits, for only then does OpenCV report damage; so an odd number of bytes goes the slow way.

    Raises:
        DataError: damaged, or the order of bits of before TIFF 6.0.
    """
    if data[:1] == b"\0" and len(data) > 1 and data[1] & 1:
        raise DataError(
            "is a TIFF with LZW of before 1992, which is not read. Rewrite it: tiffcp -c zip IN OUT"
        )
    if row * rows % 2:
        return unpack_lzw_slowly(data, row * rows)
    width, height = (row // 2, rows) if row % 2 == 0 else (row, rows // 2)
    entries = [
        (256, width),
        (257, height),
        (258, 16),
        (259, 5),
        (262, 1),
        (273, 122),
        (277, 1),
        (278, height),
    ]
    entries.append((279, len(data)))
    tags = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in entries)
    clean = b"II*\0" + struct.pack("<IH", 8, len(entries)) + tags + bytes(4) + data
    return opencv_decode(clean, (height, width), np.uint16).tobytes()


def unpack_lzw_slowly(data: bytes, expected: int) -> bytes:
    """LZW as :func:`unpack_lzw`, a code at a time: up to ``expected`` bytes."""
    base = [bytes((value,)) for value in range(256)] + [b"", b""]
    table, pieces = list(base), []
    held = 0
    bits, width, waiting, old = 0, 9, 0, b""
    limit = 511  # one code earlier than it would need to: TIFF's way
    for byte in data:
        waiting = (waiting << 8) | byte
        bits += 8
        if bits < width:
            continue
        bits -= width
        code = waiting >> bits
        waiting &= (1 << bits) - 1
        if code == _CLEAR:
            table, width, limit, old = list(base), 9, 511, b""
            continue
        if code == _END:
            break
        if not old:
            if code > 255:
                raise DataError(
                    "is damaged: its pixels cannot be unpacked (LZW begins with a code of nothing)"
                )
            piece = table[code]
        elif code < len(table):
            piece = table[code]
            table.append(old + piece[:1])
        elif code == len(table):
            piece = old + old[:1]
            table.append(piece)
        else:
            raise DataError(f"is damaged: its pixels cannot be unpacked (LZW has no code {code})")
        if len(table) >= limit and width < 12:
            width += 1
            limit = (1 << width) - 1
        elif len(table) > 4096:
            raise DataError("is damaged: its pixels cannot be unpacked (LZW's table is full)")
        old = piece
        pieces.append(piece)
        held += len(piece)
        if held >= expected:
            break
    return b"".join(pieces)[:expected]
