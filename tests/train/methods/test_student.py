"""The target network after a translation in feature space: its labels, MixUp, frozen norms and moving average."""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel

from tgkt_edge.config import AdaptConfig, StudentConfig
from tgkt_edge.train.batches import Store
from tgkt_edge.train.logger import RunLog, StageLog
from tgkt_edge.train.methods.student import mixed_up, renewed, train_student
from tgkt_edge.train.methods.translation.prior import balance
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.model import Classifier, SceneClassifier, frozen
from tgkt_edge.train.resume_state import StageState

Reals = NDArray[np.float64]
CPU = Compute(torch.device("cpu"), "fp32")


def test_mixed_frames_and_labels_go_together() -> None:
    x, y = torch.arange(4.0).view(4, 1, 1, 1), torch.arange(4.0).view(4, 1)
    a, b = mixed_up(x, y, np.random.default_rng(0), 0.5)
    torch.testing.assert_close(a.view(4, 1), b)
    rng = np.random.default_rng(0)
    share, other = float(rng.beta(0.5, 0.5)), rng.permutation(4)
    torch.testing.assert_close(b.view(4), share * y.view(4) + (1 - share) * y.view(4)[other])


def test_renewed_labels_by_hand() -> None:
    answers = torch.log(torch.tensor([[0.6, 0.4], [0.2, 0.8]]))
    first, prior = np.array([[0.9, 0.1], [0.5, 0.5]]), np.array([0.5, 0.5])
    logs = np.log([[0.6 * 0.9**0.5, 0.4 * 0.1**0.5], [0.2 * 0.5**0.5, 0.8 * 0.5**0.5]])
    np.testing.assert_allclose(
        renewed(answers, first, prior, 0.5), np.exp(balance(logs, prior)[0]), rtol=1e-6
    )
    # A class that the first teacher rules out does not make it infinite.
    assert np.isfinite(renewed(answers, np.array([[1.0, 0.0], [1.0, 0.0]]), prior, 0.5)).all()


@pytest.fixture(scope="module")
def start(untrained: Classifier) -> Classifier:
    model = SceneClassifier(3, (3, 4))
    model.backbone.load_state_dict(untrained.backbone.state_dict())
    return frozen(model)


class Stopped(Exception):
    """Stands for a power cut."""


def learnt(
    start: Classifier, target: Store, state: StageState | None = None, **options: object
) -> Classifier:
    """From a head of zeros: every frame is of class 1, and then, once labels are renewed, of the prior."""
    settings = {"epochs": 2, "renew_after": 9, "ema": 0.0, "lr": 1e-4, **options}
    student = dataclasses.replace(StudentConfig(), **settings)  # type: ignore[arg-type]
    config = dataclasses.replace(AdaptConfig(), image_size=32, batch=2, student=student)
    labels: Reals = np.tile([0.1, 0.8, 0.1], (4, 1))
    uniform: Reals = np.full((4, 3), 1 / 3)
    return train_student(
        start, target, labels, uniform, uniform[0], config, CPU, RunLog(None), state or StageState(None, 0)
    )


