"""Seven small depth frames, and what a cache of decoded images gives of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from tgkt_edge.data.cache.cache import Cache
from tgkt_edge.data.loading import Frames, load_frames
from tgkt_edge.sensor import PRESETS, SensorSpec

DEPTH, SIDE, COUNT = PRESETS["depth"], 20, 7


def load(folder: Path, cache: Cache | None, spec: SensorSpec = DEPTH, side: int = SIDE, **how: Any) -> Frames:
    return load_frames(folder, spec, side, cache=cache, **how)[0]


def assert_same(found: Any, expected: Any) -> None:
    """All fields of two sets, value by value."""
    for name, value in vars(expected).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(found, name), value, err_msg=name)
            assert getattr(found, name).dtype == value.dtype
        else:
            assert getattr(found, name) == value


def files_of(cache: Cache) -> list[Path]:
    return sorted(cache.folder.iterdir())
