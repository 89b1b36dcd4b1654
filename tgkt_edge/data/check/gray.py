"""Is a frame only its RGB image in gray? Then no sensor took it, and a pair teaches nothing of the sensor."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

GRAY = 0.998
"""Share of a frame's variance that a weighted sum of red, green and blue explains, from which it is taken for a copy.

Grayscale copies reach 0.9985 to 1, whatever the weights of the channels, also as JPEG of quality 60. Of 212 pairs of a
real near-infrared camera none is above 0.997, and half are below 0.84.
"""


def explained_by_rgb(rgb: NDArray[np.uint8], codes: NDArray[np.uint16]) -> float:
    """Coefficient of determination R^2 of a frame's codes given the RGB image, pixel by pixel, by least squares.

    Args:
        rgb: (R, R, 3), channel order RGB. codes: (R, R).

    Returns:
        0 to 1; 0 for a frame of one value, of which nothing can be said.
    """
    values = codes.ravel().astype(np.float64)
    values -= values.mean()
    variance = float(values @ values)
    if variance == 0:
        return 0.0
    channels = rgb.reshape(-1, 3).astype(np.float64)
    channels -= channels.mean(0)
    weights = np.linalg.lstsq(channels, values, rcond=None)[0]
    rest = values - channels @ weights
    return max(0.0, 1 - float(rest @ rest) / variance)


def share_of_gray(explained: Iterable[float]) -> float:
    """Share of pairs whose frame is taken for a copy. ``explained``: of each, see :func:`explained_by_rgb`."""
    return float(np.mean([value >= GRAY for value in explained]))
