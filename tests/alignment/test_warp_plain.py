"""The fast way to align gives the same pixels and shares as the one that is said step by step, bit for bit."""

from __future__ import annotations

import dataclasses
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support.plain_warp import fill, plain_align
from tests.support.two_cameras import (
    COLOR_CAMERA,
    COLOR_LENS,
    COLOR_SIZE,
    DEPTH_CAMERA,
    POSE,
    intrinsics,
    look,
    millimetres,
    painted,
)
from tgkt_edge.alignment.lens import Lens
from tgkt_edge.alignment.rig import Rig
from tgkt_edge.alignment.warp import ColorAligner, _beside
from tgkt_edge.sensor import PRESETS, Extrinsics, Intrinsics, SensorSpec

SIZE = (160, 120)
LENS = intrinsics(DEPTH_CAMERA, SIZE)
BENT = dataclasses.replace(COLOR_LENS, distortion=(0.12, -0.25, 0.002, -0.001, 0.08), model="plumb_bob")
ABOVE = Extrinsics.of(POSE.matrix, (0.01, 0.12, 0.0))
NEAR = dataclasses.replace(COLOR_LENS, fx=COLOR_LENS.fx / 3, fy=COLOR_LENS.fy / 3)
DEPTH, METRES = PRESETS["depth"], PRESETS["depth-m"]
DISPARITY = SensorSpec(
    "depth", "uint16", near_m=0.3, far_m=9, encoding="disparity", unit_px=1 / 16, baseline_m=0.1, focal_px=200,
    invalid=(0,),
)  # fmt: skip


@pytest.mark.parametrize("holes", [0.0, 0.3, 0.97, 1.0])
@pytest.mark.parametrize(
    ("rig", "spec"),
    [
        (Rig(LENS, COLOR_LENS, POSE), DEPTH),
        (Rig(LENS, BENT, ABOVE), METRES),
        (Rig(dataclasses.replace(LENS, distortion=(0.1, -0.2, 0, 0)), NEAR, POSE), DISPARITY),
    ],
    ids=["depth", "distorted, one above the other, metres", "coarse, disparity"],
)
def test_the_same_bits(rig: Rig, spec: SensorSpec, holes: float) -> None:
    random = np.random.default_rng(3)
    counts: Any = millimetres(look(DEPTH_CAMERA, SIZE), SIZE)
    color = painted(look(COLOR_CAMERA, COLOR_SIZE), COLOR_SIZE, 0.1)
    if spec.is_float:
        counts = (counts / 1000).astype(np.float32)
    elif spec is DISPARITY:
        counts = (20_000_000 / 625 / np.maximum(counts, 1) * 10).astype(np.uint16)
    counts = np.where(random.random(counts.shape) < holes, 0, counts).astype(counts.dtype)
    counts[:, 40:60] = counts[30:33] = 0  # wide gaps, and rows of nothing
    found = ColorAligner(rig, spec, "two cameras").align(color, counts)
    pixels, *shares = plain_align(rig, spec, color, counts)
    np.testing.assert_array_equal(found.pixels, pixels)
    assert [found.measured, found.filled, found.outside] == shares
    assert found.pixels.any()
    assert holes > 0.9 or found.measured > 0.2


@pytest.mark.parametrize("count", [4, 5, 8, 12, 14])
def test_every_number_of_coefficients_distorts_as_opencv_does(count: int) -> None:
    """Within a millionth of a pixel: OpenCV's own function is ten times as slow."""
    given = np.array([0.3, -0.2, 0.003, -0.002, 0.1, 0.4, -0.1, 0.05, 0.01, -0.02, 0.03, 0.01, 0.02, -0.03])
    points = np.random.default_rng(0).uniform(-0.5, 0.5, (3, 5000))
    points[2] += 1
    matrix = np.array([[600.0, 0, 319], [0, 610, 241], [0, 0, 1]])
    lens = Lens(Intrinsics(600, 610, 319, 241, tuple(given[:count])))
    expected, _ = cv2.projectPoints(points.T.copy(), np.zeros(3), np.zeros(3), matrix, given[:count])
    found = lens.project(points)
    near = np.isfinite(found).all(0)
    assert near.mean() > 0.5
    np.testing.assert_allclose(found[:, near], expected.reshape(-1, 2).T[:, near], rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("upright", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.002, 0.05, 0.5, 0.95, 1.0])
def test_gaps_of_all_kinds_take_the_same_neighbors(share: float, upright: bool) -> None:
    random = np.random.default_rng(int(share * 1000))
    for shape in ((9, 7), (1, 30), (30, 1), (24, 40)):
        known = random.random(shape) < share
        metres = random.choice([0.5, 1.0, 2.0, 4.0], shape).astype(
            np.float32
        )  # of equal ones the left or upper one
        found = _beside(known, metres, upright)
        expected = fill(known, metres, upright)
        np.testing.assert_array_equal(
            np.where(found < 0, np.arange(known.size).reshape(shape), found), expected
        )
        assert (found < 0).all() == (not known.any())
