"""A run goes on with the data and the source model that it began with, not with what lies at their paths by now."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import torch
import yaml

from tests.support.training import Tiny
from tgkt_edge.config import AdaptConfig
from tgkt_edge.data.loading import load_frames, load_images
from tgkt_edge.errors import ConfigError
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.adapt import adapt
from tgkt_edge.train.nn.checkpoint import load_classifier, save_checkpoint
from tgkt_edge.train.run_folder.contents import DataDigests
from tgkt_edge.train.run_folder.folder import Run, RunInputs

DEPTH = load_sensor("depth")


@dataclass(frozen=True)
class Paused:
    """A run in ``out`` on data and a model of its own, and what resumes it."""

    data: Path
    model: Path
    out: Path
    inputs: RunInputs
    config: AdaptConfig

    def go_on(self) -> object:
        return adapt(self.inputs, DEPTH, self.out, self.config, resume=True)


@pytest.fixture
def paused(finished: Run, tiny: Tiny, tmp_path: Path) -> Paused:
    data, model = tmp_path / "data", tmp_path / "model.safetensors"
    shutil.copytree(tiny.data, data)
    shutil.copy(finished.source, model)
    inputs = RunInputs(str(data / "target"), str(data / "paired"), source_model=str(model))
    config = tiny.config("method=source-only")
    adapt(inputs, DEPTH, tmp_path / "run", config)
    (tmp_path / "run" / "report.json").unlink()
    return Paused(data, model, tmp_path / "run", inputs, config)


def a_frame_more(folder: Path) -> None:
    shutil.copy(min(folder.iterdir()), folder / "999999.png")


def two_frames_exchanged(folder: Path) -> None:
    """As many files under the same names, and together as large as before."""
    one, other = sorted(folder.iterdir())[:2]
    bytes_of_one = one.read_bytes()
    one.write_bytes(other.read_bytes())
    other.write_bytes(bytes_of_one)


@pytest.mark.parametrize(
    ("alter", "folders", "message"),
    [
        (a_frame_more, ["target"], r"`target`: then 12 with sha256 \w+, now 13 with sha256"),
        (two_frames_exchanged, ["target"], r"`target`: then 12 with sha256 \w+, now 12 with sha256"),
        (a_frame_more, ["paired/rgb", "paired/frame"], r"`paired`: then 10 with sha256 \w+, now 11 with"),
        (two_frames_exchanged, ["paired/rgb"], r"`paired`: then 10 with sha256 \w+, now 10 with sha256"),
    ],
)
def test_other_frames_at_the_same_path_are_refused_by_name(
    alter: Callable[[Path], None], folders: list[str], message: str, paused: Paused
) -> None:
    for name in folders:
        alter(paused.data / name)
    with pytest.raises(ConfigError, match=rf"started with other files: {message}") as caught:
        paused.go_on()
    assert caught.value.exit_code == 2
    assert not (paused.out / "report.json").exists()


def test_labels_of_the_source_count_as_well(tiny: Tiny, tmp_path: Path) -> None:
    shutil.copytree(tiny.data, tmp_path / "data")

    def contents() -> dict[str, str]:
        found = DataDigests()
        load_frames(tmp_path / "data" / "target", DEPTH, 32, digests=found.target)
        load_images(tmp_path / "data" / "source", 32, digests=found.source)
        return found.contents()

    before = contents()
    assert before.keys() == {"target", "source"}  # no pairs were given
    assert contents() == before
    kitchen = tmp_path / "data" / "source" / "kitchen"
    (tmp_path / "data" / "source" / "office" / "9.png").write_bytes(min(kitchen.iterdir()).read_bytes())
    min(kitchen.iterdir()).unlink()
    assert contents()["target"] == before["target"]
    assert contents()["source"] != before["source"]


@pytest.mark.slow
def test_nothing_changed_and_the_source_model_may_be_gone(paused: Paused) -> None:
    """The run has its copy; with --overwrite, what was there before is even deleted by the run itself."""
    paused.go_on()
    paused.model.unlink()
    (paused.out / "report.json").unlink()
    paused.go_on()
    assert (paused.out / "report.json").is_file()


@pytest.mark.slow
def test_another_model_under_the_old_name_is_refused(paused: Paused) -> None:
    network, header = load_classifier(paused.model)
    with torch.no_grad():
        network.bottleneck.linear.bias.add_(1)
    save_checkpoint(paused.model, network, header)
    with pytest.raises(ConfigError, match="holds another model than the run was started with") as caught:
        paused.go_on()
    assert f"`source_model={paused.model}`: " in str(caught.value)


def test_a_run_from_before_contents_were_noted_goes_on(paused: Paused) -> None:
    file = paused.out / "config.yaml"
    values = yaml.safe_load(file.read_text())
    del values["contents"]
    file.write_text(yaml.safe_dump(values))
    paused.go_on()
    assert (paused.out / "report.json").is_file()
