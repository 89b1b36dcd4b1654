"""Depth as surface normals: three channels that an RGB network reads better than one of distances.

Two kinds. Of the code as it is they are what an exported network computes of a frame. Of slopes relative to the
distance they are those that surfaces have, damped: a pixel spans more of a surface the further away that is. The
translation learns from these, whose answers are better; a network on them knows new scenes less well (both measured:
benchmarks/results/ablations-features.md).
"""

from __future__ import annotations

import torch
from torch import Tensor

GAIN = 60.0
"""A slope of 1 / GAIN of the code range a pixel leans a normal by 45 degrees."""

RELATIVE_GAIN = 24 / 112
"""A slope of 1 / RELATIVE_GAIN of the distance over the whole width leans a normal by 45 degrees: about a fifth of what
a depth camera's field of view makes of it. Steeper ones drown in the sensor's noise."""

DISTANCE_FLOOR = 0.01
"""Added to distances, in code ranges: the slope of what is at 0 is not infinitely steep."""


def surface_normals(unit: Tensor) -> Tensor:
    """Normals of depth maps, as if their pixels were square and their rays parallel.

    Central differences g inside, one-sided ones at the border, n = (-GAIN gx, -GAIN gy, 1) / norm. Made of slices, so
    that it can be part of an exported graph.

    Args:
        unit: (B, 1, H, W) float in [0, 1], near to far; H and W at least 2.

    Returns:
        (B, 3, H, W) n / 2 + 1/2, in [0, 1]: x to the right, y down, z to the camera.
    """
    return _leaning(GAIN * _slope(unit, 3), GAIN * _slope(unit, 2))


def relative_normals(unit: Tensor, offset: float) -> Tensor:
    """The same of slopes relative to the distance, for the whole width: of the depth's logarithm.

    Args:
        unit: (B, 1, H, W) float in [0, 1], near to far; H and W at least 2.
        offset: distance of code 0 in code ranges, near_m / (far_m - near_m).

    Returns:
        (B, 3, H, W) as :func:`surface_normals`.
    """
    gain = RELATIVE_GAIN * unit.shape[3] / (unit + (offset + DISTANCE_FLOOR))
    return _leaning(gain * _slope(unit, 3), gain * _slope(unit, 2))


def _leaning(x: Tensor, y: Tensor) -> Tensor:
    length = (x.square() + y.square() + 1).sqrt()
    return torch.cat([-x, -y, torch.ones_like(x)], 1) / length / 2 + 0.5


def _slope(image: Tensor, dim: int) -> Tensor:
    """Change for each pixel along a dimension."""
    n = image.shape[dim]
    steps = image.narrow(dim, 1, n - 1) - image.narrow(dim, 0, n - 1)  # (..., n - 1)
    inside = (steps.narrow(dim, 1, n - 2) + steps.narrow(dim, 0, n - 2)) / 2
    return torch.cat([steps.narrow(dim, 0, 1), inside, steps.narrow(dim, n - 2, 1)], dim)
