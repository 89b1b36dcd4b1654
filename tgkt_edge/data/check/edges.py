"""Edges of RGB images and frames: what the two show alike, whatever an intensity means in either."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

SIDE = 160
"""Side in pixels of the squares that are compared."""

REACH = 12
"""Pixels of these by which one is shifted against the other, either way."""

_STRONG = 0.95  # quantile of edges above which all count as one: a lamp's rim is no better than a table's
_SPARSE = 0.1  # of the strongest, where fewer pixels than that are edges at all


def luminance(rgb: NDArray[np.uint8]) -> Floats:
    """(R, R, 3) uint8 RGB to (R, R)."""
    import cv2

    grey: Floats = cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY).astype(np.float32)
    return grey


def compressed(codes: NDArray[np.uint16]) -> Floats:
    """(R, R) codes on a logarithmic scale: a step near the camera is no stronger than one far away."""
    return np.log1p(codes.astype(np.float32) / 256)


def edge_map(image: Floats, solid: NDArray[Any] | None = None) -> Floats:
    """Strength of the edges of (R, R), mean 0 and deviation 1; all 0 where there are none.

    Args:
        solid: where ``image`` was measured and not filled in; there alone are edges looked for. None: everywhere.
    """
    import cv2

    smooth = cv2.GaussianBlur(image, (0, 0), 1.0)
    strength = np.hypot(cv2.Sobel(smooth, cv2.CV_32F, 1, 0), cv2.Sobel(smooth, cv2.CV_32F, 0, 1))
    if solid is not None:
        kept = cv2.erode(np.asarray(solid, np.uint8), np.ones((5, 5), np.uint8)).astype(bool)
        strength = np.where(kept, strength, strength[kept].mean() if kept.any() else 0).astype(np.float32)
    strongest = max(float(np.quantile(strength, _STRONG)), _SPARSE * float(strength.max()))
    strength = np.minimum(strength, strongest).astype(np.float32)
    strength -= strength.mean()
    deviation = float(strength.std())
    return (strength / np.float32(deviation) if deviation > 1e-6 else np.zeros_like(strength)).astype(
        np.float32
    )


def warped(image: Floats, across: float, down: float, right: float = 0.0, below: float = 0.0) -> Floats:
    """(R, R) enlarged about its centre by ``across`` and ``down``, then moved by pixels; edges are repeated."""
    import cv2

    middle = (len(image) - 1) / 2
    matrix = np.array(
        [[across, 0, middle - across * middle + right], [0, down, middle - down * middle + below]], np.float32
    )
    return np.asarray(
        cv2.warpAffine(image, matrix, image.shape[::-1], borderMode=cv2.BORDER_REPLICATE), np.float32
    )


def correlations(moved: Floats, fixed: Floats) -> Floats:
    """Correlation of two edge maps for every shift, (2 REACH + 1, 2 REACH + 1): at [REACH + y, REACH + x] what
    ``moved`` shows ``x`` pixels to the right and ``y`` below lies on what ``fixed`` shows."""
    import cv2

    inner = np.ascontiguousarray(fixed[REACH:-REACH, REACH:-REACH])
    if not inner.any() or not moved.any():
        return np.zeros((2 * REACH + 1, 2 * REACH + 1), np.float32)
    return np.asarray(cv2.matchTemplate(moved, inner, cv2.TM_CCOEFF_NORMED), np.float32)
