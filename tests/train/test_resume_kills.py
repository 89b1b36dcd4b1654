"""One run, killed again and again: at random steps of every stage and in the middle of every file it writes.

Each attempt is a process of its own that really dies of SIGKILL, so nothing is flushed, closed or removed by it. One
helper process has imported everything and forks them all, so that an attempt costs about a second.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import tgkt_edge
from tests.support.counts import LONG
from tests.support.training import Tiny
from tgkt_edge.errors import IncompatibleError
from tgkt_edge.io.atomic import remove_leftovers
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.adapt import adapt
from tgkt_edge.train.nn.checkpoint import load_tensors
from tgkt_edge.train.run_folder.folder import Run, RunInputs

pytestmark = pytest.mark.slow

STAGES = (("source", "source"), ("tgmb", "translator"), ("tgkt", "target"))
"""Of the default method: each stage and the checkpoint that it ends with."""

HELPER = """
import json, os, signal, sys, traceback
from pathlib import Path
import cv2, sklearn.decomposition, sklearn.manifold, torch, torch.utils.tensorboard.writer, torchvision
import tgkt_edge.io.atomic as files
from tgkt_edge.config import build_config
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train import adapt as job
from tgkt_edge.train.logger import StageLog
from tgkt_edge.train.run_folder.folder import RunInputs

