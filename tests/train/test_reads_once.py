"""What adapt does once: opens each image, puts the target frames on the device, asks each network about them."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.support.training import Tiny
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.adapt import adapt
from tgkt_edge.train.batches import Store
from tgkt_edge.train.nn.predict import predict_target
from tgkt_edge.train.report import summary

pytestmark = pytest.mark.slow  # each trains

PIXELS = ("tgkt.epochs=1", "tgmb.epochs=1")
FEATURES = ("translator=features", "translation.force=true", "student.epochs=1")


LISTENERS: list[Counter[str]] = []


def _listen(event: str, args: tuple[Any, ...]) -> None:
    if event == "open" and isinstance(args[0], str):
        for opened in LISTENERS:
            opened[args[0]] += 1


@pytest.fixture(scope="module")
def audited() -> None:
    """Every file that this process opens is noted from now on; such a hook cannot be taken away."""
    sys.addaudithook(_listen)


@pytest.fixture
def opened(audited: None) -> Iterator[Counter[str]]:
    """How often each file was opened by its name since the test began."""
    LISTENERS.append(Counter())
    yield LISTENERS[-1]
    LISTENERS.clear()


@pytest.mark.parametrize("sets", [PIXELS, FEATURES])
def test_every_image_is_opened_and_the_target_frames_are_kept_once_and_no_network_is_asked_again_for_the_report(
    sets: tuple[str, ...],
    tiny: Tiny,
    opened: Counter[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    kept: list[int] = []
    make = Store.__init__

    def count(self: Store, images: Any, device: torch.device) -> None:
        if images.dtype == np.uint16 and len(images) == 12:
            kept.append(len(images))
        make(self, images, device)

    asked: list[tuple[str, int]] = []

    def spy(model: Any, frames: Store, *rest: Any) -> Any:
        asked.append((rest[4], len(frames)))
        return predict_target(model, frames, *rest)

    monkeypatch.setattr(Store, "__init__", count)
    monkeypatch.setattr(summary, "predict_target", spy)
    adapt(tiny.inputs, load_sensor("depth"), tmp_path / "run", tiny.config("source.epochs=1", *sets))
    assert kept == [12]
    assert asked  # about the pairs that were held out
    assert [name for name, count in asked if count == 12] == []

    expected = [
        file for folder in ("target", "paired", "source") for file in (tiny.data / folder).rglob("*.png")
    ]
    assert len(expected) == 12 + 2 * 10 + 12
    images = {name: count for name, count in opened.items() if Path(name).is_relative_to(tiny.data)}
    assert {name: count for name, count in images.items() if name.endswith(".png")} == {
        str(file): 1 for file in expected
    }
