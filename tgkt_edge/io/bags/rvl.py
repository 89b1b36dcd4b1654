"""RVL: lossless depth of 16 bits, as Andrew Wilson described it ("Fast Lossless Depth Image Compression", ISS 2017).

A stream of numbers, each in groups of three bits with a fourth that says whether more follow, eight groups in a
little-endian word of 32 bits, the first in its highest bits: how many pixels are 0, how many are not, and for each of
those the difference from the one before, with its sign in the lowest bit; and so on.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import DataError

_MOST_GROUPS = 10  # of three bits: 30 bits, for a run may be as long as the picture (MAX_PIXELS is 2**28)


def decode_rvl(data: bytes | memoryview, pixels: int) -> NDArray[np.uint16]:
    """(pixels,) depths. Raises DataError if the stream ends too early or holds no such picture."""
    words = np.frombuffer(data, "<u4", len(data) // 4)
    groups = ((words[:, np.newaxis] >> np.arange(28, -4, -4, dtype=np.uint32)) & 15).ravel()
    ends = np.flatnonzero(groups < 8)
    if not len(ends):
        raise DataError("is damaged: its RVL stream ends too early")
    starts = np.concatenate([[0], ends[:-1] + 1])
    lengths = ends - starts + 1
    if lengths.max() > _MOST_GROUPS:
        raise DataError("is damaged: its RVL stream holds a number that no picture needs")
    values = np.zeros(len(ends), np.int64)
    for place in range(int(lengths.max())):
        longer = lengths > place
        values[longer] |= (groups[starts[longer] + place].astype(np.int64) & 7) << (3 * place)
    out = np.zeros(pixels, np.uint16)
    at, position, previous = 0, 0, 0
    while at < pixels:
        if position + 2 > len(values):
            raise DataError("is damaged: its RVL stream ends too early")
        zeros, others = int(values[position]), int(values[position + 1])
        position += 2
        at += zeros
        if at + others > pixels or position + others > len(values) or not zeros + others:
            raise DataError("is damaged: its RVL stream holds another number of pixels")
        coded = values[position : position + others]
        depths = previous + np.cumsum((coded >> 1) ^ -(coded & 1))
        if others:
            if depths.min() < 0 or depths.max() > 65535:
                raise DataError("is damaged: its RVL stream holds depths beyond 16 bits")
            out[at : at + others] = depths
            previous = int(depths[-1])
        at += others
        position += others
    return out
