"""TGKT beyond the paper: L_IM against a prior, and L_kd only where the teacher gives the pseudo-label."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from tests.support.training import Stores, differing, step_lines, tgkt_options
from tgkt_edge.train.batches import batches, epoch_rng
from tgkt_edge.train.logger import RunLog, StageLog
from tgkt_edge.train.methods.losses import distillation, information_maximisation, self_training
from tgkt_edge.train.methods.pseudo_labels import label_shares, pseudo_labels
from tgkt_edge.train.methods.tgkt import train_tgkt
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.model import Classifier, Translator
from tgkt_edge.train.nn.predict import predict_target
from tgkt_edge.train.resume_state import StageState

CPU = Compute(torch.device("cpu"), "fp32")


class Stopped(Exception):
    """Stands for a power cut."""


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
@pytest.mark.slow
def test_the_prior_is_what_its_name_says(
    prior: str, untrained: Classifier, translator: Translator, four: Stores, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    given: list[Tensor] = []

    def spy(logits: Tensor, shares: Tensor | None, *whole_batch: Any) -> Tensor:
        assert shares is not None
        given.append(shares)
        return information_maximisation(logits, shares, *whole_batch)

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


# Distillation from frames that the pseudo-labels agree on


@pytest.mark.slow
def test_the_teacher_is_followed_only_where_it_gives_the_pseudo_label(
    untrained: Classifier, translator: Translator, four: Stores, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The batch is a permutation of the four frames; each keeps its own pseudo-label."""
    teacher = predict_target(untrained, four[0], 32, 4, CPU, translator)[1].argmax(1)
    labels = torch.stack([teacher[0], (teacher[1] + 1) % 3, teacher[2], (teacher[3] + 2) % 3])
    weights: list[tuple[Tensor, Tensor | None]] = []
    given: list[Tensor] = []

    def spy(student: Tensor, teacher: Tensor, order: Any, weight: Tensor | None = None) -> Tensor:
        weights.append((student, weight))
        return distillation(student, teacher, order, weight)

    def spy_labels(logits: Tensor, labels: Tensor) -> Tensor:
        given.append(labels)
        return self_training(logits, labels)

    monkeypatch.setattr("tgkt_edge.train.methods.tgkt.distillation", spy)
    monkeypatch.setattr("tgkt_edge.train.methods.tgkt.self_training", spy_labels)
    monkeypatch.setattr("tgkt_edge.train.methods.tgkt.pseudo_labels", lambda *_: labels)
    for frames in ("agreeing", "all"):
        with RunLog(None) as log:
            config = tgkt_options(f"tgkt.kd_frames={frames}")
            train_tgkt(untrained, translator, *four, config, CPU, log, StageState(None, 60.0))
    orders = [
        np.concatenate(batches(epoch_rng(tgkt_options().seed, "tgkt", epoch), 4, 4)).tolist()
        for epoch in range(3)
    ]
    assert len({tuple(order) for order in orders}) > 1
    for order, (_, weight), batch in zip(orders, weights[:3], given[:3], strict=True):
        assert torch.equal(batch, labels[order])
        assert weight is not None
        assert weight.tolist() == [float(row in (0, 2)) for row in order]
    assert [weight for _, weight in weights[3:]] == [None] * 3


@pytest.mark.slow
def test_an_interrupted_stage_goes_on_bit_for_bit(
    untrained: Classifier, translator: Translator, four: Stores, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    config = tgkt_options("tgkt.im=1", "tgkt.im_prior=start")
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
