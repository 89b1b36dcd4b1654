"""SUN RGB-D as it comes, a few pixels wide."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.public_sets import add_sun_sample


@pytest.fixture
def sun(tmp_path: Path) -> Path:
    """SUNRGBD/ with four cameras, samples as deep as in the real one, two classes and two other scenes."""
    root = tmp_path / "SUNRGBD"
    places = {
        "kv1": "kv1/NYUdata/NYU{:04d}",
        "kv2": "kv2/kinect2data/{:06d}_rgbf-resize",
        "realsense": "realsense/lg/2014_10_{:04d}",
        "xtion": "xtion/sun3ddata/hotel/hotel_1/{:04d}-depth",
    }
    for number, place in enumerate(places.values()):
        for index, scene in enumerate(("office", "kitchen", "bedroom", "office", "furniture_store")):
            add_sun_sample(root, place.format(index + 9), scene, seed=10 * number + index)
    return root
