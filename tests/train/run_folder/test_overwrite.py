"""``--overwrite`` and empty output folders: nothing is lost before the new run can stand alone."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import cli_environment
from tests.support.training import Tiny
from tgkt_edge.errors import TgktEdgeError, UsageError
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.adapt import adapt
from tgkt_edge.train.nn.checkpoint import load_tensors
from tgkt_edge.train.run_folder.folder import Run, RunInputs
from tgkt_edge.train.run_folder.swap import restore, swap_run_folder
from tgkt_edge.train.source_import.options import ImportOptions

DEPTH = load_sensor("depth")
OLD = {"config.yaml": "old", "checkpoints/source.safetensors": "old model", "metrics.jsonl": "old"}
NEW = {"config.yaml": "new", "checkpoints/source.safetensors": "new model"}
ENVIRONMENT = cli_environment()


def begin(out: Path, files: dict[str, str]) -> None:
    for name, text in reversed(files.items()):  # config.yaml last
        (out / name).parent.mkdir(parents=True, exist_ok=True)
        (out / name).write_text(text)


def everything(out: Path) -> dict[str, str]:
    return {path.relative_to(out).as_posix(): path.read_text() for path in out.rglob("*") if path.is_file()}


# What is renamed


def test_the_old_run_is_gone_once_the_new_one_stands(tmp_path: Path) -> None:
    begin(tmp_path, OLD)
    with swap_run_folder(tmp_path):
        assert list(tmp_path.glob("[!.]*")) == []
        begin(tmp_path, NEW)
    assert everything(tmp_path) == NEW


@pytest.mark.parametrize("error", [TgktEdgeError("disk full"), OSError(28, "disk full"), KeyboardInterrupt()])
def test_what_fails_before_that_puts_the_old_run_back(error: BaseException, tmp_path: Path) -> None:
    begin(tmp_path, OLD)
    with pytest.raises((TgktEdgeError, KeyboardInterrupt)), swap_run_folder(tmp_path):
        begin(tmp_path, {"checkpoints/source.safetensors": "half"})
        raise error
    assert everything(tmp_path) == OLD
    assert not list(tmp_path.rglob(".*"))


KILLED = """
import json, os, signal, sys
from pathlib import Path
from tgkt_edge.train.run_folder.swap import swap_run_folder
out, left, new = Path(sys.argv[1]), int(sys.argv[2]), json.loads(sys.argv[3])

def die_in_time(event, arguments):
    global left
    if event in ("os.rename", "os.mkdir", "os.remove", "os.rmdir", "open") and str(out) in str(arguments[0]):
        left -= 1
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(die_in_time)
with swap_run_folder(out):
    (out / "checkpoints").mkdir()
    for name, text in reversed(new.items()):  # config.yaml last, and whole at once, as write_config does it
        (out / ".config.yaml.1.tmp").write_text(text)
        os.replace(out / ".config.yaml.1.tmp", out / name)
