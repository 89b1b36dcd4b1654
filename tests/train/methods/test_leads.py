"""What TGKT can do beyond the paper, each off by default: what it computes, and that it reaches the weights."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from tests.support.training import Stores, differing, step_lines, tgkt_options
from tgkt_edge.config import AdaptConfig
from tgkt_edge.train.logger import RunLog, StageLog
from tgkt_edge.train.methods.losses import information_maximisation
from tgkt_edge.train.methods.pseudo_labels import label_shares, pseudo_labels
from tgkt_edge.train.methods.tgkt import moving_average, train_tgkt
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.model import Classifier, Translator
from tgkt_edge.train.nn.predict import predict_target
from tgkt_edge.train.resume_state import StageState

CPU = Compute(torch.device("cpu"), "fp32")


class Stopped(Exception):
    """Stands for a power cut."""


@pytest.fixture(scope="module")
def plain(untrained: Classifier, translator: Translator, four: Stores) -> Classifier:
    """The student of the paper's configuration."""
    with RunLog(None) as log:
        return train_tgkt(untrained, translator, *four, tgkt_options(), CPU, log, StageState(None, 60.0))


# Information maximisation against a prior


def test_information_maximisation_against_a_prior_by_hand() -> None:
    # p = (3/4, 1/4) and (1/4, 3/4): entropy of each H(1/4), mean (1/2, 1/2).
    logits = torch.tensor([[math.log(3.0), 0.0], [0.0, math.log(3.0)]])
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    divergence = 0.5 * math.log(0.5 / 0.8) + 0.5 * math.log(
        0.5 / 0.2
    )  # KL((1/2, 1/2) || (4/5, 1/5)) = 0.2231
    found = information_maximisation(logits, torch.tensor([0.8, 0.2]))
    assert found.item() == pytest.approx(entropy + divergence, abs=1e-4)
    # A mean that is the prior costs nothing more than the doubt of each frame.
    assert information_maximisation(logits, torch.tensor([0.5, 0.5])).item() == pytest.approx(
        entropy, abs=1e-4
    )


def test_equal_shares_are_the_papers_term_but_for_a_constant() -> None:
    logits = torch.randn(8, 5, generator=torch.Generator().manual_seed(0)).requires_grad_()
    usual, against = (information_maximisation(logits, prior) for prior in (None, torch.full((5,), 0.2)))
    assert (against - usual).item() == pytest.approx(math.log(5), abs=1e-3)
    (one,), (other,) = (torch.autograd.grad(loss, logits) for loss in (usual, against))
    torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-3)


def test_a_collapse_onto_the_frequent_class_is_still_the_worst_of_sure_answers() -> None:
    """Ten sure frames, nine of class 0 as the prior says; all ten of class 0; all ten of a class that is not there."""
    prior = torch.tensor([0.9, 0.1, 0.0])
    right, collapsed, absent = (
        information_maximisation(50.0 * torch.eye(3)[labels], prior).item()
        for labels in ([0] * 9 + [1], [0] * 10, [2] * 10)
    )
    assert right == pytest.approx(0, abs=1e-3)
    assert collapsed == pytest.approx(math.log(1 / 0.9), abs=1e-3)
    assert absent == pytest.approx(math.log(1e5), rel=1e-3)  # not infinite: a prior may be wrong


def test_label_shares_by_hand() -> None:
    """Three frames of class 2, one of class 0, none of class 1; one more of each: 2, 1 and 4 of 7."""
    torch.testing.assert_close(label_shares(torch.tensor([2, 2, 0, 2]), 3), torch.tensor([2.0, 1, 4]) / 7)


