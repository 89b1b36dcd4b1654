"""What a rendered scene is made of: a camera, a room, and boxes, upright cylinders and spheres.

World axes: x right, y ahead, z up, in metres; angles in radians.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

F32 = NDArray[np.float32]
I32 = NDArray[np.int32]
Vec3 = tuple[float, float, float]


@dataclass(frozen=True)
class Camera:
    """A pinhole camera. Angles in radians; yaw 0 looks along +y, positive yaw turns left, pitch up."""

    position: Vec3
    yaw: float = 0.0
    pitch: float = 0.0
    roll: float = 0.0
    hfov: float = math.radians(70.0)

    def focal_px(self, width: int) -> float:
        """Focal length in pixels for frames `width` pixels wide."""
        return width / 2 / math.tan(self.hfov / 2)

    def rotation(self) -> F32:
        """(3, 3) float32; its rows are the camera's right, down and forward axes in the world."""
        cy, sy, cp, sp = math.cos(self.yaw), math.sin(self.yaw), math.cos(self.pitch), math.sin(self.pitch)
        right = np.array([cy, sy, 0.0])
        forward = np.array([-sy * cp, cy * cp, sp])
        down = np.cross(forward, right)
        cr, sr = math.cos(self.roll), math.sin(self.roll)
        return np.stack([cr * right + sr * down, cr * down - sr * right, forward]).astype(np.float32)


@dataclass(frozen=True)
class Box:
    """A box of half extents `half` about `centre`, turned by `yaw` about the vertical."""

    centre: Vec3
    half: Vec3
    material: int
    yaw: float = 0.0


@dataclass(frozen=True)
class Cylinder:
    """An upright cylinder on `base` (the centre of its bottom), closed at both ends."""

    base: Vec3
    radius: float
    height: float
    material: int


@dataclass(frozen=True)
class Sphere:
    """A sphere."""

    centre: Vec3
    radius: float
    material: int


Solid = Box | Cylinder | Sphere


@dataclass(frozen=True)
class Room:
    """An axis-aligned box seen from inside, `low` to `high`.

    `materials` are those of the faces at low x, high x, low y, high y, low z (floor), high z (ceiling).
    """

    low: Vec3
    high: Vec3
    materials: tuple[int, int, int, int, int, int]


def bounds(solid: Solid) -> tuple[Vec3, Vec3, float]:
    """(centre, half extents, yaw) of the tightest box around `solid`."""
    if isinstance(solid, Box):
        return solid.centre, solid.half, solid.yaw
    r = solid.radius
    if isinstance(solid, Sphere):
        return solid.centre, (r, r, r), 0.0
    x, y, z = solid.base
    return (x, y, z + solid.height / 2), (r, r, solid.height / 2), 0.0
