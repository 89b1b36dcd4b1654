"""Seven small depth frames, and an empty cache."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.cache import COUNT
from tests.support.images import write_image
from tgkt_edge.data.cache.cache import Cache
from tgkt_edge.data.recipes import Recipe
from tgkt_edge.notes import forget_notes


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seven depth frames of noise, 0.3 to 7 m."""
    rng = np.random.default_rng(0)
    for number in range(COUNT):
        write_image(
            tmp_path / "target" / f"{number}.png", rng.integers(300, 7000, (24, 32)).astype(np.uint16)
        )
    return tmp_path / "target"


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture(autouse=True)
def notes_again() -> None:
    forget_notes()


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Which items this process decodes from now on."""
    found: list[Path] = []
    read = Recipe.read

    def note(self: Recipe, item: tuple[Path, ...], *rest: Any) -> Any:
        found.append(item[-1])
        return read(self, item, *rest)

    monkeypatch.setattr(Recipe, "read", note)
    return found
