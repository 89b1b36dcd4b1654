"""The scene under construction: paints drawn per scene, solids placed in local frames, lights, a camera."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import numpy as np

from tgkt_edge.demo.geometry import F32, Box, Camera, Cylinder, Room, Solid, Sphere, Vec3, bounds
from tgkt_edge.demo.materials import MATERIALS

# Free space kept around the camera: the sensor cannot see anything nearer, and clips need room to move.
CLEARANCE_M = 0.55


@dataclass(frozen=True)
class Light:
    """A point light; at `reach` metres it has fallen to half."""

    position: Vec3
    power: float
    reach: float


@dataclass
class Builder:
    """Collects one scene. Lengths in metres, angles in radians."""

    rng: np.random.Generator
    room: Room | None = None
    camera: Camera = field(default_factory=lambda: Camera((0.0, 0.0, 1.5)))
    lights: list[Light] = field(default_factory=list)
    paints: list[F32] = field(default_factory=list)
    outdoor: bool = False

    def __post_init__(self) -> None:
        self._placed: list[tuple[int, Solid]] = []
        self._frame = (0.0, 0.0, 0.0)
        self._group = 0

    def u(self, low: float, high: float) -> float:
        """Uniform in [low, high)."""
        return float(self.rng.uniform(low, high))

    def n(self, low: int, high: int) -> int:
        """A whole number from low to high, both included."""
        return int(self.rng.integers(low, high + 1))

    def chance(self, p: float) -> bool:
        """True with probability p."""
        return bool(self.rng.random() < p)

    def pick(self, *names: str) -> str:
        """One of the names, drawn at random."""
        return names[int(self.rng.integers(len(names)))]

    def pick_float(self, *values: float) -> float:
        """One of the values, drawn at random."""
        return values[int(self.rng.integers(len(values)))]

    def pick_piece(self, *pieces: Callable[[Builder], None]) -> None:
        """Build one of the pieces, drawn at random, at the local origin."""
        pieces[int(self.rng.integers(len(pieces)))](self)

    def paint(self, *names: str) -> int:
        """Draw a new paint of one of the named materials; returns its number."""
        self.paints.append(MATERIALS[self.pick(*names)].draw(self.rng))
        return len(self.paints) - 1

    def shell(self, w: float, length: float, h: float, floor: str, wall: str, ceiling: str) -> None:
        """The room: x in [-w/2, w/2], y in [0, length], z in [0, h]; one wall may differ."""
        walls = [self.paint(wall)] * 4
        if self.chance(0.25):
            walls[self.n(0, 3)] = self.paint(wall)
        a, b, c, d = walls
        self.room = Room(
            (-w / 2, 0.0, 0.0), (w / 2, length, h), (a, b, c, d, self.paint(floor), self.paint(ceiling))
        )

    def at(self, x: float, y: float, yaw: float = 0.0) -> None:
        """Start a new piece: later coordinates are local to (x, y), turned by yaw."""
        self._frame = (x, y, yaw)
        self._group += 1

    def against(self, wall: str, along: float) -> None:
        """Start a piece with its back to a wall ("left", "right", "back" or "front"); local +y is inwards.

        along: position on the wall, y for the left and right walls and x for the others.
        """
        assert self.room is not None
        (x0, y0, _), (x1, y1, _) = self.room.low, self.room.high
        frames = {
            "left": (x0, along, -math.pi / 2),
            "right": (x1, along, math.pi / 2),
            "back": (along, y1, math.pi),
            "front": (along, y0, 0.0),
        }
        self.at(*frames[wall])

    def box(self, x: float, y: float, z: float, sx: float, sy: float, sz: float, paint: int) -> None:
        """A box of size (sx, sy, sz) whose bottom is centred on local (x, y) at height z."""
        cx, cy = self._world(x, y)
        yaw = self._frame[2]
        quarters = round(yaw / (math.pi / 2))
        if abs(yaw - quarters * math.pi / 2) < 1e-6:
            # Square to the room: drop the turn, for boxes that share one share its ray directions.
            yaw = 0.0
            sx, sy = (sy, sx) if quarters % 2 else (sx, sy)
        self._add(Box((cx, cy, z + sz / 2), (sx / 2, sy / 2, sz / 2), paint, yaw))

    def cylinder(self, x: float, y: float, z: float, radius: float, height: float, paint: int) -> None:
        """An upright cylinder standing at height z on local (x, y)."""
        self._add(Cylinder((*self._world(x, y), z), radius, height, paint))

    def sphere(self, x: float, y: float, z: float, radius: float, paint: int) -> None:
        """A sphere centred on local (x, y) at height z."""
        self._add(Sphere((*self._world(x, y), z), radius, paint))

    def look(self, position: Vec3, target: Vec3, swing: float = 0.2) -> None:
        """Put the camera at `position`, looking towards `target`, off by up to `swing` sideways."""
        dx, dy, dz = (t - p for t, p in zip(target, position, strict=True))
        yaw = math.atan2(-dx, dy) + self.u(-swing, swing)
        pitch = math.atan2(dz, math.hypot(dx, dy)) + self.u(-0.08, 0.08)
        self.camera = Camera(position, yaw, pitch, roll=float(self.rng.normal(0, 0.025)))

    def light(self, x: float, y: float, z: float, power: float = 1.0, reach: float = 3.0) -> None:
        """Add a light."""
        self.lights.append(Light((x, y, z), power * self.u(0.7, 1.3), reach))

    def solids(self) -> list[Solid]:
        """All solids but the pieces that come too close to the camera."""
        blocked = {group for group, solid in self._placed if self._blocks(solid)}
        return [solid for group, solid in self._placed if group not in blocked]

    def moved(self, forward: float, sideways: float, turn: float) -> Camera:
        """The camera moved along and across its view, kept inside the room, and turned."""
        x, y, z = self.camera.position
        s, c = math.sin(self.camera.yaw), math.cos(self.camera.yaw)
        x, y = x - s * forward + c * sideways, y + c * forward + s * sideways
        if self.room is not None:
            (x0, y0, _), (x1, y1, _) = self.room.low, self.room.high
            x, y = min(max(x, x0 + 0.2), x1 - 0.2), min(max(y, y0 + 0.2), y1 - 0.2)
        return replace(self.camera, position=(x, y, z), yaw=self.camera.yaw + turn)

    def _world(self, x: float, y: float) -> tuple[float, float]:
        fx, fy, yaw = self._frame
        c, s = math.cos(yaw), math.sin(yaw)
        return fx + c * x - s * y, fy + s * x + c * y

    def _add(self, solid: Solid) -> None:
        self._placed.append((self._group, solid))

    def _blocks(self, solid: Solid) -> bool:
        (cx, cy, cz), half, yaw = bounds(solid)
        x, y, z = self.camera.position
        c, s = math.cos(yaw), math.sin(yaw)
        dx, dy = c * (x - cx) + s * (y - cy), c * (y - cy) - s * (x - cx)
        gaps = [max(abs(d) - h, 0.0) for d, h in zip((dx, dy, z - cz), half, strict=True)]
        return math.hypot(*gaps) < CLEARANCE_M
