"""Image files for tests."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tgkt_edge.errors import DataError


def write_image(path: Path, pixels: NDArray[Any]) -> Path:
    """Write pixels, blue first, in the format that the file's name asks for; return the path.

    The encoded bytes are written by Python: OpenCV would refuse some names that a file may well have.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    ok, data = cv2.imencode(path.suffix, pixels)
    assert ok
    path.write_bytes(data.tobytes())
    return path


def write_depth(path: Path, value: int = 1000, width: int = 32, height: int = 24) -> Path:
    """A 16-bit frame of one value."""
    return write_image(path, np.full((height, width), value, np.uint16))


def write_rgb(path: Path, value: int = 100, width: int = 32, height: int = 24) -> Path:
    """A color image of one gray value."""
    return write_image(path, np.full((height, width, 3), value, np.uint8))


def refused(load: Callable[[], object]) -> str:
    """What is said of data that ``load`` refuses, with exit code 2."""
    with pytest.raises(DataError) as caught:
        load()
    assert caught.value.exit_code == 2
    return str(caught.value)


def noise(count: int, dtype: str = "uint16", shape: tuple[int, int] = (48, 64)) -> NDArray[Any]:
    """(count, H, W): every bit of every pixel at random: nothing that a lossy step could leave as it was."""
    top = np.iinfo(dtype).max + 1
    return np.random.default_rng(11).integers(0, top, (count, *shape)).astype(dtype)


def make_frames(count: int, dtype: str = "uint16", seed: int = 0) -> list[NDArray[Any]]:
    """Frames of (48, 64) with structure, so that the tiny model's answers differ; no raw count is 0."""
    rng = np.random.default_rng(seed)
    top = 8000 if dtype == "uint16" else 255
    frames = []
    for _ in range(count):
        coarse = rng.uniform(1, top * rng.uniform(0.1, 1), size=(6, 8))
        grain = rng.uniform(0.8, 1.0, size=(48, 64))
        frames.append(np.maximum(np.kron(coarse, np.ones((8, 8))) * grain, 1).astype(dtype))
    return frames


def save_frames(
    folder: Path, frames: list[NDArray[Any]] | NDArray[Any], pattern: str = "frame_{}.png"
) -> Path:
    """Write frames as numbered image files without leading zeros; return the folder."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, frame in enumerate(frames):
        assert cv2.imwrite(str(folder / pattern.format(number)), frame)
    return folder
