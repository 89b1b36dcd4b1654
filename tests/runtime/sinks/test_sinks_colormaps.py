"""Colours of raw frames: the published tables, and each count at the place its SensorSpec gives it."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tgkt_edge.runtime.sinks import colormaps as colours
from tgkt_edge.sensor import PRESETS, SensorSpec


@pytest.mark.parametrize(
    ("name", "opencv"), [("viridis", cv2.COLORMAP_VIRIDIS), ("turbo", cv2.COLORMAP_TURBO)]
)
def test_the_tables_are_opencv_s(name: str, opencv: int) -> None:
    bgr = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, np.newaxis], opencv)[:, 0]
    assert np.abs(colours.table(name).astype(int) - bgr[:, ::-1]).max() <= 1  # both round the same floats


def test_viridis_grows_lighter_and_grey_is_grey() -> None:
    rgb = np.ascontiguousarray(colours.table("viridis")[np.newaxis].astype(np.float32) / 255)
    lightness = cv2.cvtColor(rgb, cv2.COLOR_RGB2Lab)[0, :, 0]
    steps = np.diff(lightness[::15])  # over 15 entries the rounding to 8 bit no longer shows
    assert (np.abs(steps / steps.mean() - 1) < 0.2).all()  # evenly (its own measure is CAM02, close to Lab)
    assert np.array_equal(colours.table("grey")[200], [200, 200, 200])


def test_near_is_dark_far_is_light_and_a_hole_is_neither() -> None:
    spec = SensorSpec("depth", unit_m=0.001, near_m=1.0, far_m=3.0, invalid=(0,))
    frame = np.array([[0, 1, 1000, 2000, 3000, 9000]], np.uint16)
    table = colours.table("viridis")
    expected = [colours.INVALID, table[0], table[0], table[128], table[255], table[255]]
    assert np.array_equal(colours.colourise(frame, spec, "viridis")[0], expected)
    for name in ("viridis", "turbo"):
        assert not (colours.table(name) == colours.INVALID).all(axis=1).any()


def every_count(spec: SensorSpec) -> NDArray[Any]:
    """(1, N): all counts that an integer sensor can give; of a floating-point one, numbers in and around its range."""
    if not spec.is_float:
        return np.arange(np.iinfo(spec.numpy_dtype).max + 1, dtype=spec.numpy_dtype)[np.newaxis]
    low, high = spec.range
    inside = np.linspace(low - 1, high + 1, 10_000)
    return np.concatenate([inside, [np.nan, np.inf, -np.inf]]).astype(spec.numpy_dtype)[np.newaxis]


@pytest.mark.parametrize("preset", PRESETS)
def test_every_count_equals_the_plain_arithmetic(preset: str) -> None:
    spec = PRESETS[preset]
    counts = every_count(spec)
    low, high = spec.range
    place = np.clip((spec.decode(counts) - low) / (high - low), 0, 1)
    place[~spec.valid(counts)] = 0
    plain = colours.table("turbo")[np.round(255 * np.round(place * 65535) / 65535).astype(int)]
    plain[~spec.valid(counts)] = colours.INVALID
    assert np.array_equal(colours.colourise(counts, spec, "turbo"), plain)
    assert colours.default_for(spec) == ("viridis" if spec.kind == "depth" else "grey")
