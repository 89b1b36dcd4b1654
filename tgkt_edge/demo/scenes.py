"""Random scenes by class, each as an aligned RGB, depth and NIR triple.

A scene is a pure function of (seed, class, index), and a frame of that and its size: rendering other scenes
before it, or in another process, changes nothing.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.demo.builder import Builder
from tgkt_edge.demo.geometry import Camera, Solid
from tgkt_edge.demo.layouts import TASK_LAYOUTS
from tgkt_edge.demo.layouts_other import NEAR_LAYOUTS, OTHER_LAYOUTS
from tgkt_edge.demo.materials import Column, texture
from tgkt_edge.demo.raycast import cast
from tgkt_edge.demo.sensors import depth_image, nir_image, paint_rows, rgb_image

TASK_CLASSES: tuple[str, ...] = tuple(TASK_LAYOUTS)
OTHER_CLASSES: tuple[str, ...] = tuple(OTHER_LAYOUTS)
NEAR_CLASSES: tuple[str, ...] = tuple(NEAR_LAYOUTS)

_LAYOUTS = TASK_LAYOUTS | OTHER_LAYOUTS | NEAR_LAYOUTS
# Clips show scenes of their own: this is above every index that data sets use.
_FIRST_CLIP_INDEX = 1_000_000


@dataclass(frozen=True)
class Frames:
    """One view of one scene by three sensors that share one lens: pixel (row, column) is the same ray.

    rgb: (H, W, 3) uint8, sRGB in the order red, green, blue, 0..255.
    depth_mm: (H, W) uint16, millimetres along the optical axis; 0 where the sensor has no reading, else
        400..8000.
    nir: (H, W) uint16 of 10 bits: 64 (black level) .. 1023 (white level).
    """

    rgb: NDArray[np.uint8]
    depth_mm: NDArray[np.uint16]
    nir: NDArray[np.uint16]


def render(name: str, index: int, *, seed: int = 0, width: int = 160, height: int = 120) -> Frames:
    """Render scene number `index` of class `name`.

    name: one of TASK_CLASSES, OTHER_CLASSES or NEAR_CLASSES. index, seed: whole numbers from 0.
    width, height: frame size in pixels, at least 8 each. The horizontal field of view is 70 degrees at any
    size.
    Returns Frames of height x width pixels.
    Raises ValueError for an unknown class (the message names the known ones), a negative index or seed, or
    a frame smaller than 8 x 8.
    """
    builder, solids = _build(name, index, seed, width, height)
    return _shoot(builder, solids, builder.camera, _rng(seed, name, index, 1), width, height)


def render_clip(
    names: Iterable[str], frames_per_scene: int, *, seed: int = 0, width: int = 160, height: int = 120
) -> Iterator[tuple[str, Frames]]:
    """Walk through one scene after another, the camera moving slowly within each.

    names: the class of each scene, in order, possibly without end; a class that comes again is another scene.
    frames_per_scene: frames from each scene, at least 1. seed, width, height: as for render, whose scenes
    never turn up here for indices below 1,000,000.
    Yields (class name, Frames) frames_per_scene times per scene.
    Raises ValueError, when iterated, for frames_per_scene < 1 and wherever render does.
    """
    if frames_per_scene < 1:
        raise ValueError(f"frames_per_scene must be at least 1, got {frames_per_scene}")
    for position, name in enumerate(names):
        index = _FIRST_CLIP_INDEX + position
        builder, solids = _build(name, index, seed, width, height)
        path = _rng(seed, name, index, 2)
        ahead, aside, turn = path.uniform(0.15, 0.3), path.uniform(-0.15, 0.15), path.uniform(-0.25, 0.25)
        for frame in range(frames_per_scene):
            # Ease in and out between the two ends of the path, from -1 to 1.
            phase = -math.cos(math.pi * frame / max(frames_per_scene - 1, 1))
            camera = builder.moved(ahead * phase, aside * phase, turn * phase)
            noise = _rng(seed, name, index, 3 + frame)
            yield (
                name,
                _shoot(builder, solids, camera, noise, width, height, exposure=_rng(seed, name, index, 1)),
            )


def _rng(seed: int, name: str, index: int, stream: int) -> np.random.Generator:
    return np.random.default_rng([seed, zlib.crc32(name.encode()), index, stream])


def _build(name: str, index: int, seed: int, width: int, height: int) -> tuple[Builder, list[Solid]]:
    if name not in _LAYOUTS:
        raise ValueError(f"unknown class {name!r}; known: {', '.join(sorted(_LAYOUTS))}")
    if index < 0 or seed < 0:
        raise ValueError(f"index and seed must not be negative, got {index} and {seed}")
    if width < 8 or height < 8:
        raise ValueError(f"a frame must be at least 8 x 8 pixels, got {width} x {height}")
    builder = Builder(_rng(seed, name, index, 0))
    _LAYOUTS[name](builder)
    return builder, builder.solids()


def _shoot(
    builder: Builder,
    solids: list[Solid],
    camera: Camera,
    rng: np.random.Generator,
    width: int,
    height: int,
    exposure: np.random.Generator | None = None,
) -> Frames:
    """One view; `exposure` draws the RGB camera's settings, which stay the same through a clip."""
    hits = cast(camera, builder.room, solids, width, height)
    paint = paint_rows(builder.paints, hits.material)
    focal = camera.focal_px(width)
    slant = np.where(np.isfinite(hits.z), hits.z, np.float32(0)) / np.maximum(hits.cosine, np.float32(0.05))
    weight = texture(paint, hits.uv, (slant / np.float32(focal)).astype(np.float32, copy=False))
    mixed = paint[Column.RED : Column.NIR + 1]
    mixed = mixed + weight * (paint[Column.RED2 : Column.NIR2 + 1] - mixed)
    ambient = 0.75 if builder.outdoor else 0.35
    rgb = rgb_image(hits, mixed[:3], paint[Column.GLOW], builder.lights, ambient, rng, exposure or rng)
    shape = (height, width)
    z, cosine, nir = hits.z.reshape(shape), hits.cosine.reshape(shape), mixed[3].reshape(shape)
    return Frames(
        rgb=rgb.reshape(height, width, 3),
        depth_mm=depth_image(z, cosine, nir, paint[Column.GLOSS].reshape(shape), focal, rng),
        nir=nir_image(z, cosine, nir, paint[Column.GLOW].reshape(shape), rng),
    )
