"""Displaced RGB images: how far, and in which direction, is measured to a few pixels."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.pairs import finding, moved, scenes, states
from tgkt_edge.data.check.alignment import measure_alignment
from tgkt_edge.data.check.check import check_data
from tgkt_edge.data.check.edges import REACH, SIDE, correlations, edge_map, warped


@pytest.mark.slow
@pytest.mark.parametrize(
    ("across", "down", "right", "below"),
    [(1, 1, 12, 0), (1, 1, -6, 9), (1.2, 1.2, 0, 0), (0.87, 0.87, 4, -3), (1.3, 1.1, 0, 5)],
)
def test_a_displacement_is_measured_to_a_few_pixels(
    across: float, down: float, right: float, below: float, write: Callable[..., Path]
) -> None:
    """What must be done to the RGB images undoes what was done to them."""
    pairs = [(moved(rgb, across, down, right, below), depth) for rgb, depth in scenes(12)]
    report = check_data(write(pairs), "depth")
    found = report.alignment
    assert found is not None
    assert finding(report, "alignment").state == "fix", report.text()
    assert found.across == pytest.approx(1 / across, rel=0.03)
    assert found.down == pytest.approx(1 / down, rel=0.03)
    assert found.right * 320 == pytest.approx(-right / across, abs=3)
    assert found.below * 240 == pytest.approx(-below / down, abs=3)
    assert states(report)["belonging"] == "ok"  # once displaced so, they fit


def test_a_shift_points_where_it_says() -> None:
    """By hand: one bright box, 5 pixels to the right and 2 above in the RGB image."""
    frame = np.zeros((SIDE, SIDE), np.float32)
    frame[60:90, 50:100] = 1
    rgb_image = np.roll(frame, (-2, 5), axis=(0, 1))
    surface = correlations(edge_map(rgb_image), edge_map(frame))
    y, x = np.unravel_index(surface.argmax(), surface.shape)
    assert (int(x) - REACH, int(y) - REACH) == (5, -2)
    assert surface.max() == pytest.approx(1, abs=1e-3)
    np.testing.assert_allclose(warped(rgb_image, 1, 1, -5, 2), frame, atol=1e-6)


def test_edges_within_holes_are_none() -> None:
    """What was filled in is no measurement."""
    wall = np.full((SIDE, SIDE), 3.0, np.float32)
    filled, solid = wall.copy(), np.ones(wall.shape, np.bool_)
    solid[40:80, 40:80] = False
    filled[50:70, 50:70] = 2
    assert edge_map(filled).any()
    assert not edge_map(filled, solid).any()
    np.testing.assert_array_equal(edge_map(wall), 0)


@pytest.mark.slow
def test_real_aligned_pairs_are_aligned_and_a_real_displacement_is_found(data_dir: Path) -> None:
    """NYU Depth v2: registered by its authors. Moved by 5 of 160 pixels, that is what is measured."""
    rgb_files = sorted((data_dir / "nyuv2/rgb").glob("*"))[::120]
    assert len(rgb_files) >= 10
    rgb_images, frames = [], []
    for file in rgb_files:
        (depth_file,) = (data_dir / "nyuv2/depth").glob(f"{file.stem}.*")
        grey = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)
        depth = cv2.imread(str(depth_file), cv2.IMREAD_UNCHANGED)
        assert grey is not None
        assert depth is not None
        rgb_images.append(cv2.resize(grey, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32))
        frames.append(
            np.log1p(cv2.resize(depth, (SIDE, SIDE), interpolation=cv2.INTER_AREA).astype(np.float32))
        )
    found = measure_alignment(rgb_images, frames, thorough=False)
    assert not found.off
    assert max(abs(found.right), abs(found.below)) <= 1 / SIDE
    assert found.score > 0.25
    found = measure_alignment([warped(image, 1, 1, 5, 0) for image in rgb_images], frames, thorough=False)
    assert found.off
    assert found.right == pytest.approx(-5 / SIDE, abs=1 / SIDE)
    quarter = len(frames) // 4 + 1
    assert not measure_alignment(rgb_images, frames[quarter:] + frames[:quarter], thorough=False).off


def test_pairs_too_few_to_measure_are_said_so(write: Callable[..., Path]) -> None:
    report = check_data(write(scenes(3)), "depth")
    assert finding(report, "alignment").state == "note"
    assert "3 pairs are too few" in finding(report, "alignment").text
    assert "belonging" not in states(report)
