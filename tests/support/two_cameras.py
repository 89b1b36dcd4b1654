"""A scene that is rendered from two places, so that it is known where each camera has every point."""

from __future__ import annotations

import math
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from tgkt_edge.alignment.rig import Rig
from tgkt_edge.demo.geometry import Box, Camera, Cylinder, Room, Solid, Sphere
from tgkt_edge.demo.raycast import Hits, cast
from tgkt_edge.sensor import Extrinsics, Intrinsics

ROOM = Room((-2.5, -1.0, 0.0), (2.5, 4.0, 2.6), (1, 2, 3, 4, 5, 6))
SOLIDS: list[Solid] = [
    Box((-0.6, 1.9, 0.5), (0.3, 0.25, 0.5), 7, yaw=0.4),
    Box((0.7, 2.6, 0.4), (0.35, 0.3, 0.4), 8),
    Cylinder((0.2, 1.5, 0.0), 0.12, 1.1, 9),
    Sphere((-0.1, 2.8, 1.2), 0.3, 10),
]
COLORS = np.random.default_rng(4).integers(40, 256, (11, 3)).astype(np.uint8)
DEPTH_SIZE, COLOR_SIZE = (320, 240), (400, 300)
DEPTH_CAMERA = Camera((0.0, -0.8, 1.1), pitch=-0.1, hfov=math.radians(70))
COLOR_CAMERA = Camera((0.12, -0.79, 1.11), yaw=0.03, pitch=-0.12, roll=0.02, hfov=math.radians(74))


def intrinsics(camera: Camera, size: tuple[int, int], **more: Any) -> Intrinsics:
    focal = camera.focal_px(size[0])
    return Intrinsics(focal, focal, (size[0] - 1) / 2, (size[1] - 1) / 2, **more)


def pose(one: Camera, other: Camera) -> Extrinsics:
    turn = other.rotation().astype(np.float64) @ one.rotation().astype(np.float64).T
    offset = np.array(one.position) - np.array(other.position)
    return Extrinsics.of(turn, other.rotation().astype(np.float64) @ offset)


def look(camera: Camera, size: tuple[int, int]) -> Hits:
    return cast(camera, ROOM, SOLIDS, *size)


def painted(hits: Hits, size: tuple[int, int], tile: float = 0.0) -> NDArray[np.uint8]:
    """Each thing in a color of its own, or in tiles of it and of a darker one, ``tile`` metres wide."""
    picture: NDArray[np.uint8] = COLORS[hits.material]
    if tile:
        picture[np.floor(hits.uv / tile).sum(0) % 2 == 1] //= 3
    return picture.reshape(size[1], size[0], 3)


def off(picture: NDArray[Any], truth: NDArray[Any], among: Any) -> float:
    """Share of pixels of another color than in truth, of those that are more than a pixel away from an edge."""
    flat = (cv2.dilate(truth, np.ones((3, 3))) == cv2.erode(truth, np.ones((3, 3)))).all(-1)
    return float((np.abs(picture.astype(int) - truth).max(-1) > 25)[flat & among].mean())


def millimetres(hits: Hits, size: tuple[int, int]) -> NDArray[np.uint16]:
    frame: NDArray[np.uint16] = np.rint(hits.z * 1000).astype(np.uint16).reshape(size[1], size[0])
    return frame


def true_places(hits: Hits, camera: Camera, size: tuple[int, int]) -> NDArray[np.float64]:
    """(2, P): where the color camera has each point that the depth camera sees, without any code under test."""
    points = camera.rotation().astype(np.float64) @ (hits.point - np.array(camera.position)[:, np.newaxis])
    focal = camera.focal_px(size[0])
    places: NDArray[np.float64] = points[:2] / points[2] * focal + (np.array(size)[:, np.newaxis] - 1) / 2
    return places


DEPTH_LENS, COLOR_LENS = intrinsics(DEPTH_CAMERA, DEPTH_SIZE), intrinsics(COLOR_CAMERA, COLOR_SIZE)
POSE = pose(DEPTH_CAMERA, COLOR_CAMERA)
RIG = Rig(DEPTH_LENS, COLOR_LENS, POSE)
