"""Trees of the official shape of public data sets, with real 16-bit images a few pixels wide."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray


def write_noise(
    path: Path, *, bits: int = 8, channels: int = 3, seed: int = 0, side: int = 12
) -> NDArray[Any]:
    """Write random pixels and return them."""
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = (side, side + 4) if channels == 1 else (side, side + 4, channels)
    pixels: NDArray[Any] = np.random.default_rng(seed).integers(1, 2**bits, shape).astype(f"uint{bits}")
    assert cv2.imwrite(str(path), pixels)
    return pixels


def add_sun_sample(root: Path, where: str, scene: str, seed: int = 0) -> Path:
    """A sample as in SUN RGB-D: one picture each in image/, depth/ and depth_bfx/, and scene.txt without a newline."""
    sample = root / where
    write_noise(sample / "image" / f"{sample.name}.jpg", seed=seed)
    for folder in ("depth", "depth_bfx"):
        write_noise(sample / folder / f"{sample.name}.png", bits=16, channels=1, seed=seed)
    (sample / "annotation2Dfinal").mkdir()
    (sample / "scene.txt").write_text(scene)
    return sample


def add_diml(root: Path, quality: str = "LR") -> None:
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
                write_noise(folder / "color" / f"{stem}_c.png")
                write_noise(folder / "depth_filled" / f"{stem}_depth_filled.png", bits=16, channels=1)
