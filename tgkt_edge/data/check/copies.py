"""Frames that are there twice, or nearly so, within a set and in two sets."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

NEAR = 0.012
"""Mean absolute difference of two thumbnails, of the range, up to which they are nearly the same picture."""

_THUMB = 16


_SLACK = 1e-4
"""What float32 sums of 256 numbers may be off by; candidates are compared exactly afterwards."""

_PATTERNS = np.array([[1, 1, 1, 1], [1, -1, 1, -1], [1, 1, -1, -1], [1, -1, -1, 1]]).T
_STRIDES = np.array([1 << 45, 1 << 30, 1 << 15, 1])  # a mean takes at most 1 / _SLACK steps
_NEIGHBORS = np.array([(a, b, c, 0) for a in (-1, 0, 1) for b in (-1, 0, 1) for c in (-1, 0, 1)]) @ _STRIDES
_ROWS, _AT_ONCE = 256, 64


def thumbnail(image: NDArray[np.uint16] | NDArray[np.uint8]) -> NDArray[np.float32]:
    """(R, R) or (R, R, 3) to a thumbnail of (256,), 0 to 1."""
    import cv2

    grey = image.mean(-1) if image.ndim == 3 else image
    small = cv2.resize(grey.astype(np.float32), (_THUMB, _THUMB), interpolation=cv2.INTER_AREA)
    return np.asarray(small.ravel() / float(np.iinfo(image.dtype).max), np.float32)


def thumbnails(images: Iterable[NDArray[np.uint16] | NDArray[np.uint8]]) -> NDArray[np.float32]:
    """The :func:`thumbnail` of each of (N, R, R) or (N, R, R, 3): (N, 256)."""
    return np.stack([thumbnail(image) for image in images])


def nearly_equal(
    of: NDArray[np.float32], among: NDArray[np.float32] | None = None, limit: float = NEAR
) -> NDArray[np.bool_]:
    """Whether each of (N, 256) thumbnails differs by at most ``limit``, on average, from one of ``among``.

    Exact, and far from comparing all with all. Weighted by 1 and -1 in any pattern, the means of two such thumbnails
    differ by no more than ``limit``, too. Four such means (all of it, left against right, top against bottom, and the
    diagonals) say in which cell of a grid a thumbnail lies, and only those of its own and neighboring cells are
    compared, the nearest in the list first.

    Args:
        among: (M, 256); None: those before it in ``of``.
    """
    others = of if among is None else among
    found = np.zeros(len(of), np.bool_)
    if not len(others):
        return found
    width = limit + _SLACK
    cells, own = _cells(others, width), _cells(of, width)
    order = np.argsort(cells, kind="stable")
    cells = cells[order]
    for start in range(0, len(of), _ROWS):
        keys = own[start : start + _ROWS, np.newaxis] + _NEIGHBORS
        first, last = np.searchsorted(cells, keys - 1), np.searchsorted(cells, keys + 1, "right")
        for row, (begin, end) in enumerate(zip(first, last, strict=True), start):
            places = [order[a:b] for a, b in zip(begin, end, strict=True) if a < b]
            near = np.sort(np.concatenate(places)) if places else np.empty(0, np.intp)
            if among is None:
                near = near[: np.searchsorted(near, row)][::-1]
            found[row] = _any_near(of[row], others, near, limit)
    return found


def _any_near(
    one: NDArray[np.float32], others: NDArray[np.float32], at: NDArray[np.intp], limit: float
) -> bool:
    """Whether it is near one of those ``at`` these places: a few at a time, for most are found at once."""
    for start in range(0, len(at), _AT_ONCE):
        some = others[at[start : start + _AT_ONCE]]
        if np.abs(some - one).mean(1).min() <= limit:
            return True
    return False


def _cells(thumbs: NDArray[np.float32], width: float) -> NDArray[np.int64]:
    """(N,) numbers of the cells, ``width`` wide, of (N, 256) thumbnails: neighbors in the last axis are neighbors."""
    half = _THUMB // 2
    quarters = thumbs.reshape(len(thumbs), 2, half, 2, half).mean((2, 4), dtype=np.float64).reshape(-1, 4)
    steps = np.floor(quarters @ _PATTERNS / 4 / width).astype(np.int64)
    return np.asarray(steps @ _STRIDES)
