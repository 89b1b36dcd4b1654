"""Runs that do not fit what is asked of them, as a person at the command line meets them: words and exit codes."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from typer.testing import CliRunner

from tests.support.training import Tiny
from tgkt_edge import __version__
from tgkt_edge.cli.main import app
from tgkt_edge.train.nn.checkpoint import load_tensors
from tgkt_edge.train.run_folder.folder import Run

pytestmark = pytest.mark.slow

Told = tuple[int, str]
Adapt = Callable[..., Told]


def logged(*words: object) -> Told:
    """Exit code, and what was said in one line."""
    result = CliRunner().invoke(app, [str(word) for word in words])
    return result.exit_code, " ".join(result.output.split())


@pytest.fixture
def run(finished: Run, tmp_path: Path) -> Path:
    """A copy of the finished run without its pictures."""
    return Path(
        shutil.copytree(finished.path, tmp_path / "run", ignore=shutil.ignore_patterns("tensorboard"))
    )


@pytest.fixture
def again(tiny: Tiny, run: Path) -> Adapt:
    """The command that made the run, with --resume and what else is given."""
    sets = [word for text in (*tiny.small, f"weights={tiny.weights}") for word in ("--set", text)]
    places: dict[str, Any] = {
        "--target": tiny.inputs.target,
        "--paired": tiny.inputs.paired,
        "--source": tiny.inputs.source,
        "--sensor": "depth",
        "-o": run,
    }

    def adapt(*more: object, **other: object) -> Told:
        named = {**places, **{f"--{name}": value for name, value in other.items()}}
        return logged("adapt", *[word for pair in named.items() for word in pair], *sets, "--resume", *more)

    return adapt


def change(run: Path, alter: Callable[[dict[str, Any]], object]) -> None:
    values = yaml.safe_load((run / "config.yaml").read_text())
    alter(values)
    (run / "config.yaml").write_text(yaml.safe_dump(values))


def test_a_resume_with_other_options_names_each(again: Adapt, run: Path, tiny: Tiny) -> None:
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    code, messages = again("--seed", 1, "--set", "tgkt.f=0.5")
    assert code == 2
    assert (
        "other options: config.seed: then 0, now 1; config.tgkt.f: then 0.2, now 0.5. Give the same"
        in messages
    )
    assert again("--method", "shot")[1].count("config.method: then 'tgkt', now 'shot'.") == 1
    code, messages = again(target=tiny.data / "paired" / "frame")
    assert code == 2
    assert f"inputs.target: then '{tiny.inputs.target}', now '" in messages
    code, messages = again(sensor="nyuv2")
    assert code == 2
    assert "sensor.unit_m: then 0.001, now " in messages
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_how_often_state_is_saved_may_change(again: Adapt) -> None:
    assert again("--set", "save_every_s=5")[0] == 0


def test_there_is_nothing_to_resume(again: Adapt, run: Path) -> None:
    (run / "config.yaml").unlink()
    code, messages = again()
    assert code == 4
    assert (
        f"--resume {run}: no run here: config.yaml is missing. Leave --resume out to start one." in messages
    )


def test_a_run_of_another_version_is_finished_by_that_one(again: Adapt, run: Path, tiny: Tiny) -> None:
    change(run, lambda values: values.update(tool="0.0.9"))
    code, messages = again("--seed", 1)
    assert code == 4
    assert f"{run}: begun by tgkt-edge 0.0.9, and this is {__version__}" in messages
    assert "then" not in messages  # which options differ does not matter any more
    # Asking the networks it has is another matter.
    assert logged("evaluate", run, "--data", tiny.data / "target_labels.csv", "--device", "cpu")[0] == 0


@pytest.mark.parametrize("verb", ["adapt", "evaluate", "export", "audit"])
def test_a_run_of_another_schema_or_with_options_of_another_version(
    verb: str, again: Adapt, run: Path, tiny: Tiny, tmp_path: Path
) -> None:
    commands: dict[str, Callable[[], Told]] = {
        "adapt": again,
        "evaluate": lambda: logged("evaluate", run, "--data", tiny.data / "target_labels.csv"),
        "export": lambda: logged("export", run, "-o", tmp_path / "bundle"),
        "audit": lambda: logged("audit", run, "--frames", 3, "-o", tmp_path / "audit.csv"),
    }
    ask = commands[verb]
    change(run, lambda values: values["config"].update(future=3))
    code, messages = ask()
    assert code == 4
    assert "config.yaml is damaged: " in messages
    assert "unknown key 'future'" in messages
    assert ".." not in messages.replace(str(run), "")
    change(run, lambda values: values.update(tool="9.1"))
    code, messages = ask()
    assert code == 4
    assert f"written by tgkt-edge 9.1, and this is {__version__}, which cannot read it: " in messages
    assert "unknown key 'future'" in messages
    change(run, lambda values: values.update(schema=99))
    code, messages = ask()
    assert code == 4
    assert f"config.yaml: run of schema 99, this tgkt-edge {__version__} reads 1. Adapt again." in messages
    assert not [path for path in tmp_path.iterdir() if path != run]


def test_labels_of_other_classes_are_quoted(run: Path, tiny: Tiny, tmp_path: Path) -> None:
    table = (tiny.data / "target_labels.csv").read_text().replace("target/", f"{tiny.data}/target/")
    (tmp_path / "other.csv").write_text(table.replace(",bedroom", ",attic").replace(",office", ",bathroom"))
    code, messages = logged("evaluate", run, "--data", tmp_path / "other.csv")
    assert code == 2
    assert "labels that are none of the model's classes: 'attic', 'bathroom'. It knows bedroom, " in messages


def test_a_checkpoint_that_is_no_source_model_is_refused(again: Adapt, run: Path, tiny: Tiny) -> None:
    words = [
        "--target",
        tiny.inputs.target,
        "--paired",
        tiny.inputs.paired,
        "--sensor",
        "depth",
        "--batch",
        4,
    ]
    for name in ("target", "translator"):
        file = run / "checkpoints" / f"{name}.safetensors"
        code, messages = logged("adapt", *words, "-o", run.parent / "new", "--source-model", file)
        assert code == 4
        assert f"{file}: holds a {name}, expected a source network" in messages
    assert not (run.parent / "new").exists()


def test_a_run_folder_is_taken_for_its_source_model(
    run: Path, finished: Run, tiny: Tiny, tmp_path: Path
) -> None:
    words = ["adapt", "--target", tiny.inputs.target, "--sensor", "depth", "--method", "source-only"]
    sets = [word for text in tiny.small for word in ("--set", text)]
    code, messages = logged(*words, "-o", tmp_path / "new", "--source-model", run, *sets)
    assert code == 0, messages
    then, now = (load_tensors(one)[0] for one in (finished.source, Run(tmp_path / "new").source))
    assert then.keys() == now.keys()
    assert all(torch.equal(then[name], now[name]) for name in then)
    config = yaml.safe_load((tmp_path / "new" / "config.yaml").read_text())
    assert config["inputs"]["source_model"] == str(run / "checkpoints" / "source.safetensors")
    for place, words_of_it in (
        (tmp_path, "expected a source checkpoint, the run folder that it lies in, or a classifier of"),
        (tmp_path / "none", "none"),
    ):
        code, messages = logged(*words, "-o", tmp_path / "other", "--source-model", place, *sets)
        assert code in (2, 4)
        assert words_of_it in messages
    (run / "checkpoints" / "source.safetensors").unlink()
    code, messages = logged(*words, "-o", tmp_path / "other", "--source-model", run, *sets)
    assert code in (2, 4)
    assert "source.safetensors" in messages
    assert not (tmp_path / "other").exists()
