"""A run goes on with the source model as it was read when the run began: the same weights may be another network."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from torch import Tensor

from tests.train.source_import.conftest import NAMES, saved
from tgkt_edge.errors import ConfigError
from tgkt_edge.train.given_source import source_model
from tgkt_edge.train.nn.checkpoint import save_checkpoint
from tgkt_edge.train.source_import.options import ImportOptions
from tgkt_edge.train.source_import.read_source import read_source


def merged(folder: Path, *tasks: str) -> Path:
    file = folder / "map.csv"
    rows = [f"{name},{task}" for name, task in zip(NAMES, tasks, strict=True)]
    file.write_text("\n".join(["source_class,task_class", *rows]))
    return file


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"bgr": True}, "`mean`, `std`, `bgr`, `size`: then .*'bgr': False.*, now .*'bgr': True"),
        ({"mean": (0.5,) * 3, "std": (0.5,) * 3}, "`mean`, `std`, `bgr`, `size`: then"),
        ({"arch": "resnet18_v1"}, "`arch`: then resnet18, now resnet18_v1"),
    ],
)
@pytest.mark.slow
def test_other_options_are_not_resumed(
    change: dict[str, object], words: str, state: dict[str, Tensor], names: Path, tmp_path: Path
) -> None:
    file, options = saved(state, tmp_path / "model.pth"), ImportOptions(names, size=64)
    begun, kept = read_source(file, options), tmp_path / "kept.safetensors"
    save_checkpoint(kept, begun.model, begun.header)
    assert source_model(file, kept, options)[1] == begun.header
    with pytest.raises(ConfigError, match=words):
        source_model(file, kept, replace(options, **change))  # type: ignore[arg-type]


@pytest.mark.slow
def test_classes_that_are_merged_otherwise_are_not_resumed(
    state: dict[str, Tensor], names: Path, tmp_path: Path
) -> None:
    """Names of the task's classes and all weights are the same; which outputs belong to a class is not."""
    file = saved(state, tmp_path / "model.pth")
    options = ImportOptions(names, map=merged(tmp_path, "wet", "dry", "dry", "dry", "dry"), size=64)
    begun, kept = read_source(file, options), tmp_path / "kept.safetensors"
    save_checkpoint(kept, begun.model, begun.header)
    source_model(file, kept, options)
    merged(tmp_path, "wet", "wet", "dry", "dry", "dry")
    with pytest.raises(
        ConfigError, match=r"`map_`: then \[\[0\], \[1, 2, 3, 4\]\], now \[\[0, 1\], \[2, 3, 4\]\]"
    ):
        source_model(file, kept, options)