"""


@pytest.mark.slow
def test_killed_at_any_moment_it_is_the_old_run_or_the_new(tmp_path: Path) -> None:
    seen = []
    for moment in range(1, 100):
        out = tmp_path / str(moment) / "run"
        begin(out, OLD)
        command = [sys.executable, "-c", KILLED, str(out), str(moment), json.dumps(NEW)]
        done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False)
        assert done.returncode in (0, -signal.SIGKILL), done.stderr
        restore(out)
        seen.append(everything(out))
        assert not list(out.rglob(".*"))
        if done.returncode == 0:
            break
    changed = seen.index(NEW)
    assert changed > 5
    assert seen == [OLD] * changed + [NEW] * (len(seen) - changed)


# Through adapt


def whole(model: Path) -> bool:
    return "classifier.bias" in load_tensors(model)[0]


def source_only(out: Path, source: Path, tiny: Tiny, *sets: str) -> object:
    """The quickest of all runs: nothing is trained."""
    inputs = RunInputs(tiny.inputs.target, None, source_model=str(source))
    return adapt(inputs, DEPTH, out, tiny.config("method=source-only", *sets), overwrite=True)


@pytest.fixture
def model(finished: Run, tmp_path: Path) -> Path:
    """A source model in the folder that is going to be replaced."""
    run = tmp_path / "run"
    begin(run, {"config.yaml": "old"})
    Run(run).source.parent.mkdir()
    Run(run).source.write_bytes(finished.source.read_bytes())
    return Run(run).source


STOPPED = """
import json, sys
from pathlib import Path
from tgkt_edge.config import build_config
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.adapt import adapt
from tgkt_edge.train.run_folder.folder import RunInputs
target, model, out, sets = json.loads(sys.argv[1])
sets = [*sets, "method=source-only"]
adapt(RunInputs(target, None, None, model), load_sensor("depth"), Path(out), build_config(None, sets), overwrite=True)
"""


@pytest.mark.slow
def test_a_missing_library_costs_no_source_model(model: Path, tiny: Tiny, tmp_path: Path) -> None:
    """Without TensorBoard nothing can be trained; that is found before the folder with the model is emptied."""
    (tmp_path / "tensorboard.py").write_text("raise ImportError('not here')")
    path = os.pathsep.join([str(tmp_path), ENVIRONMENT["PYTHONPATH"]])
    sets = [*tiny.small, f"weights={tiny.weights}"]
    words = json.dumps([tiny.inputs.target, str(model), str(model.parents[1]), sets])
    done = subprocess.run(
        [sys.executable, "-c", STOPPED, words],
        env={**ENVIRONMENT, "PYTHONPATH": path}, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "MissingDependency: Adapting needs the Python package" in done.stderr
    assert whole(model)
    assert everything_else(model) == ["config.yaml"]


def everything_else(model: Path) -> list[str]:
    return [path.name for path in model.parents[1].iterdir() if path != model.parent]


def test_weights_that_would_be_deleted_before_they_are_read_are_refused(
    finished: Run, tiny: Tiny, tmp_path: Path
) -> None:
    begin(tmp_path, {"config.yaml": "old"})
    inside = tmp_path / "resnet50.safetensors"
    inside.write_bytes(b"")
    with pytest.raises(UsageError, match=r"`weights=.*resnet50\.safetensors` lies inside it"):
        source_only(tmp_path, finished.source, tiny, f"weights={inside}")
    assert inside.exists()


@pytest.mark.parametrize("name", ["source_classes", "map_", "check_images"])
def test_what_says_how_to_read_a_source_model_is_not_deleted(name: str, tiny: Tiny, tmp_path: Path) -> None:
    """A run that goes on reads it again."""
    begin(tmp_path, {"config.yaml": "old", "classes.txt": "a"})
    field = {"source_classes": "classes", "map_": "map"}.get(name, name)
    options = ImportOptions(**{field: tmp_path / "classes.txt"})  # type: ignore[arg-type]
    inputs = RunInputs(tiny.inputs.target, None, source_model=str(tmp_path.parent / "model.pth"))
    config = tiny.config("method=source-only")
    with pytest.raises(UsageError, match=rf"`{name}=.*classes\.txt` lies inside it"):
        adapt(inputs, DEPTH, tmp_path, config, overwrite=True, source_options=options)
    assert everything(tmp_path) == {"config.yaml": "old", "classes.txt": "a"}


def test_an_empty_folder_is_written_into_and_never_removed(
    finished: Run, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A mount point, a link, the folder where the shell stands: they cannot be removed, and need not be."""
    (tmp_path / "disk").mkdir()
    (tmp_path / "link").symlink_to("disk", target_is_directory=True)
    source_only(tmp_path / "link", finished.source, tiny)
    assert (tmp_path / "link").is_symlink()
    assert (tmp_path / "disk" / "report.json").is_file()
    (tmp_path / "here").mkdir()
    before = (tmp_path / "here").stat().st_ino
    monkeypatch.chdir(tmp_path / "here")
    source_only(Path(), finished.source, tiny)
    assert Path("report.json").is_file()
    assert (tmp_path / "here").stat().st_ino == before
    # Once more over the first, through the link.
    source_only(tmp_path / "link", Run(tmp_path / "disk").source, tiny)
    assert whole(Run(tmp_path / "disk").source)
    assert sorted(path.name for path in (tmp_path / "disk").glob(".*")) == []