torch.backends.mkldnn.set_flags(False)  # as in the tests' own process: it rounds differently

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def arm(kind, what, number):
    if kind == "step":
        step = StageLog.step
        def fatal_step(self, terms):
            step(self, terms)
            if self.name == what and self._step == number:
                die()
        StageLog.step = fatal_step
    elif kind == "write":
        sync, left = files._sync, [number]
        def fatal_sync(path):  # called when a temporary file is written and not yet renamed
            if path.suffix == ".tmp" and path.name.startswith("." + what):
                left[0] -= 1
                if left[0] == 0:
                    os.truncate(path, path.stat().st_size // 2)
                    die()
            sync(path)
        files._sync = fatal_sync

for line in sys.stdin:
    inputs, sets, out, resume, kill = json.loads(line)
    child = os.fork()
    if child == 0:
        try:
            arm(*kill)
            config = build_config(None, sets)
            job.adapt(RunInputs(*inputs), load_sensor("depth"), Path(out), config, resume=resume)
            os._exit(0)
        except BaseException:
            traceback.print_exc()
            os._exit(1)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Attempts:
    """Runs ``adapt`` in forked processes; a call returns its exit code, -9 if it was killed."""

    def __init__(self, stderr: Path) -> None:
        self.path = stderr
        environment = {
            **os.environ,
            "PYTHONPATH": str(Path(tgkt_edge.__file__).parents[1]),
            "OMP_NUM_THREADS": str(torch.get_num_threads()),  # another number may round differently
        }
        self.stderr = stderr.open("w")
        self.helper = subprocess.Popen(
            [sys.executable, "-c", HELPER],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.stderr, text=True, env=environment,
        )  # fmt: skip

    def __call__(self, inputs: RunInputs, sets: list[str], out: Path, resume: bool, *kill: Any) -> int:
        assert self.helper.stdin is not None
        assert self.helper.stdout is not None
        paths = [inputs.target, inputs.paired, inputs.source, inputs.source_model]
        self.helper.stdin.write(json.dumps([paths, sets, str(out), resume, kill or ("no", "", 0)]) + "\n")
        self.helper.stdin.flush()
        return int(self.helper.stdout.readline())

    def logged(self) -> str:
        return self.path.read_text()

    def close(self) -> None:
        self.helper.communicate()  # closes stdin, so that the helper ends
        self.stderr.close()


@pytest.fixture(scope="module")
def attempt(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Attempts]:
    attempts = Attempts(tmp_path_factory.mktemp("attempts") / "stderr.txt")
    yield attempts
    attempts.close()


def kills(seed: int) -> list[tuple[str, str, int]]:
    """In the order of the run: in every stage random steps, its state being written, then its checkpoint."""
    rng = random.Random(seed)
    plan: list[tuple[str, str, int]] = []
    for stage, checkpoint in STAGES:
        # 2 epochs of 2 steps. What is killed before the first epoch was saved begins the stage again, as all do.
        if LONG or stage == "tgmb":
            plan.append(("step", stage, rng.randint(1, 2)))
        plan.append(("write", f"{stage}.safetensors", 1))
        plan.append(("step", stage, rng.randint(3, 4)))
        # Resumed after the first epoch it writes the state of the second, which may have the checkpoint's name.
        plan.append(("write", f"{checkpoint}.safetensors", 2 if checkpoint == stage else 1))
    return [*plan, ("write", "metrics.jsonl", 1), ("write", "report.json", 1)]


def lines(run: Path, kind: str) -> list[dict[str, Any]]:
    logged = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [line for line in logged if (line.get("event") if kind == "epoch" else "step" in line)]


@pytest.mark.parametrize("seed", [0])
def test_a_run_killed_everywhere_ends_as_if_nothing_had_happened(
    seed: int, finished: Run, tiny: Tiny, attempt: Attempts, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    sets = [*tiny.small, f"weights={tiny.weights}", "save_every_s=0"]
    died: list[tuple[str, str, int]] = []
    for kill in kills(seed):
        code = attempt(tiny.inputs, sets, out, bool(died), *kill)
        assert code == -signal.SIGKILL, (kill, code, attempt.logged())
        died.append(kill)
        assert not (out / "report.json").exists()
    assert attempt(tiny.inputs, sets, out, True) == 0, attempt.logged()

    assert len(died) == (14 if LONG else 12)
    for name in ("source", "translator", "target"):
        resumed, whole = (load_tensors(getattr(run, name))[0] for run in (Run(out), finished))
        assert [key for key in whole if not torch.equal(whole[key], resumed[key])] == [], name
    # Nothing is told twice, nothing is missing, every number is the same, and nothing is left lying about.
    assert lines(out, "step") == lines(finished.path, "step")
    timeless = [
        [
            {key: value for key, value in line.items() if key not in ("seconds", "peak_bytes")}
            for line in logged
        ]
        for logged in (lines(out, "epoch"), lines(finished.path, "epoch"))
    ]
    assert timeless[0] == timeless[1]
    assert [line["pseudo_labels_changed"] is None for line in timeless[0] if line["event"] == "epoch"] == [
        True,
        False,
    ]
    assert list((out / "state").iterdir()) == []
    assert not [path for path in out.rglob("*") if path.suffix == ".tmp"]


# 2 epochs of 2 steps each: one in the second; with LONG one in the first, too, before anything is saved. The default
# method above has the kills in the middle of every file; here is what other stages add to the state.
def in_epochs(stage: str, rng: random.Random) -> list[tuple[str, str, int]]:
    plan = [("step", stage, rng.randint(1, 2)), ("step", stage, rng.randint(3, 4))]
    return plan if LONG else plan[1:]


RNG = random.Random(1)
OTHERS = {
    "SHOT": (("method=shot", "shot.epochs=2"), in_epochs("shot", RNG)),
    "SOCKET": (("method=socket", "socket.epochs=2"), in_epochs("socket", RNG)),
    "TGMB by Adam, then TGKT against the prior of its start": (
        ("tgmb.optimizer=adam", "tgkt.im_prior=start"),
        [
            *in_epochs("tgmb", RNG)[-1:],
            ("write", "translator.safetensors", 1),
            *in_epochs("tgkt", RNG),
        ],
    ),
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_methods_and_options_killed_at_random_steps_end_alike(
    name: str, finished: Run, tiny: Tiny, attempt: Attempts, tmp_path: Path
) -> None:
    more, plan = OTHERS[name]
    inputs = replace(tiny.inputs, source=None, source_model=str(finished.source))
    killed, whole = Run(tmp_path / "killed"), Run(tmp_path / "whole")
    assert attempt(inputs, [*tiny.small, *more], whole.path, False) == 0, attempt.logged()

    sets = [*tiny.small, *more, "save_every_s=0"]
    for number, kill in enumerate(plan):
        code = attempt(inputs, sets, killed.path, number > 0, *kill)
        assert code == -signal.SIGKILL, (kill, code, attempt.logged())
        assert not killed.target.exists()
    assert (killed.path / "state" / f"{plan[-1][1]}.safetensors").is_file()
    assert attempt(inputs, sets, killed.path, True) == 0, attempt.logged()

    made = sorted(path.name for path in whole.source.parent.iterdir())
    assert made == sorted(path.name for path in killed.source.parent.iterdir())
    for file in made:
        straight, resumed = (load_tensors(run.source.parent / file)[0] for run in (whole, killed))
        assert straight.keys() == resumed.keys()
        assert [key for key in straight if not torch.equal(straight[key], resumed[key])] == [], file
    assert lines(killed.path, "step") == lines(whole.path, "step")
    assert {line["stage"] for line in lines(whole.path, "step")} >= {
        stage for kind, stage, _ in plan if kind == "step"
    }


def test_killed_while_its_first_file_is_written_the_run_is_simply_started_again(
    tiny: Tiny, attempt: Attempts, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    sets = [*tiny.small, f"weights={tiny.weights}"]
    assert attempt(tiny.inputs, sets, out, False, "write", "config.yaml", 1) == -signal.SIGKILL
    assert all(path.name.startswith(".") for path in out.iterdir())
    with pytest.raises(IncompatibleError, match="no run here"):
        adapt(tiny.inputs, load_sensor("depth"), out, tiny.config(), resume=True)
    assert attempt(tiny.inputs, sets, out, False, "step", "source", 1) == -signal.SIGKILL
    assert (out / "config.yaml").is_file()


def test_leftovers_of_a_kill_are_removed_and_nothing_else(tmp_path: Path) -> None:
    for name in (".config.yaml.abc.tmp", ".report.json.x1.tmp", "mine.tmp", ".hidden", "config.yaml"):
        (tmp_path / name).write_text("x")
    (tmp_path / ".folder.abc.tmp").mkdir()
    remove_leftovers(tmp_path, "config.yaml")
    assert not (tmp_path / ".config.yaml.abc.tmp").exists()
    assert (tmp_path / ".report.json.x1.tmp").exists()
    remove_leftovers(tmp_path)
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        ".folder.abc.tmp", ".hidden", "config.yaml", "mine.tmp",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("key", "value", "error", "message"),
    [
        (
            "schema",
            99,
            IncompatibleError,
            r"config\.yaml: run of schema 99, this tgkt-edge .* reads 1\. Adapt again",
        ),
        (
            "tool",
            "0.0.1",
            IncompatibleError,
            rf"begun by tgkt-edge 0\.0\.1, and this is {tgkt_edge.__version__}",
        ),
    ],
)
def test_a_run_of_another_version_is_not_continued(
    key: str, value: object, error: type[Exception], message: str, finished: Run, tiny: Tiny, tmp_path: Path
) -> None:
    values = yaml.safe_load((finished.path / "config.yaml").read_text())
    assert key in values
    out = tmp_path / "run"
    out.mkdir()
    (out / "config.yaml").write_text(yaml.safe_dump({**values, key: value}))
    with pytest.raises(error, match=message):
        adapt(tiny.inputs, load_sensor("depth"), out, tiny.config(), resume=True)
    assert [path.name for path in out.iterdir()] == ["config.yaml"]