@pytest.mark.parametrize("prior", ["teacher", "start", "pseudo"])
def test_the_prior_is_what_its_name_says(
    prior: str, untrained: Classifier, translator: Translator, four: Stores, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    given: list[Tensor] = []

    def spy(logits: Tensor, shares: Tensor | None = None) -> Tensor:
        assert shares is not None
        given.append(shares)
        return information_maximisation(logits, shares)

    monkeypatch.setattr("tgkt_edge.train.methods.tgkt.information_maximisation", spy)
    with RunLog(tmp_path) as log:
        config = tgkt_options("tgkt.im=1", f"tgkt.im_prior={prior}")
        train_tgkt(untrained, translator, *four, config, CPU, log, StageState(None, 60.0))

    through = translator if prior == "teacher" else None
    features, logits = predict_target(untrained, four[0], 32, 4, CPU, through)
    if prior == "pseudo":
        counts = [
            line["pseudo_label_counts"]
            for line in map(json.loads, (tmp_path / "metrics.jsonl").read_text().splitlines())
            if "pseudo_label_counts" in line
        ]
        assert len(counts) == 3
        expected = [(torch.tensor(epoch) + 1) / 7 for epoch in counts]  # 4 frames and 3 classes
        torch.testing.assert_close(expected[0], label_shares(pseudo_labels(features, logits.softmax(1)), 3))
    else:
        expected = [logits.softmax(1).mean(0)] * 3
    torch.testing.assert_close(given, expected)
    for line in step_lines(tmp_path):
        total = line["kd"] + 0.2 * line["f"] + line["self"] + line["im"]
        assert line["loss"] == pytest.approx(total, rel=1e-5)


# The moving average of the weights


def test_the_moving_average_by_hand() -> None:
    """Decay 1/2 (an age of 1 / log 2 steps): 4, then (4 + 8) / 2 = 6, then (6 + 0) / 2 = 3; buffers, too."""
    norm = nn.BatchNorm1d(1)
    average = moving_average(norm, 1 / math.log(2))
    logged: list[float] = []
    for value in (4.0, 8.0, 0.0):
        nn.init.constant_(norm.weight, value)
        assert norm.running_mean is not None
        norm.running_mean.fill_(10 * value)
        average.update_parameters(norm)
        state = average.module.state_dict()
        logged += [state["weight"].item(), state["running_mean"].item()]
    assert logged == pytest.approx([4, 40, 6, 60, 3, 30])
    assert norm.weight.item() == 0  # what is trained is left alone


def test_the_result_is_the_average_of_the_weights_after_each_step(
    untrained: Classifier, translator: Translator, four: Stores, plain: Classifier,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """One step an epoch and an age of one epoch: what was learnt fades by 1/e a step, batch-norm statistics too."""
    seen: list[dict[str, Tensor]] = []
    update = AveragedModel.update_parameters

    def spy(average: AveragedModel, student: nn.Module) -> None:
        seen.append({key: value.detach().clone() for key, value in student.state_dict().items()})
        update(average, student)

    def train(age: float) -> Classifier:
        with RunLog(None) as log:
            config = tgkt_options(f"tgkt.ema={age}")
            return train_tgkt(untrained, translator, *four, config, CPU, log, StageState(None, 60.0))

    monkeypatch.setattr(AveragedModel, "update_parameters", spy)
    result = train(1.0)

    assert len(seen) == 3
    faded = math.exp(-1)
    learnt = {key: value for key, value in result.state_dict().items() if value.is_floating_point()}
    assert len(learnt) > 250  # all of ResNet-50
    for key, value in learnt.items():
        first, second, third = (state[key] for state in seen)
        expected = faded**2 * first + faded * (1 - faded) * second + (1 - faded) * third
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-6)
    assert not result.training
    # What is trained is the same as ever, and so is the result where the average reaches back no step.
    assert all(torch.equal(value, seen[-1][key]) for key, value in plain.state_dict().items())
    moved = differing(result.state_dict(), plain.state_dict())
    assert {"backbone.conv1.weight", "backbone.bn1.running_mean", "backbone.bn1.weight"} <= set(moved), moved[
        :9
    ]
    short = differing(train(0.01).state_dict(), plain.state_dict())
    assert [key for key in short if "num_batches" not in key] == []


def test_an_interrupted_average_goes_on_bit_for_bit(
    untrained: Classifier, translator: Translator, four: Stores, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    config = tgkt_options("tgkt.ema=2", "tgkt.im=1", "tgkt.im_prior=pseudo", "tgkt.pseudo_from=mean")
    file = tmp_path / "tgkt.safetensors"

    def run(state: StageState) -> Classifier:
        with RunLog(None) as log:
            return train_tgkt(untrained, translator, *four, config, CPU, log, state)

    whole = run(StageState(None, 0))
    usual = StageLog.step

    def step(self: StageLog, terms: dict[str, Tensor]) -> None:
        if self._step == 2:  # the third
            raise Stopped
        usual(self, terms)

    monkeypatch.setattr(StageLog, "step", step)
    with pytest.raises(Stopped):
        run(StageState(file, 0))
    monkeypatch.setattr(StageLog, "step", usual)
    assert file.is_file()
    assert differing(run(StageState(file, 0)).state_dict(), whole.state_dict()) == []


# Pseudo-labels from what student and teacher say


def test_pseudo_labels_can_begin_with_the_mean_of_student_and_teacher(
    untrained: Classifier, translator: Translator, four: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Tensor] = []

    def spy(features: Tensor, probabilities: Tensor, *rest: Any) -> Tensor:
        given.append(probabilities)
        return pseudo_labels(features, probabilities, *rest)

    monkeypatch.setattr("tgkt_edge.train.methods.tgkt.pseudo_labels", spy)
    for name in ("student", "mean"):
        with RunLog(None) as log:
            config = tgkt_options(f"tgkt.pseudo_from={name}", "tgkt.epochs=1")
            train_tgkt(untrained, translator, *four, config, CPU, log, StageState(None, 60.0))
    student, teacher = (
        predict_target(untrained, four[0], 32, 4, CPU, through)[1].softmax(1)
        for through in (None, translator)
    )
    assert not torch.allclose(student, teacher, atol=1e-3)
    torch.testing.assert_close(given, [student, (student + teacher) / 2])


def test_the_other_leads_are_off_by_default() -> None:
    """So that each can be measured alone; a default moves when there is evidence."""
    off = {
        "bns": 0.0, "ema": 0.0, "pseudo_from": "student", "kd_paired": 0.0, "pseudo_balance": 0.0,
        "kd_frames": "agreeing",
    }  # fmt: skip
    cfg = dataclasses.asdict(AdaptConfig().tgkt)
    assert {key: cfg[key] for key in off} == off
