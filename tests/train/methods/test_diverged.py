"""Training that diverged without a loss that shows it: never saved as a finished stage, never measured."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from tests.support.training import Tiny
from tgkt_edge.errors import TgktEdgeError
from tgkt_edge.evaluation.evaluate import evaluate
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.adapt import adapt
from tgkt_edge.train.audit.audit import score
from tgkt_edge.train.nn.checkpoint import load_classifier, save_checkpoint
from tgkt_edge.train.run_folder.folder import Run, RunInputs

DEPTH = load_sensor("depth")


@pytest.fixture
def four_frames(tiny: Tiny, tmp_path: Path) -> Path:
    """One batch: every loss that is taken comes before the only update."""
    (tmp_path / "four").mkdir()
    for file in sorted((tiny.data / "target").iterdir())[:4]:
        shutil.copy(file, tmp_path / "four")
    return tmp_path / "four"


def test_an_update_that_no_loss_has_seen_is_not_saved(
    four_frames: Path, finished: Run, tiny: Tiny, tmp_path: Path
) -> None:
    config = tiny.config("method=shot", "shot.epochs=1", "shot.lr=1e30", "shot.head_lr=1e30")
    inputs = RunInputs(str(four_frames), None, source_model=str(finished.source))
    with pytest.raises(
        TgktEdgeError, match=r"^shot: .* infinite or not a number: it diverged\. Lower the"
    ) as e:
        adapt(inputs, DEPTH, tmp_path / "run", config)
    assert e.value.exit_code == 1
    run = Run(tmp_path / "run")
    assert not run.target.exists()
    assert not (run.path / "report.json").exists()
    assert '"loss"' in (run.path / "metrics.jsonl").read_text()  # and it was finite


@pytest.fixture
def diverged(finished: Run, tmp_path: Path) -> Run:
    """A finished run whose target network answers in training mode only."""
    run = Run(shutil.copytree(finished.path, tmp_path / "run"))
    network, header = load_classifier(run.target)
    network.bottleneck.norm.running_var.fill_(torch.nan)
    save_checkpoint(run.target, network, header)
    return run


def test_answers_that_are_no_numbers_have_no_accuracy(diverged: Run, tiny: Tiny) -> None:
    labels = tiny.data / "target_labels.csv"
    with pytest.raises(
        TgktEdgeError, match="run, target: its answers to 12 of 12 images are infinite or not"
    ):
        evaluate(diverged.path, labels, device="cpu")
    with pytest.raises(TgktEdgeError, match="run, target: its answers to 12 of 12"):
        score(diverged.path, labels, "cpu")
    # The other models of the run can still be asked.
    assert evaluate(diverged.path, labels, models=["source-only"], device="cpu")["frames"] == 12


def test_nor_are_they_reported(diverged: Run, tiny: Tiny) -> None:
    # The held-out pairs are asked first.
    (diverged.path / "report.json").unlink()
    with pytest.raises(TgktEdgeError, match=r"^target: its answers to 3 of 3 images"):
        adapt(tiny.inputs, DEPTH, diverged.path, tiny.config(), resume=True)
    assert not (diverged.path / "report.json").exists()
