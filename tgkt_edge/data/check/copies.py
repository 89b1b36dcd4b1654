"""Frames that are there twice, or nearly so, within a set and in two sets."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

NEAR = 0.012
"""Mean absolute difference of two thumbnails, of the range, up to which they are nearly the same picture."""

_THUMB = 16


def thumbnails(images: NDArray[np.uint16] | NDArray[np.uint8]) -> NDArray[np.float32]:
    """(N, R, R) or (N, R, R, 3) to (N, 256) thumbnails, 0 to 1."""
    import cv2

    top = float(np.iinfo(images.dtype).max)
    found = []
    for image in images:
        grey = image.mean(-1) if image.ndim == 3 else image
        small = cv2.resize(grey.astype(np.float32), (_THUMB, _THUMB), interpolation=cv2.INTER_AREA)
        found.append(small.ravel() / top)
    return np.stack(found)


def nearest(
    of: NDArray[np.float32], among: NDArray[np.float32] | None = None
) -> tuple[NDArray[np.intp], NDArray[np.float32]]:
    """For each of (N, 256) thumbnails the index of the most similar one of ``among``, and their mean difference.

    Args:
        among: (M, 256); None: those before it in ``of``; the first has none, and an infinite difference.
    """
    index = np.zeros(len(of), np.intp)
    distance = np.full(len(of), np.inf, np.float32)
    for row, thumb in enumerate(of):
        others = of[:row] if among is None else among
        if len(others):
            differences = np.abs(others - thumb).mean(1)
            index[row] = int(differences.argmin())
            distance[row] = differences[index[row]]
    return index, distance
