"""The camera that ``tests/runtime/v4l2_shim.c`` answers for in place of the kernel, and what its frames hold."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

CAMERA = "v4l2:///dev/video42"
HEIGHT, WIDTH, BASE = 48, 64, 4096


def painted(number: int, height: int = HEIGHT) -> NDArray[np.uint16]:
    """Frame ``number`` of the shim, as its header comment says."""
    counts = BASE + 257 * number + 3 * np.arange(height * WIDTH)
    return (counts % 65536).astype(np.uint16).reshape(height, WIDTH)
