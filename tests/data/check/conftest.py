"""Pairs on disk."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import pytest

from tests.support.pairs import Scene


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def write(pairs: list[Scene], name: str = "pairs") -> Path:
        for side in ("rgb", "frame"):
            (tmp_path / name / side).mkdir(parents=True)
        for number, (rgb, depth) in enumerate(pairs):
            cv2.imwrite(str(tmp_path / name / f"rgb/{number:03d}.png"), rgb[..., ::-1])
            cv2.imwrite(str(tmp_path / name / f"frame/{number:03d}.png"), depth)
        return tmp_path / name

    return write
