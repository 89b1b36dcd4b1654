"""A small target network through real processes: adapt, killed and resumed, then export, then run."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.support.cli import cli_command, cli_environment, run_cli, run_cli_within
from tests.support.training import FEATURES, SIDE, Tiny, differing_tensors, metric_lines
from tgkt_edge.bundle import Bundle
from tgkt_edge.evaluation.evaluate import evaluate
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.adapt import adapt
from tgkt_edge.train.nn.checkpoint import architecture, load_classifier
from tgkt_edge.train.run_folder.folder import Run

pytestmark = pytest.mark.slow

ARCH = "mobilenet_v3_large"
TRAINING = 300
"""Seconds that a command with torch may take on a busy machine; some ten on a quiet one."""

STUDENT = (*FEATURES, f"student.arch={ARCH}", "student.weights=none", "distill.epochs=6", "save_every_s=0")


def adapt_options(tiny: Tiny, translated: Run, out: Path) -> list[object]:
    """As typed by a person; what has no flag of its own is given by ``--set``."""
    small = [text for text in tiny.small if text.startswith("translation.")]
    sets = [word for text in (*small, *FEATURES, "save_every_s=0") for word in ("--set", text)]
    return [
        "adapt", "--source-model", translated.source, "--target", tiny.data / "target",
        "--paired", tiny.data / "paired", "--sensor", "depth", "--weights", tiny.weights, "--image-size", SIDE,
        "--batch", 6, "--device", "cpu", "--precision", "fp32", "--student", ARCH, "--student-weights", "none",
        "--epochs", 6, *sets, "-o", out,
    ]  # fmt: skip


@pytest.fixture(scope="module")
def killed_and_resumed(tiny: Tiny, translated: Run, module_folder: Callable[[str], Path]) -> Run:
    """A run that was killed after the first epochs of the target network, and went on to its end."""
    out = module_folder("student") / "run"
    options = adapt_options(tiny, translated, out)
    process = subprocess.Popen(
        cli_command(*options), env=cli_environment(), stderr=subprocess.PIPE, text=True
    )
    try:
        while process.poll() is None and not list(out.glob("state/tgkt*")):
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
    _, stderr = process.communicate()
    assert process.returncode == -signal.SIGKILL, stderr
    assert Run(out).translated.is_file()
    assert not Run(out).target.is_file()
    resumed = run_cli_within(TRAINING, *options, "--resume")
    assert resumed.code == 0, resumed.stderr
    assert f"the {ARCH} gives" in resumed.stderr
    return Run(out)


def test_a_run_that_was_killed_ends_as_if_it_had_not_been(
    killed_and_resumed: Run, tiny: Tiny, translated: Run, tmp_path: Path
) -> None:
    whole = Run(tmp_path / "run")
    inputs, _, _ = killed_and_resumed.read_config()
    with torch.backends.mkldnn.flags(enabled=True):  # as in the other process: see one_torch_thread()
        adapt(inputs, load_sensor("depth"), whole.path, tiny.config(*STUDENT))
    network, _ = load_classifier(whole.target, "target")
    assert architecture(network) == ARCH
    assert differing_tensors(killed_and_resumed.target, whole.target) == []
    epochs = [line["epoch"] for line in metric_lines(whole.path) if line.get("event") == "epoch"]
    assert epochs == [
        line["epoch"] for line in metric_lines(killed_and_resumed.path) if line.get("event") == "epoch"
    ]


def answered(path: Path, truth: Path, folder: Path, precision: str) -> dict[str, str]:
    """Class of each frame as ``evaluate`` finds it: of a run with torch, of a bundle with ONNX Runtime."""
    file = folder / "predictions.jsonl"
    evaluate(path, truth, models=["target"], precision=precision, device="cpu", predictions=file)
    told = [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]
    return {Path(one["frame"]).name: one["label"] for one in told}


def test_its_bundle_answers_as_the_network_does(killed_and_resumed: Run, tiny: Tiny, tmp_path: Path) -> None:
    out, run = tmp_path / "bundle", killed_and_resumed.path
    exported = run_cli_within(
        TRAINING, "export", run, "-o", out, "--precision", "int8-cpu", "--max-drop", 0.5
    )
    assert exported.code == 0, exported.stderr
    bundle = Bundle.open(out)
    assert set(bundle.precisions) == {"fp32", "int8-cpu"}
    assert bundle.provenance["network"] == ARCH
    truth = tiny.data / "target_labels.csv"
    # In eight bits some frames may get another class than torch's, but the same in `run` as in `evaluate`.
    for precision, asked in (("fp32", run), ("int8-cpu", out)):
        ran = run_cli(
            "run", out, "--camera", tiny.data / "target", "--precision", precision, "--engine", "onnxruntime"
        )
        assert ran.code == 0, ran.stderr
        found = {Path(one["source"]).name: one["label"] for one in ran.records if "label" in one}
        assert len(found) == 12
        assert found == answered(asked, truth, tmp_path, precision)
