"""Depth as surface normals: three channels that an RGB network reads better than one of distances."""

from __future__ import annotations

import torch
from torch import Tensor

GAIN = 60.0
"""A slope of 1 / GAIN of the code range a pixel leans a normal by 45 degrees."""


def surface_normals(unit: Tensor) -> Tensor:
    """Normals of depth maps, as if their pixels were square and their rays parallel.

    Central differences g inside, one-sided ones at the border, n = (-GAIN gx, -GAIN gy, 1) / norm. Made of slices, so
    that it can be part of an exported graph.

    Args:
        unit: (B, 1, H, W) float in [0, 1], near to far; H and W at least 2.

    Returns:
        (B, 3, H, W) n / 2 + 1/2, in [0, 1]: x to the right, y down, z to the camera.
    """
    x, y = GAIN * _slope(unit, 3), GAIN * _slope(unit, 2)
    length = (x.square() + y.square() + 1).sqrt()
    return torch.cat([-x, -y, torch.ones_like(x)], 1) / length / 2 + 0.5


def _slope(image: Tensor, dim: int) -> Tensor:
    """Change for each pixel along a dimension."""
    n = image.shape[dim]
    steps = image.narrow(dim, 1, n - 1) - image.narrow(dim, 0, n - 1)  # (..., n - 1)
    inside = (steps.narrow(dim, 1, n - 2) + steps.narrow(dim, 0, n - 2)) / 2
    return torch.cat([steps.narrow(dim, 0, 1), inside, steps.narrow(dim, n - 2, 1)], dim)
