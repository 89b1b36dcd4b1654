"""A run that is killed, at whatever moment, and resumed ends as if it had never been interrupted."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

from tests.support.cli import cli_environment
from tests.support.training import Tiny, metric_lines, step_lines
from tgkt_edge.errors import CheckpointError, ConfigError, IncompatibleError
from tgkt_edge.evaluation.evaluate import evaluate
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.adapt import adapt
from tgkt_edge.train.logger import truncate_metrics
from tgkt_edge.train.nn.checkpoint import load_tensors
from tgkt_edge.train.run_folder.folder import Run, RunInputs

DEPTH = load_sensor("depth")

STAGES = ("source", "tgmb", "tgkt")

CHILD = """
import json, sys
from pathlib import Path
from typing import Any
import torch
from tgkt_edge.config import build_config
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.adapt import adapt
from tgkt_edge.train.run_folder.folder import RunInputs
torch.backends.mkldnn.set_flags(False)  # as in the tests' own process: it rounds differently
inputs, sets, out = json.loads(sys.argv[1])
adapt(RunInputs(*inputs), load_sensor("depth"), Path(out), build_config(None, sets))
"""


def run_and_kill(tiny: Tiny, sets: list[str], out: Path, when: Callable[[list[str]], bool]) -> None:
    """Start ``adapt`` in a process of its own and SIGKILL it when metrics.jsonl is as expected."""
    inputs = [tiny.inputs.target, tiny.inputs.paired, tiny.inputs.source]
    # Another number of threads may round differently.
    environment = cli_environment(OMP_NUM_THREADS=str(torch.get_num_threads()))
    command = [sys.executable, "-c", CHILD, json.dumps([inputs, sets, str(out)])]
    with (out.parent / "stderr.txt").open("w") as stderr:
        child = subprocess.Popen(command, env=environment, stderr=stderr)
    deadline = time.monotonic() + 120
    try:
        while child.poll() is None and time.monotonic() < deadline:
            metrics = out / "metrics.jsonl"
            if metrics.is_file() and when(metrics.read_text().splitlines()):
                break
            time.sleep(0.005)
    finally:
        child.kill()
        child.wait()
    # It was still at work when it was killed.
    assert child.returncode == -signal.SIGKILL, (out.parent / "stderr.txt").read_text()
    assert not Run(out).target.is_file()


def seen(stage: str, **expected: object) -> Callable[[list[str]], bool]:
    """True once a complete line of ``stage`` holds these values."""

    def when(lines: list[str]) -> bool:
        for line in lines:
            try:
                entry = json.loads(line)
            except ValueError:
                continue
            if entry["stage"] == stage and all(entry.get(key) == value for key, value in expected.items()):
                return True
        return False

    return when


@pytest.mark.slow
def test_a_killed_run_resumes_to_bit_identical_weights(finished: Run, tiny: Tiny, tmp_path: Path) -> None:
    """From outside, with whatever the process is doing then; test_resume_kills.py has the moments that are aimed at."""
    out, sets = tmp_path / "run", [*tiny.small, f"weights={tiny.weights}", "save_every_s=0"]
    run_and_kill(tiny, sets, out, seen("tgkt", event="epoch", epoch=2))

    adapt(tiny.inputs, DEPTH, out, tiny.config(), resume=True)

    for name in ("source", "translator", "target"):
        resumed, whole = (load_tensors(getattr(run, name))[0] for run in (Run(out), finished))
        assert [key for key in whole if not torch.equal(whole[key], resumed[key])] == [], name
    answers = [
        {file.name: load_tensors(file) for file in (path / "epochs").glob("*.safetensors")}
        for path in (out, finished.path)
    ]
    assert answers[0].keys() == answers[1].keys() == {"tgkt-0.safetensors", "tgkt-1.safetensors"}
    for name, (tensors, about) in answers[0].items():
        assert about == answers[1][name][1]
        assert torch.equal(tensors["probabilities"], answers[1][name][0]["probabilities"])
    # Nothing is told twice, nothing is missing, and every number is the same.
    assert step_lines(out) == step_lines(finished.path)
    lines = metric_lines(out)
    assert [line["stage"] for line in lines if line.get("event") == "done"] == list(STAGES)
    epochs = [line for line in lines if line.get("event") == "epoch"]
    assert epochs == [line for line in metric_lines(finished.path) if line.get("event") == "epoch"]
    assert [line["epoch"] for line in epochs] == [1, 2]
    assert sorted(path.name for path in (out / "checkpoints").iterdir()) == [
        "source.safetensors",
        "target.safetensors",
        "translator.safetensors",
    ]


def test_resuming_a_finished_run_only_writes_its_report_again(
    finished: Run, tiny: Tiny, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    shutil.copytree(finished.path, out)
    (out / "report.json").unlink()
    before = {path: path.read_bytes() for path in (out / "metrics.jsonl", Run(out).target, Run(out).source)}
    adapt(tiny.inputs, DEPTH, out, tiny.config(), resume=True)
    assert all(path.read_bytes() == data for path, data in before.items())
    assert json.loads((out / "report.json").read_text()) == json.loads(
        (finished.path / "report.json").read_text()
    )


# Resume of something else


def test_another_option_is_refused_by_name(finished: Run, tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"config\.tgkt\.f: then 0\.2, now 0\.5") as caught:
        adapt(tiny.inputs, DEPTH, finished.path, tiny.config("tgkt.f=0.5"), resume=True)
    assert caught.value.exit_code == 2
    with pytest.raises(
        ConfigError, match=r"config\.seed: then 0, now 7; config\.tgmb\.lr: then 0\.001, now 0\.01"
    ):
        adapt(tiny.inputs, DEPTH, finished.path, tiny.config("seed=7", "tgmb.lr=0.01"), resume=True)


def test_other_data_or_another_sensor_are_refused_by_name(finished: Run, tiny: Tiny) -> None:
    inputs = RunInputs(str(tiny.data / "clip"), tiny.inputs.paired, tiny.inputs.source)
    with pytest.raises(ConfigError, match=r"inputs\.target: then '.*target', now '.*clip'"):
        adapt(inputs, DEPTH, finished.path, tiny.config(), resume=True)
    with pytest.raises(ConfigError, match=r"sensor\.kind: then 'depth', now 'nir'"):
        adapt(tiny.inputs, load_sensor("nir"), finished.path, tiny.config(), resume=True)


def test_how_often_state_is_saved_may_change(finished: Run, tiny: Tiny, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(finished.path, out)
    assert adapt(tiny.inputs, DEPTH, out, tiny.config("save_every_s=1"), resume=True)["target_frames"] == 12


def test_there_must_be_a_run_to_resume(tiny: Tiny, tmp_path: Path) -> None:
    with pytest.raises(IncompatibleError, match=r"no run here: config\.yaml is missing"):
        adapt(tiny.inputs, DEPTH, tmp_path / "run", tiny.config(), resume=True)
    assert not (tmp_path / "run").exists()


def test_a_damaged_checkpoint_stops_the_resumption(finished: Run, tiny: Tiny, tmp_path: Path) -> None:
    out = tmp_path / "run"
    shutil.copytree(finished.path, out)
    Run(out).target.unlink()
    data = bytearray(Run(out).source.read_bytes())
    data[-1000] ^= 1
    Run(out).source.write_bytes(data)
    with pytest.raises(CheckpointError, match=r"source\.safetensors: was altered"):
        adapt(tiny.inputs, DEPTH, out, tiny.config(), resume=True)
    assert not Run(out).target.exists()


# metrics.jsonl


def test_truncation_keeps_what_is_saved_and_drops_the_line_a_kill_cut_short(tmp_path: Path) -> None:
    kept = [
        {"stage": "source", "epoch": 1, "step": 3},
        {"stage": "source", "event": "done"},
        {"stage": "tgmb", "epoch": 1, "step": 3},
    ]
    dropped = [{"stage": "tgmb", "epoch": 2, "step": 6}, {"stage": "tgmb", "event": "done"}]
    path = tmp_path / "metrics.jsonl"
    path.write_text("".join(json.dumps(line) + "\n" for line in kept + dropped) + '{"stage": "tg')
    truncate_metrics(path, "tgmb", 1, STAGES)
    assert metric_lines(tmp_path) == kept


def test_truncation_without_a_file_is_nothing_to_do(tmp_path: Path) -> None:
    truncate_metrics(tmp_path / "metrics.jsonl", "tgmb", 1, STAGES)
    assert list(tmp_path.iterdir()) == []


# Runs of an earlier version, which had more options

EARLIER: dict[str, dict[str, Any]] = {
    "": {"rounds": 1},
    "tgmb": {"guide": 1.0, "optimiser": "sgd"},
    "tgkt": {
        "bns": 0.0, "ema": 0.0, "kd_paired": 0.0, "kd_warmup": 0, "pseudo_balance": 0.0, "pseudo_from": "student",
        "views": 0,
    },
}  # fmt: skip


def begun_earlier(finished: Run, out: Path, **options: Any) -> Path:
    """A copy of a finished run whose config.yaml has the keys of the version before; ``options`` of TGKT."""
    shutil.copytree(finished.path, out)
    values = yaml.safe_load((out / "config.yaml").read_text())
    config = values["config"]
    del config["tgmb"]["optimizer"]
    config.update(EARLIER[""])
    for section in ("tgmb", "tgkt"):
        config[section].update(EARLIER[section])
    config["tgkt"].update(options)
    (out / "config.yaml").write_text(yaml.safe_dump(values))
    return out


def test_a_run_of_before_the_options_went_is_taken_up_again(
    tiny: Tiny, finished: Run, tmp_path: Path
) -> None:
    out = begun_earlier(finished, tmp_path / "run")
    (out / "report.json").unlink()
    Run(out).target.unlink()
    adapt(tiny.inputs, DEPTH, out, tiny.config(), resume=True)
    trained, whole = (load_tensors(run.target)[0] for run in (Run(out), finished))
    assert [key for key in whole if not torch.equal(trained[key], whole[key])] == []


def test_a_run_begun_with_a_removed_option_is_not_resumed_but_can_be_evaluated(
    tiny: Tiny, finished: Run, tmp_path: Path
) -> None:
    out = begun_earlier(finished, tmp_path / "run", ema=2.0, kd_frames="confident")
    before = {path: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    with pytest.raises(IncompatibleError) as caught:
        adapt(tiny.inputs, DEPTH, out, tiny.config(), resume=True)
    assert str(caught.value).startswith(
        f"{out / 'config.yaml'}: begun with tgkt.ema = 2.0, tgkt.kd_frames = confident, which was removed in this "
    )
    assert "begin again with another `out`, without them." in str(caught.value)
    assert {path: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before
    labels = tiny.data / "target_labels.csv"
    asked, expected = (evaluate(run, labels, device="cpu")["models"] for run in (out, finished.path))
    assert asked == expected
