"""Pictures of formats without a test file of their own, as Pillow writes and reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from tgkt_edge.io.images import read_frame, read_rgb

RANDOM = np.random.default_rng(6)
GREY = RANDOM.integers(0, 256, (17, 23)).astype(np.uint8)
COUNTS = RANDOM.integers(0, 65536, (17, 23)).astype(np.uint16)
RGB = RANDOM.integers(0, 256, (17, 23, 3)).astype(np.uint8)
RGBA = np.dstack([RGB, GREY])


@pytest.mark.parametrize(
    ("name", "pixels", "how"),
    [
        ("a.png", COUNTS, {}), ("a.png", GREY, {}), ("a.bmp", GREY, {}), ("a.pgm", GREY, {}), ("a.pgm", COUNTS, {}),
        ("a.webp", np.dstack([GREY] * 3), {"lossless": True}), ("a.tif", COUNTS, {}),
        ("a.tif", GREY, {"compression": "tiff_lzw"}),
    ],
)  # fmt: skip
def test_frames_hold_the_counts_that_pillow_reads(
    name: str, pixels: NDArray[Any], how: dict[str, Any], tmp_path: Path
) -> None:
    Image.fromarray(pixels).save(tmp_path / name, **how)
    found = read_frame(tmp_path / name)
    assert found.dtype == pixels.dtype
    theirs = np.asarray(Image.open(tmp_path / name))
    np.testing.assert_array_equal(found, theirs if theirs.ndim == 2 else theirs[..., 0])
    np.testing.assert_array_equal(found, pixels if pixels.ndim == 2 else pixels[..., 0])


@pytest.mark.parametrize(
    ("name", "pixels", "how"),
    [
        ("a.png", RGB, {}), ("a.png", RGBA, {}), ("a.bmp", RGB, {}), ("a.bmp", RGBA, {}), ("a.ppm", RGB, {}),
        ("a.webp", RGB, {"lossless": True}), ("a.webp", RGBA, {"lossless": True, "exact": True}), ("a.tif", RGB, {}),
        ("a.tif", RGB, {"compression": "tiff_adobe_deflate"}), ("a.webp", RGB, {"quality": 60}),
    ],
)  # fmt: skip
def test_rgb_images_are_those_that_pillow_reads(
    name: str, pixels: NDArray[Any], how: dict[str, Any], tmp_path: Path
) -> None:
    Image.fromarray(pixels).save(tmp_path / name, **how)
    theirs = np.asarray(Image.open(tmp_path / name).convert("RGBA"))[..., :3]
    np.testing.assert_array_equal(read_rgb(tmp_path / name), theirs)
