"""The benchmark of viewers measures a run that people really watch."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from endurance import CLASSES, Instant
from viewers import frames_per_second

from tgkt_edge.runtime.sinks.live.state import LiveState
from tgkt_edge.sensor import PRESETS

pytest.importorskip("uvicorn")


@pytest.mark.parametrize("watching", [0, 3])
@pytest.mark.slow
def test_every_frame_is_decided_with_and_without_viewers(
    monkeypatch: pytest.MonkeyPatch, watching: int
) -> None:
    asked: list[int] = []
    image = LiveState.image

    def seen(self: LiveState, width: int) -> Any:
        asked.append(width)
        return image(self, width)

    monkeypatch.setattr(LiveState, "image", seen)
    frames = [np.full((48, 64), 1000 + number, np.uint16) for number in range(4)]
    # It refuses to answer unless every frame got its line.
    assert frames_per_second(Instant(), PRESETS["depth"], CLASSES, 32, frames, 2000, watching) > 0
    assert len(asked) >= watching  # each looked
    assert bool(asked) == bool(watching)
