"""What adapt does once: opens each image, puts the target frames on the device, asks each network about them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

import tgkt_edge
from tests.support.training import Tiny
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.adapt import adapt
from tgkt_edge.train.batches import Store
from tgkt_edge.train.nn.predict import predict_target
from tgkt_edge.train.report import summary

pytestmark = pytest.mark.slow  # each trains

CHILD = """
import json, sys
from collections import Counter
from pathlib import Path
from tgkt_edge.config import build_config
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.adapt import adapt
from tgkt_edge.train.run_folder.folder import RunInputs
inputs, sets, out, data = json.loads(sys.argv[1])
opened = Counter()
def note(event, args):
    if event == "open" and isinstance(args[0], str) and args[0].startswith(data):
        opened[args[0]] += 1
config = build_config(None, sets)
sys.addaudithook(note)
adapt(RunInputs(*inputs), load_sensor("depth"), Path(out), config)
print(json.dumps(opened))
"""


BASELINE = ("method=shot", "shot.epochs=1", "source.epochs=1")
TRANSLATION = ("method=translate", "translator=features")


@pytest.mark.parametrize("sets", [BASELINE, TRANSLATION])
def test_every_image_is_opened_once(sets: tuple[str, ...], tiny: Tiny, tmp_path: Path) -> None:
    paths = [tiny.inputs.target, tiny.inputs.paired, tiny.inputs.source]
    words = [paths, [*tiny.small, f"weights={tiny.weights}", *sets], str(tmp_path / "run"), str(tiny.data)]
    done = subprocess.run(
        [sys.executable, "-c", CHILD, json.dumps(words)],
        env={"PYTHONPATH": str(Path(tgkt_edge.__file__).parents[1]), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    opened: dict[str, int] = json.loads(done.stdout)
    images = {name: count for name, count in opened.items() if name.endswith(".png")}
    expected = [
        file for folder in ("target", "paired", "source") for file in (tiny.data / folder).rglob("*.png")
    ]
    assert len(expected) == 12 + 2 * 10 + 12
    assert images == {str(file): 1 for file in expected}


PIXELS = ("tgkt.epochs=1", "tgmb.epochs=1")
FEATURES = ("translator=features", "translation.force=true", "student.epochs=1")


@pytest.mark.parametrize("sets", [PIXELS, FEATURES])
def test_the_target_frames_are_kept_once_and_no_network_is_asked_again_for_the_report(
    sets: tuple[str, ...], tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
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
