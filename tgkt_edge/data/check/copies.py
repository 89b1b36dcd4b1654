"""Frames that are there twice, or nearly so, within a set and in two sets."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

NEAR = 0.012
"""Mean absolute difference of two thumbnails, of the range, up to which they are nearly the same picture."""

_THUMB = 16


_COARSE = 4
_SLACK = 1e-4
"""What float32 sums of 256 numbers may be off by; candidates are compared exactly afterwards."""


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

    Exact, and far from comparing all with all: two that are so similar have means, and means of 4x4 parts, that are at
    least as similar. Only those are compared.

    Args:
        among: (M, 256); None: those before it in ``of``.
    """
    others = of if among is None else among
    found = np.zeros(len(of), np.bool_)
    if not len(others):
        return found
    means, parts = others.mean(1), _parts(others)
    order = np.argsort(means, kind="stable")
    means, parts = means[order], parts[order]
    own_means, own_parts = of.mean(1), _parts(of)
    wide = limit + _SLACK
    first = np.searchsorted(means, own_means - wide)
    last = np.searchsorted(means, own_means + wide, "right")
    for row in range(len(of)):
        window = slice(int(first[row]), int(last[row]))
        likely = np.abs(parts[window] - own_parts[row]).mean(1) <= wide
        candidates = order[window][likely]
        if among is None:
            candidates = candidates[candidates < row]
        if len(candidates):
            found[row] = np.abs(others[candidates] - of[row]).mean(1).min() <= limit
    return found


def _parts(thumbs: NDArray[np.float32]) -> NDArray[np.float32]:
    """(N, 16): means of 4x4 parts of thumbnails."""
    side = _THUMB // _COARSE
    grid = thumbs.reshape(len(thumbs), _COARSE, side, _COARSE, side)
    return np.asarray(grid.mean((2, 4)).reshape(len(thumbs), -1), np.float32)
