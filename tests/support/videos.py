"""Videos as the ffmpeg program writes them."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tgkt_edge.io.video import ExactVideo

needs_ffmpeg = pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="no ffmpeg program")
FRAMES = np.random.default_rng(4).integers(0, 65536, (4, 48, 64)).astype(np.uint16)


def ffmpeg(*words: object) -> None:
    subprocess.run(["ffmpeg", "-v", "error", "-y", *map(str, words)], check=True, capture_output=True)


def encode(path: Path, frames: NDArray[Any], *words: str, pixels: str | None = None) -> Path:
    """``frames`` as ffmpeg writes them with ``words``; ``pixels`` is what their bytes are."""
    raw = path.with_suffix(".raw")
    raw.write_bytes(frames.tobytes())
    given = pixels or ("gray16le" if frames.dtype == np.uint16 else "gray")
    size = f"{frames.shape[2]}x{frames.shape[1]}"
    ffmpeg("-f", "rawvideo", "-pix_fmt", given, "-s", size, "-r", "5", "-i", raw, *words, path)
    raw.unlink()
    return path


def decoded(path: Path) -> list[tuple[NDArray[Any] | None, str]]:
    video = ExactVideo(path)
    try:
        return list(iter(video.read, None))
    finally:
        video.close()
