"""Trees of the official shape, with real 16-bit images a few pixels wide."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

Write = Callable[..., NDArray[Any]]
AddSample = Callable[..., Path]
AddDiml = Callable[..., None]


def image(path: Path, *, bits: int = 8, channels: int = 3, seed: int = 0, side: int = 12) -> NDArray[Any]:
    """Write random pixels and return them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (side, side + 4) if channels == 1 else (side, side + 4, channels)
    pixels: NDArray[Any] = np.random.default_rng(seed).integers(1, 2**bits, shape).astype(f"uint{bits}")
    assert cv2.imwrite(str(path), pixels)
    return pixels


@pytest.fixture
def write_image() -> Write:
    return image


def sun_sample(root: Path, where: str, scene: str, seed: int = 0) -> Path:
    """A sample as in SUN RGB-D: one picture each in image/, depth/ and depth_bfx/, and scene.txt without a newline."""
    sample = root / where
    image(sample / "image" / f"{sample.name}.jpg", seed=seed)
    for folder in ("depth", "depth_bfx"):
        image(sample / folder / f"{sample.name}.png", bits=16, channels=1, seed=seed)
    (sample / "annotation2Dfinal").mkdir()
    (sample / "scene.txt").write_text(scene)
    return sample


@pytest.fixture
def add_sample() -> AddSample:
    return sun_sample


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
            sun_sample(root, place.format(index + 9), scene, seed=10 * number + index)
    return root


def diml_tree(root: Path, quality: str = "LR") -> None:
    """train/ and test/ of DIML's indoor sample in one size: six pairs of two classes, four of other scenes."""
    scenes = {
        "train": ("12. Livingroom", "03. Kitchen", "01. Warehouse"),
        "test": ("12. Livingroom", "05. Cafe"),
    }
    for split, names in scenes.items():
        for name in names:
            for index in range(2):
                stem = f"in_{split}_160217_{index}"
                folder = root / "indoor" / split / quality / name
                image(folder / "color" / f"{stem}_c.png")
                image(folder / "depth_filled" / f"{stem}_depth_filled.png", bits=16, channels=1)


@pytest.fixture
def add_diml() -> AddDiml:
    return diml_tree
