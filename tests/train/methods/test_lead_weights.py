"""Further weights of TGKT's terms, each off by default: hand-checked, and watched in the loop."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.support.training import Stores, tgkt_options
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods.losses import distillation, self_training
from tgkt_edge.train.methods.pseudo_labels import class_balance
from tgkt_edge.train.methods.tgkt import train_tgkt
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.model import SceneClassifier, Translator
from tgkt_edge.train.resume_state import StageState

CPU = Compute(torch.device("cpu"), "fp32")


def test_class_balance_by_hand() -> None:
    """Three frames of one class and one of another: 1/3, 1/3, 1, 1/3, whose mean is 1/2."""
    labels = torch.tensor([2, 2, 0, 2])
    torch.testing.assert_close(class_balance(labels, 1.0), torch.tensor([2 / 3, 2 / 3, 2.0, 2 / 3]))
    torch.testing.assert_close(class_balance(labels, 0.0), torch.ones(4))
    half = class_balance(labels, 0.5)
    assert (half[2] / half[0]).item() == pytest.approx(math.sqrt(3))
    assert half.mean().item() == pytest.approx(1)


def test_weighted_self_training_by_hand() -> None:
    """Two classes, logits 0 and log 3: probabilities 1/4 and 3/4."""
    logits, labels = torch.tensor([[0.0, math.log(3)]] * 2), torch.tensor([0, 1])
    found = self_training(logits, labels, torch.tensor([1.5, 0.5]))
    assert found.item() == pytest.approx((1.5 * math.log(4) + 0.5 * math.log(4 / 3)) / 2, rel=1e-6)
    assert torch.equal(self_training(logits, labels, torch.ones(2)), self_training(logits, labels))


def test_distillation_on_pairs_is_told_weighed_and_reaches_the_weights(
    untrained: SceneClassifier, translator: Translator, four: Stores, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    asked: list[tuple[Tensor, Tensor]] = []

    def spy(student: Tensor, teacher: Tensor, *rest: Any) -> Tensor:
        asked.append((student, teacher))
        return distillation(student, teacher, *rest)

    monkeypatch.setattr("tgkt_edge.train.methods.tgkt.distillation", spy)
    with RunLog(tmp_path) as log:
        config = tgkt_options("tgkt.kd_paired=0.5")
        student = train_tgkt(untrained, translator, *four, config, CPU, log, StageState(None, 60.0))
    logged = map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
    lines = [line for line in logged if "step" in line]
    assert len(lines) == 3
    for number, line in enumerate(lines):
        total = line["kd"] + 0.2 * line["f"] + line["self"] + 0.5 * line["kd_paired"]
        assert line["loss"] == pytest.approx(total, rel=1e-5)
        messages, right = asked[2 * number + 1]
        assert line["kd_paired"] == pytest.approx(distillation(messages, right).item())
        assert messages.requires_grad
        assert not right.requires_grad  # the source model's answers to the RGB of the pairs
        assert line["kd_paired"] > 1e-3
    monkeypatch.undo()
    with RunLog(None) as log:
        plain = train_tgkt(untrained, translator, *four, tgkt_options(), CPU, log, StageState(None, 60.0))
    assert not torch.equal(student.backbone.conv1.weight, plain.backbone.conv1.weight)


def test_the_weight_of_a_frame_in_distillation_is_the_teachers_confidence(
    untrained: SceneClassifier, translator: Translator, four: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[tuple[Tensor, Tensor | None]] = []

    def spy(student: Tensor, teacher: Tensor, order: Any, weight: Tensor | None = None) -> Tensor:
        given.append((teacher, weight))
        return distillation(student, teacher, order, weight)

    monkeypatch.setattr("tgkt_edge.train.methods.tgkt.distillation", spy)
    with RunLog(None) as log:
        config = tgkt_options("tgkt.kd_frames=confident")
        train_tgkt(untrained, translator, *four, config, CPU, log, StageState(None, 60.0))
    assert len(given) == 3
    for teacher, weight in given:
        torch.testing.assert_close(weight, teacher.softmax(1).max(1).values)


def test_balanced_pseudo_labels_weigh_each_frame_of_the_batch(
    untrained: SceneClassifier, translator: Translator, four: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch is a permutation of the four frames; each keeps its own weight."""
    three_and_one = torch.tensor([2, 2, 0, 2])
    given: list[tuple[Tensor, Tensor | None]] = []

    def spy(logits: Tensor, labels: Tensor, weight: Tensor | None = None) -> Tensor:
        given.append((labels, weight))
        return self_training(logits, labels, weight)

    monkeypatch.setattr("tgkt_edge.train.methods.tgkt.self_training", spy)
    monkeypatch.setattr("tgkt_edge.train.methods.tgkt.pseudo_labels", lambda *_: three_and_one)
    with RunLog(None) as log:
        config = tgkt_options("tgkt.pseudo_balance=1")
        train_tgkt(untrained, translator, *four, config, CPU, log, StageState(None, 60.0))
    assert len(given) == 3
    for labels, weight in given:
        torch.testing.assert_close(weight, torch.where(labels == 0, 2.0, 2 / 3))
    assert len({tuple(labels.tolist()) for labels, _ in given}) > 1  # the order differs between epochs
