"""Where evidence lies on a raw frame, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tgkt_edge.runtime.infer.evidence import crop_box, share_unmeasured, unmeasured, with_evidence
from tgkt_edge.runtime.records import Candidate, Decision
from tgkt_edge.sensor import PRESETS, SensorSpec

DEPTH = PRESETS["depth"]


def test_what_the_network_sees_of_a_frame() -> None:
    """224 of 256 pixels, 16 left out on each side; of 73 pixels 64 from the fifth on."""
    assert crop_box(224) == (1 / 16, 1 / 16, 7 / 8, 7 / 8)
    assert crop_box(64) == (4 / 73, 4 / 73, 64 / 73, 64 / 73)


def test_holes_are_counted_where_they_lie() -> None:
    """A frame of 512x256 and two by two places: each 224 columns and 112 rows, from column 32 and row 16 on."""
    frame = np.full((256, 512), 1000, np.uint16)
    frame[:, :32] = 0  # nobody sees it
    frame[16:128, 256:368] = 0  # half of the upper right place
    frame[240:, :] = 0  # nobody sees it
    np.testing.assert_allclose(unmeasured(frame, DEPTH, 224, (2, 2)), [[0.0, 0.5], [0.0, 0.0]], atol=1e-6)


def test_pixels_on_an_edge_are_shared_out() -> None:
    """Three columns of the raw frame over two places: the middle one belongs to both."""
    frame = np.full((2, 3), 1000, np.uint16)
    frame[:, 1] = 0
    found = unmeasured(frame, DEPTH, 224, (1, 2))
    visible = 3 * 7 / 8  # columns
    np.testing.assert_allclose(found, [[0.5 / (visible / 2)] * 2], rtol=1e-6)


@pytest.mark.parametrize(("shape", "size", "grid"), [((480, 640), 224, (7, 7)), ((99, 31), 112, (4, 4))])
def test_the_mean_over_places_is_that_of_the_visible_part(
    shape: tuple[int, int], size: int, grid: tuple[int, int]
) -> None:
    frame = np.full(shape, 1000, np.uint16)
    assert unmeasured(frame, DEPTH, size, grid).max() == 0
    frame[:] = 0
    np.testing.assert_allclose(unmeasured(frame, DEPTH, size, grid), 1, rtol=1e-5)


def test_a_sensor_without_invalid_counts_measures_everywhere() -> None:
    spec = SensorSpec("nir", "uint8", black=0, white=255)
    assert unmeasured(np.zeros((20, 20), np.uint8), spec, 64, (2, 2)).tolist() == [[0, 0], [0, 0]]


def test_maps_that_are_not_finite_are_left_out() -> None:
    """Half precision ends at 65504; JSON has no infinity."""
    decision = Decision("a", 0.75, (Candidate("a", 0.75),))
    frame = np.full((20, 20), 1000, np.uint16)
    maps = np.ones((2, 2, 2), np.float32)
    found = with_evidence(decision, maps, frame, DEPTH, 64, ("a", "b"))
    assert found.evidence_invalid == 0
    assert found.maps is maps
    for wrong in (np.inf, np.nan):
        maps[1, 0, 0] = wrong
        assert with_evidence(decision, maps, frame, DEPTH, 64, ("a", "b")) is decision


def test_the_share_of_positive_evidence() -> None:
    without = np.array([[1.0, 0.5], [0.0, 1.0]], np.float32)
    assert share_unmeasured(np.array([[3.0, 1.0], [2.0, -9.0]], np.float32), without) == pytest.approx(
        3.5 / 6
    )
    assert share_unmeasured(np.array([[0.0, 0.0], [2.0, 0.0]], np.float32), without) == 0
    assert share_unmeasured(np.array([[-1.0, 0.0], [-2.0, -3.0]], np.float32), without) is None