def moved(one: Classifier, other: Classifier, kind: str) -> bool:
    before, after = one.state_dict(), other.state_dict()
    return any(kind in name and not torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.slow
def test_it_learns_the_labels_with_norms_frozen_or_not(
    start: Classifier, four: tuple[Store, Store, Store]
) -> None:
    target = four[0]
    student = learnt(start, target)
    assert not student.training
    assert moved(start, student, "classifier.weight")
    assert moved(start, student, "backbone.conv1.weight")
    assert not moved(start, student, "running_mean")
    assert not moved(start, student, "standard.")
    assert moved(start, learnt(start, target, norms="batch"), "running_mean")
    assert float(start.classifier.weight.abs().max()) == 0  # the start is left alone


@pytest.mark.slow
def test_an_average_lags_behind_the_last_weights(start: Classifier, four: tuple[Store, Store, Store]) -> None:
    last, average = learnt(start, four[0]), learnt(start, four[0], ema=1.0)
    far, near = (float(model.classifier.bias.detach().abs().max()) for model in (last, average))
    assert 0 < near < far


@pytest.mark.slow
def test_the_result_is_the_average_of_the_weights_after_each_step(
    start: Classifier, four: tuple[Store, Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two steps an epoch, an age of half an epoch: what was learnt fades by 1/e a step, batch-norm statistics too."""
    seen: list[dict[str, Tensor]] = []
    update = AveragedModel.update_parameters

    def spy(average: AveragedModel, student: nn.Module) -> None:
        seen.append({key: value.detach().clone() for key, value in student.state_dict().items()})
        update(average, student)

    monkeypatch.setattr(AveragedModel, "update_parameters", spy)
    result = learnt(start, four[0], ema=0.5, norms="batch")

    assert len(seen) == 4
    faded = math.exp(-1)
    weights = (faded**3, faded**2 * (1 - faded), faded * (1 - faded), 1 - faded)
    averaged = {key: value for key, value in result.state_dict().items() if value.is_floating_point()}
    assert len(averaged) > 250  # all of ResNet-50
    for key, value in averaged.items():
        expected = sum(weight * state[key] for weight, state in zip(weights, seen, strict=True))
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-6)
    assert not result.training
    # What is trained is the same with and without an average.
    last = learnt(start, four[0], norms="batch").state_dict()
    assert all(torch.equal(value, seen[-1][key]) for key, value in last.items())


@pytest.mark.slow
def test_an_interrupted_average_goes_on_bit_for_bit(
    start: Classifier,
    four: tuple[Store, Store, Store],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    file = tmp_path / "tgkt.safetensors"
    settings = {"epochs": 3, "renew_after": 1, "ema": 2.0}
    whole = learnt(start, four[0], None, **settings).state_dict()
    usual = StageLog.step

    def step(self: StageLog, terms: dict[str, Tensor]) -> None:
        if self._step == 3:  # in the second epoch, whose labels are renewed
            raise Stopped
        usual(self, terms)

    monkeypatch.setattr(StageLog, "step", step)
    with pytest.raises(Stopped):
        learnt(start, four[0], StageState(file, 0), **settings)
    monkeypatch.setattr(StageLog, "step", usual)
    assert file.is_file()
    resumed = learnt(start, four[0], StageState(file, 0), **settings).state_dict()
    assert [key for key, value in whole.items() if not torch.equal(value, resumed[key])] == []


@pytest.mark.slow
def test_labels_are_renewed_when_it_is_time(
    start: Classifier, four: tuple[Store, Store, Store], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[tuple[int, ...]] = []

    def counted(answers: Tensor, first: Reals, prior: Reals, keep: float) -> Reals:
        asked.append(tuple(answers.shape))
        return renewed(answers, first, prior, keep)

    monkeypatch.setattr("tgkt_edge.train.methods.student.renewed", counted)
    learnt(start, four[0], epochs=4, renew_after=2)
    assert asked == [(4, 3), (4, 3)]  # before the third and the fourth epoch


@pytest.mark.slow
def test_mixup_changes_what_is_learnt(start: Classifier, four: tuple[Store, Store, Store]) -> None:
    assert moved(learnt(start, four[0]), learnt(start, four[0], mixup=0.4), "classifier.weight")


def test_every_norm_is_of_the_kind_that_is_frozen(start: Classifier) -> None:
    norms = [module for module in start.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    assert {type(module) for module in norms} == {nn.BatchNorm2d}


@pytest.mark.slow
def test_a_network_that_left_its_labels_is_not_kept(
    start: SceneClassifier, four: tuple[Store, Store, Store], capfd: pytest.CaptureFixture[str]
) -> None:
    """A rate that throws the weights about: the translation's network is what the run ends with."""
    kept = learnt(start, four[0], lr=1e-6, head_lr=10.0)
    assert not any(moved(start, kept, kind) for kind in ("weight", "bias", "running"))
    told = " ".join(capfd.readouterr().err.split())
    assert "further from its teacher's labels" in told
    assert "`set_=student.lr=1e-07` `set_=student.head_lr=1`" in told
