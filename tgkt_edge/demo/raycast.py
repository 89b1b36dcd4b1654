"""A small vectorised ray-caster: a pinhole camera against boxes, upright cylinders and spheres.

World axes: x right, y ahead, z up, in metres. A ray's parameter is scaled so that it *is* the depth along
the optical axis (what a depth image holds), not the euclidean range.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.demo.geometry import F32, I32, Box, Camera, Cylinder, Room, Solid, Sphere, Vec3, bounds

NEAR_M = 0.05
_AXES = np.eye(3, dtype=np.float32)
# For a face perpendicular to x, y, z: the axes its texture's u and v run along.
_FACE_U = (1, 0, 0)
_FACE_V = (2, 2, 1)


@dataclass(frozen=True)
class Hits:
    """What each of H*W pixels sees, row-major.

    z: (H*W,) float32, metres along the optical axis, inf where nothing is hit.
    point, normal: (3, H*W) float32, world; normals are of unit length and face the camera.
    uv: (2, H*W) float32, metres on the surface, for textures.
    material: (H*W,) intp, -1 where nothing is hit.
    cosine: (H*W,) float32 in [0, 1], between the normal and the ray back to the camera.
    """

    z: F32
    point: F32
    normal: F32
    uv: F32
    material: NDArray[np.intp]
    cosine: F32


class _Rays:
    """The rays of one frame, and their inverse directions in the frame of each yaw that occurs."""

    def __init__(self, camera: Camera, width: int, height: int) -> None:
        self.origin = np.array(camera.position, np.float32)
        self.rotation = camera.rotation()
        self.focal = camera.focal_px(width)
        self.width, self.height = width, height
        a = ((np.arange(width, dtype=np.float32) + 0.5 - width / 2) / self.focal)[None, :]
        b = ((np.arange(height, dtype=np.float32) + 0.5 - height / 2) / self.focal)[:, None]
        right, down, forward = self.rotation
        self.direction: list[F32] = [
            (forward[i] + a * right[i] + b * down[i]).astype(np.float32) for i in range(3)
        ]
        self._inverse: dict[float, list[tuple[F32, F32]]] = {}

    def inverse(self, yaw: float) -> list[tuple[F32, F32]]:
        """(1/d, |1/d|) per axis of the frame turned by `yaw`."""
        if yaw not in self._inverse:
            dx, dy, dz = self.direction
            if yaw:
                c, s = math.cos(yaw), math.sin(yaw)
                dx, dy = c * dx + s * dy, c * dy - s * dx
            pairs = []
            for d in (dx, dy, dz):
                # A zero component would give 0 * inf below; this far the slab is as good as parallel.
                inverse = (1.0 / np.where(np.abs(d) < 1e-9, np.float32(1e-9), d)).astype(np.float32)
                pairs.append((inverse, np.abs(inverse)))
            self._inverse[yaw] = pairs
        return self._inverse[yaw]

    def rectangles(self, solids: list[Solid]) -> list[tuple[slice, slice] | None]:
        """The pixel rectangle that each solid can cover; None where it cannot be seen."""
        if not solids:
            return []
        centre, half, turn = (np.array(v, np.float32) for v in zip(*map(bounds, solids), strict=True))
        signs = np.array([[i, j, k] for i in (-1, 1) for j in (-1, 1) for k in (-1, 1)], np.float32)
        local = signs[None] * half[:, None, :]
        c, s = np.cos(turn)[:, None], np.sin(turn)[:, None]
        x, y = c * local[..., 0] - s * local[..., 1], s * local[..., 0] + c * local[..., 1]
        corners = np.stack([x, y, local[..., 2]], axis=-1) + (centre - self.origin)[:, None, :]
        seen = corners @ self.rotation.T
        depth = seen[..., 2]
        safe = np.maximum(depth, 1e-3)
        u = seen[..., 0] / safe * self.focal + self.width / 2
        v = seen[..., 1] / safe * self.focal + self.height / 2
        # A solid that reaches behind the camera has no bounded projection: try every pixel.
        crosses, behind = depth.min(axis=1) < 0.02, depth.max(axis=1) < NEAR_M
        u0 = np.where(crosses, 0, np.clip(np.floor(u.min(axis=1)), 0, self.width)).astype(int)
        u1 = np.where(crosses, self.width, np.clip(np.ceil(u.max(axis=1)) + 1, 0, self.width)).astype(int)
        v0 = np.where(crosses, 0, np.clip(np.floor(v.min(axis=1)), 0, self.height)).astype(int)
        v1 = np.where(crosses, self.height, np.clip(np.ceil(v.max(axis=1)) + 1, 0, self.height)).astype(int)
        empty = behind | (u1 <= u0) | (v1 <= v0)
        return [
            None if empty[i] else (slice(int(v0[i]), int(v1[i])), slice(int(u0[i]), int(u1[i])))
            for i in range(len(solids))
        ]


def cast(camera: Camera, room: Room | None, solids: list[Solid], width: int, height: int) -> Hits:
    """The nearest surface that each pixel sees.

    room: the shell around the scene, or None for empty space. The camera must be inside it and outside
    every solid.
    Returns Hits of height*width pixels.
    """
    rays = _Rays(camera, width, height)
    z = np.full((height, width), np.inf, np.float32)
    # Every flat face has a code; normals, texture axes and materials are then one look-up per pixel.
    # 0: nothing, 1..6: the room's faces, then three (its x, y and z pairs of faces) a solid.
    code = np.zeros((height, width), np.int32)
    table = [(0, 0.0, (0.0, 0.0, 0.0), -1)]
    table += [
        (face // 2, 0.0, (0.0, 0.0, 0.0), -1 if room is None else room.materials[face]) for face in range(6)
    ]
    if room is not None:
        _cast_room(rays, room, z, code)
    curved: list[tuple[int, Cylinder | Sphere, tuple[slice, slice]]] = []
    for solid, rect in zip(solids, rays.rectangles(solids), strict=True):
        if rect is None:
            continue
        first = len(table)
        centre, _, yaw = bounds(solid)
        table.extend((axis, yaw, centre, solid.material) for axis in range(3))
        if isinstance(solid, Box):
            _cast_box(rays, solid, rect, z, code, first)
        else:
            _cast_round(rays, solid, rect, z, code, first)
            curved.append((first, solid, rect))
    return _resolve(rays, z, code, table, curved)


def _cast_room(rays: _Rays, room: Room, z: F32, code: I32) -> None:
    inverse = rays.inverse(0.0)
    for axis in range(3):
        inv = inverse[axis][0]
        ahead = inv > 0
        span = np.where(ahead, room.high[axis] - rays.origin[axis], room.low[axis] - rays.origin[axis])
        t = span * inv
        nearer = t < z
        np.copyto(z, t, where=nearer)
        np.copyto(code, (1 + 2 * axis + ahead).astype(np.int32), where=nearer)


def _cast_box(rays: _Rays, box: Box, rect: tuple[slice, slice], z: F32, code: I32, first: int) -> None:
    ox, oy, oz = (float(o) - c for o, c in zip(rays.origin, box.centre, strict=True))
    if box.yaw:
        c, s = math.cos(box.yaw), math.sin(box.yaw)
        ox, oy = c * ox + s * oy, c * oy - s * ox
    enter, leave = [], []
    for o, h, (inverse, absolute) in zip((ox, oy, oz), box.half, rays.inverse(box.yaw), strict=True):
        middle = inverse[rect] * np.float32(-o)
        reach = absolute[rect] * np.float32(h)
        enter.append(middle - reach)
        leave.append(middle + reach)
    t = np.maximum(np.maximum(enter[0], enter[1]), enter[2])
    end = np.minimum(np.minimum(leave[0], leave[1]), leave[2])
    hit = (t <= end) & (t > NEAR_M) & (t < z[rect])
    if not hit.any():
        return
    axis = np.where(t == enter[0], 0, np.where(t == enter[1], 1, 2)).astype(np.int32)
    np.copyto(z[rect], t, where=hit)
    np.copyto(code[rect], axis + np.int32(first), where=hit)


def _cast_round(
    rays: _Rays, solid: Cylinder | Sphere, rect: tuple[slice, slice], z: F32, code: I32, first: int
) -> None:
    dx, dy, dz = (d[rect] for d in rays.direction)
    anchor = solid.base if isinstance(solid, Cylinder) else solid.centre
    ox, oy, oz = (float(o) - c for o, c in zip(rays.origin, anchor, strict=True))
    a = dx * dx + dy * dy
    b = dx * ox + dy * oy
    c = ox * ox + oy * oy - solid.radius**2
    if isinstance(solid, Sphere):
        a, b, c = a + dz * dz, b + dz * oz, c + oz * oz
    root = b * b - a * c
    t = (-b - np.sqrt(np.maximum(root, 0))) / np.maximum(a, 1e-9)
    hit = (root > 0) & (t > NEAR_M)
    if isinstance(solid, Cylinder):
        up = oz + t * dz
        hit &= (up >= 0) & (up <= solid.height)
    nearer = hit & (t < z[rect])
    np.copyto(z[rect], t, where=nearer)
    code[rect][nearer] = first
    if isinstance(solid, Cylinder) and not 0 <= oz <= solid.height:
        t = ((solid.height if oz > 0 else 0.0) - oz) / np.where(np.abs(dz) < 1e-9, np.float32(1e-9), dz)
        inside = (ox + t * dx) ** 2 + (oy + t * dy) ** 2 <= solid.radius**2
        nearer = inside & (t > NEAR_M) & (t < z[rect])
        np.copyto(z[rect], t, where=nearer)
        code[rect][nearer] = first + 2


def _dot(a: F32, b: F32) -> F32:
    """Dot products of the columns of two (3, P) arrays; spelled out, which is faster than sum(axis=0)."""
    product: F32 = a[0] * b[0] + a[1] * b[1] + a[2] * b[2]
    return product


def _resolve(
    rays: _Rays,
    z: F32,
    code: I32,
    table: list[tuple[int, float, Vec3, int]],
    curved: list[tuple[int, Cylinder | Sphere, tuple[slice, slice]]],
) -> Hits:
    n = len(table)
    frames = np.zeros((n, 3, 3), np.float32)  # normal, u axis, v axis
    materials = np.array([row[3] for row in table], np.intp)
    for i, (axis, yaw, _, _) in enumerate(table):
        axes = _AXES
        if yaw:
            c, s = math.cos(yaw), math.sin(yaw)
            axes = np.array([[c, s, 0], [-s, c, 0], [0, 0, 1]], np.float32)
        frames[i] = axes[[axis, _FACE_U[axis], _FACE_V[axis]]]
    centres = np.array([row[2] for row in table], np.float32)
    offsets = np.einsum("nij,nj->ni", frames[:, 1:], centres)
    flat = code.ravel().astype(np.intp)
    hit = flat > 0
    finite: F32 = np.where(hit, z.ravel(), np.float32(0))
    direction = np.stack([d.ravel() for d in rays.direction])
    point: F32 = (rays.origin[:, None] + finite * direction).astype(np.float32, copy=False)
    # Components first, pixels last: each component is then one contiguous row.
    rows = np.take(np.ascontiguousarray(frames.transpose(1, 2, 0).reshape(9, n)), flat, axis=1)
    normal = rows[:3]
    u = _dot(rows[3:6], point) - np.take(offsets[:, 0], flat)
    v = _dot(rows[6:9], point) - np.take(offsets[:, 1], flat)
    for first, solid, rect in curved:
        mask = np.zeros(code.shape, bool)
        mask[rect] = code[rect] == first
        where = np.flatnonzero(mask)
        if where.size:
            away = point[:, where] - np.array(bounds(solid)[0], np.float32)[:, None]
            if isinstance(solid, Cylinder):
                away[2] = 0
            normal[:, where] = away / solid.radius
    facing = _dot(normal, direction)
    normal = np.where(facing > 0, np.float32(-1), np.float32(1)) * normal
    cosine = np.abs(facing) / np.sqrt(_dot(direction, direction))
    return Hits(
        z=z.ravel(),
        point=point,
        normal=normal.astype(np.float32, copy=False),
        uv=np.stack([u, v]).astype(np.float32, copy=False),
        material=np.take(materials, flat),
        cosine=np.minimum(cosine, 1).astype(np.float32, copy=False),
    )
