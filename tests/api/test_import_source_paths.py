"""``tgkt_edge.import_source``: files as text or as paths, as in the rest of the package's functions."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image

import tgkt_edge
from tgkt_edge.errors import CheckpointError, DataError
from tgkt_edge.train.nn.checkpoint import load_classifier
from tgkt_edge.train.source_import.import_source import import_source

NAMES = ("bath", "bed", "hall")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The working folder, with model.pth, classes.txt, map.csv and images of each class in rgb/."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(0)
    torch.save(torchvision.models.resnet18(weights=None, num_classes=3).state_dict(), "model.pth")
    Path("classes.txt").write_text("\n".join(NAMES))
    Path("map.csv").write_text("source_class,task_class\nhall,hall\nbath,bath\nbed,bed\n")
    for number, name in enumerate(NAMES):
        (tmp_path / "rgb" / name).mkdir(parents=True)
        Image.fromarray(np.full((72, 72, 3), 80 * number, np.uint8)).save(f"rgb/{name}/0.png")
    return tmp_path


@pytest.mark.parametrize("kind", [str, Path])
def test_files_are_given_as_text_or_as_paths(kind: Any, here: Path) -> None:
    options = tgkt_edge.ImportOptions(
        kind("classes.txt"), map=kind("map.csv"), size=64, check_images=kind("rgb")
    )
    for overwrite in (False, True):
        lines = tgkt_edge.import_source(
            kind("model.pth"), kind("out.safetensors"), options, overwrite=overwrite
        )
    assert any("resnet18" in line for line in lines)
    assert load_classifier(here / "out.safetensors", "source")[1].classes == ("hall", "bath", "bed")


@pytest.mark.usefixtures("here")
def test_so_are_its_labelled_images_and_what_is_missing_is_named() -> None:
    options = tgkt_edge.ImportOptions(cast(Any, "classes.txt"), size=64)
    with pytest.raises(DataError, match="`source` none: does not exist"):
        tgkt_edge.import_source("model.pth", "out.safetensors", options, source="none", device="cpu")
    with pytest.raises(CheckpointError, match=r"none\.pth: no such file"):
        tgkt_edge.import_source("none.pth", "out.safetensors", options)


def test_it_takes_what_the_function_behind_it_takes() -> None:
    given, behind = (
        {name: one.default for name, one in inspect.signature(found).parameters.items()}
        for found in (tgkt_edge.import_source, import_source)
    )
    assert given == behind
