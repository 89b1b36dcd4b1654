"""Sensor models: from what each pixel sees to the images an RGB camera, a depth and a NIR sensor deliver."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.demo.builder import Light
from tgkt_edge.demo.geometry import F32
from tgkt_edge.demo.materials import Column
from tgkt_edge.demo.raycast import Hits

NEAR_MM, FAR_MM = 400, 8000
NIR_BLACK, NIR_WHITE = 64, 1023
ROOM_LIGHT = 0.1  # how much of the building's own lighting is on

# Structured light: a projector BASELINE_M beside the camera, disparities measured at FOCAL_PX (of the
# sensor's own, larger image) with a spread of DISPARITY_NOISE and in steps of DISPARITY_STEP pixels.
# Depth z = FOCAL_PX * BASELINE_M / disparity, so both noise and step grow with z squared (Khoshelham 2012).
BASELINE_M = 0.075
FOCAL_PX = 580.0
DISPARITY_STEP = 1 / 8
DISPARITY_NOISE = 0.09


# Gamma by look-up: a power per pixel would cost more than tracing it.
_GAMMA: F32 = (255 * np.linspace(0, 1, 8192) ** (1 / 2.2)).astype(np.float32)


def depth_image(
    z: F32, cosine: F32, nir: F32, gloss: F32, focal: float, rng: np.random.Generator
) -> NDArray[np.uint16]:
    """The depth sensor's frame.

    z: (H, W) float32, metres along the optical axis, inf for nothing. cosine, nir, gloss: (H, W) float32 in
    [0, 1]: the angle to the surface, its NIR albedo and its mirror-like share. focal: of these frames, pixels.
    Returns (H, W) uint16 millimetres; 0 where the sensor has no reading, else in [NEAR_MM, FAR_MM].
    """
    height, width = z.shape
    scale = np.float32(FOCAL_PX * BASELINE_M)
    noise = rng.standard_normal((height, width), dtype=np.float32)
    disparity = scale / z + np.float32(DISPARITY_NOISE) * noise
    disparity = np.round(disparity / DISPARITY_STEP) * np.float32(DISPARITY_STEP)
    mm = np.rint(1000 * scale / np.maximum(disparity, 1e-3))
    hole = (mm < NEAR_MM) | (mm > FAR_MM) | ~np.isfinite(z)
    # Shadow: the projector is to the right, so a point is dark where something to the right of it in the
    # image lies to the left of it as the projector sees it.
    seen_by_projector = np.arange(width, dtype=np.float32) - np.float32(focal * BASELINE_M) / z
    least = np.minimum.accumulate(seen_by_projector[:, ::-1], axis=1)[:, ::-1]
    hole |= seen_by_projector > least + 0.25
    # Lost returns come in blotches, not in single pixels.
    coarse = rng.random((-(-height // 3), -(-width // 3)), dtype=np.float32)
    blotch = np.repeat(np.repeat(coarse, 3, axis=0), 3, axis=1)[:height, :width]
    blotch = 0.8 * blotch + 0.2 * rng.random((height, width), dtype=np.float32)
    hole |= cosine < 0.06 + 0.10 * blotch
    hole |= nir * cosine / np.maximum(z, 0.1) ** 2 < 0.0006 + 0.0030 * blotch
    hole |= blotch < 0.8 * gloss
    hole |= (gloss > 0.1) & (cosine > 0.99)
    hole |= rng.random((height, width), dtype=np.float32) < 0.004
    return np.where(hole, 0, mm).astype(np.uint16)


def nir_image(z: F32, cosine: F32, nir: F32, glow: F32, rng: np.random.Generator) -> NDArray[np.uint16]:
    """The NIR sensor's frame under its own lamp, automatically exposed.

    Arguments as for depth_image; glow: (H, W) float32, light the surface emits.
    Returns (H, W) uint16 in [NIR_BLACK, NIR_WHITE], 10 bits.
    """
    signal = nir * (cosine / np.maximum(z, 0.3) ** 2 + 0.012) + 0.03 * glow
    bright = float(np.percentile(signal[::4, ::4], 92))
    full = NIR_WHITE - NIR_BLACK
    counts = signal * np.float32(min(max(0.75 / max(bright, 1e-6), 1.0), 14.0) * full)
    # Shot noise (about 12 electrons a count) on top of read noise.
    spread = np.sqrt(np.maximum(counts, 0) / 12 + 9)
    counts = counts + spread * rng.standard_normal(z.shape, dtype=np.float32)
    frame: NDArray[np.uint16] = np.clip(np.rint(counts + NIR_BLACK), NIR_BLACK, NIR_WHITE).astype(np.uint16)
    return frame


def rgb_image(
    hits: Hits,
    albedo: F32,
    glow: F32,
    lights: list[Light],
    ambient: float,
    rng: np.random.Generator,
    settings: np.random.Generator,
) -> NDArray[np.uint8]:
    """The RGB camera's frame: a dim building by the robot's own lamp; automatic exposure, white balance, noise, gamma.

    The lamp sits beside the camera, so brightness tells of distance: the clue that a translation net can learn.
    albedo: (3, P) float32, linear. glow: (P,) float32. rng draws the noise, settings the exposure and balance.
    Returns (P, 3) uint8, sRGB order red, green, blue.
    """
    # The camera's tone mapping evens out the materials, brightness less than hue; shapes and distances remain.
    grey = np.maximum(albedo.mean(0, keepdims=True), np.float32(1e-3))
    albedo = grey ** np.float32(0.35) * (albedo / grey) ** np.float32(0.2)
    own = 0.1 + 1 / (0.15 + (np.maximum(hits.z, 0.3) / 2) ** 2)
    # A little more light from above than from below keeps faces apart that are equally far.
    light = (
        np.float32(2 * ambient) * (1 + 0.35 * hits.normal[2] + 0.12 * hits.normal[0]) * own.astype(np.float32)
    )
    for lamp in lights:
        away = np.array(lamp.position, np.float32)[:, None] - hits.point
        square = away[0] * away[0] + away[1] * away[1] + away[2] * away[2]
        x, y, z = away * hits.normal
        facing = (x + y + z) / np.sqrt(square + 1e-6)
        light += (
            np.float32(ROOM_LIGHT * lamp.power)
            * np.maximum(facing, 0)
            / (1 + square / np.float32(lamp.reach**2))
        )
    colour = albedo * np.maximum(light + np.float32(ROOM_LIGHT) * glow, 0)
    exposure = 0.28 / max(float(colour[:, ::16].mean()), 1e-3) * np.exp(settings.normal(0, 0.2))
    balance = np.exp(settings.normal(0, 0.05, 3)).astype(np.float32)[:, None]
    colour = colour * (np.float32(exposure) * balance)
    colour = colour / (1 + 0.25 * colour)  # a soft shoulder, so that windows do not clip hard
    value = np.take(_GAMMA, (np.minimum(colour, 1) * (_GAMMA.size - 1)).astype(np.int32))
    # The difference of two uniform bytes has a spread of 104; a Gaussian would cost five times as much.
    noise = np.frombuffer(rng.bytes(2 * value.size), np.uint8).astype(np.float32).reshape(2, *value.shape)
    value += (noise[0] - noise[1]) * np.float32(2.5 / 104)
    return np.ascontiguousarray(np.clip(np.rint(value), 0, 255).astype(np.uint8).T)


def paint_rows(paints: list[F32], material: NDArray[np.intp]) -> F32:
    """Each pixel's paint: (N_COLUMNS, P) float32. Where nothing is hit the row is all zero but its sizes."""
    nothing = np.zeros(len(Column), np.float32)
    nothing[[Column.SIZE_U, Column.SIZE_V]] = 1
    table = np.stack([*paints, nothing], axis=1)
    # np.take keeps the rows contiguous, unlike table[:, material].
    return np.take(table, material, axis=1)
