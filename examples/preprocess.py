"""The preprocessing of tgkt-edge with numpy alone: raw frame -> network input, bit for bit as the package computes it.

The rules, one by one, are in docs/preprocessing.md; the numbers of the comments are those of that page. The C++ version
beside this file does the same. Written to be read: the package's own code (tgkt_edge/preprocess.py) is the fast one.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

HOLE = (1 << 30, -1)  # farther than any pixel; index of none
STEPS = [(-2, -1, 143976), (-2, 1, 143976), (-1, -2, 143976), (-1, -1, 91750), (-1, 0, 65536), (-1, 1, 91750),
         (-1, 2, 143976), (0, -1, 65536)]  # rows, columns, distance x 65536: 2.1969, 1.4 and 1  # fmt: skip


def preprocess(frame: Array, sensor: dict[str, Any], size: int) -> Array:
    """(H, W) raw counts of the sensor's dtype -> (1, size, size) float32 in [0, 1]; ``sensor`` as in manifest.json."""
    side = round(size * 256 / 224)  # 5: 64 -> 73, 224 -> 256; the manifest has it as input.resize_side
    assert frame.ndim == 2  # 1
    assert frame.dtype == sensor["dtype"]
    ends = {"depth": ("near_m", "far_m"), "nir": ("black", "white"), "thermal": ("cold_c", "hot_c")}
    low, high = (sensor[name] for name in ends[sensor["kind"]])
    value, valid = measure(frame, sensor)  # 2
    unit = np.where(valid, (value - low) / (high - low), 0)
    place = np.round(np.clip(unit, 0, 1) * 65535).astype(np.float32)  # 3
    mean = area(np.where(valid, place, np.float32(0)), side)  # 4
    if not valid.all():
        cover = area(valid.astype(np.float32), side)
        mean = fill(mean / np.maximum(cover, np.float32(1e-3)), cover < np.float32(1e-3))  # 6, 7
    codes = np.clip(np.rint(mean), 0, 65535)  # 8
    top = (side - size) // 2  # 9
    tensor: Array = codes[top : top + size, top : top + size] / np.float32(65535)  # 10
    return tensor[np.newaxis]


def measure(frame: Array, sensor: dict[str, Any]) -> tuple[Array, Array]:
    """Metres, counts or degrees Celsius of raw counts, float64, and which of them are measurements."""
    valid = ~np.isin(frame, np.asarray(sensor.get("invalid", []), frame.dtype))
    if frame.dtype.kind == "f":
        valid &= np.isfinite(frame) & ((frame > 0) | (sensor["kind"] == "thermal"))
    if sensor.get("encoding") == "sunrgbd":
        frame = (frame >> 3) | (frame << 13)
    value = frame.astype(np.float64)
    if sensor.get("encoding") == "disparity":
        pixels = value * sensor["unit_px"] + sensor.get("offset_px", 0.0)
        far = sensor["baseline_m"] * sensor["focal_px"] / np.where(pixels > 0, pixels, 1)
        return far, valid & (pixels > 0)
    if sensor["kind"] == "thermal":
        kelvin = value * sensor["unit_k"] + sensor.get("offset_k", 0.0)
        return kelvin - 273.15, valid & (kelvin > 0)
    return value * sensor.get("unit_m", 1.0), valid


def area(image: Array, side: int) -> Array:
    """(H, W) float32 to (side, side): means over areas where it shrinks, linear where it grows."""
    height, width = image.shape
    if (height < side) != (width < side):
        image = area_once(image, min(height, side), min(width, side))
    return area_once(image, side, side)


def area_once(image: Array, rows: int, columns: int) -> Array:
    """Rows and columns both shrink or both grow. float32 throughout, terms added one by one, from left and from top."""
    (height, width), grow = image.shape, rows > image.shape[0] or columns > image.shape[1]
    if (
        1 / (rows / height) == height // rows and 1 / (columns / width) == width // columns
    ):  # whole factors: plain sums
        blocks = image.reshape(rows, height // rows, columns, width // columns).transpose(1, 3, 0, 2)
        terms = blocks.reshape(-1, rows, columns)
        total: Array = np.zeros((rows, columns), np.float32)
        for four in np.split(
            terms, range(4, len(terms) // 4 * 4 + 1, 4)
        ):  # four at a time, the rest one by one
            total = (
                total + (((four[0] + four[1]) + four[2]) + four[3]) if len(four) == 4 else sum(four, total)
            )
        return total * np.float32(1 / len(terms))
    for size, axis in ((columns, 1), (rows, 0)):
        picks, weights = (growing if grow else shrinking)(image.shape[axis], size)
        shape = (-1, 1) if axis == 0 else (1, -1)
        summed: Array = np.zeros(1, np.float32)
        for pick, weight in zip(picks.T, weights.T, strict=True):
            summed = summed + image.take(pick, axis) * weight.reshape(shape)
        image = summed
    return image


def shrinking(length: int, size: int) -> tuple[Array, Array]:
    """(size, taps) pixels under each output pixel and the share of it that each covers, float32."""
    scale = 1 / (size / length)
    first = np.arange(size) * scale
    last = np.minimum(first + scale, length)
    picks = np.floor(first + 1e-3).astype(int)[:, None] + np.arange(int(scale) + 2)
    covered = np.minimum(picks + 1, last[:, None]) - np.maximum(picks, first[:, None])
    covered[(covered <= 1e-3) | (picks >= length)] = 0
    weights = covered / np.minimum(scale, length - first)[:, None]
    return np.minimum(picks, length - 1), weights.astype(np.float32)


def growing(length: int, size: int) -> tuple[Array, Array]:
    """(size, 2) neighbours of each output pixel and their weights, float32."""
    scale = 1 / (size / length)
    left = np.floor(np.arange(size) * scale).astype(int)
    part = (np.arange(1, size + 1) - (left + 1) * (size / length)).astype(np.float32)
    part = np.where((part <= 0) | (left >= length - 1), np.float32(0), part - np.floor(part))
    return np.minimum(np.stack([left, left + 1], 1), length - 1), np.stack([np.float32(1) - part, part], 1)


def fill(mean: Array, hole: Array) -> Array:
    """Each hole takes the value of its nearest pixel that is none; of several as near, the one found first."""
    rows, columns = hole.shape
    assert not hole.all(), "nothing was measured"
    far = np.pad(np.where(hole, HOLE[0], 0), 2, constant_values=HOLE[0])
    value = np.pad(mean, 2)
    for sign in (1, -1):  # from the top left, then from the bottom right
        for y in range(2, rows + 2)[::sign]:
            for x in range(2, columns + 2)[::sign]:
                for down, right, step in STEPS if far[y, x] > (0 if sign == 1 else 65536) else ():
                    found = far[y + sign * down, x + sign * right] + step
                    if found < far[y, x]:
                        far[y, x], value[y, x] = found, value[y + sign * down, x + sign * right]
    return value[2:-2, 2:-2]
