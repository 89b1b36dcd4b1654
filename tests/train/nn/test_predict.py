"""Passes over all frames: the same answer as one big batch, and batch-norm statistics by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from tgkt_edge.train.batches import Store, center_views
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.model import SceneClassifier, Translator, normalise
from tgkt_edge.train.nn.predict import (
    checked_answers,
    predict_target,
    reestimate_batch_norm,
    refuse_diverged,
)

CPU = Compute(torch.device("cpu"), "fp32")
SIZE, SIDE, N = 32, 37, 6


@pytest.fixture
def model() -> SceneClassifier:
    torch.manual_seed(0)
    return SceneClassifier(4)


@pytest.fixture(scope="module")
def frames() -> Store:
    return Store(np.random.default_rng(0).integers(0, 65536, (N, SIDE, SIDE), dtype=np.uint16), CPU.device)


def central(frames: Store) -> torch.Tensor:
    return normalise(frames.take(center_views(np.arange(N), SIDE, SIZE), SIZE))


@pytest.mark.parametrize("batch", [1, 4, 32])
@pytest.mark.slow
def test_predictions_are_those_of_one_batch_in_order(
    model: SceneClassifier, frames: Store, batch: int
) -> None:
    features, logits = predict_target(model.train(), frames, SIZE, batch, CPU)
    assert not model.training
    with torch.no_grad():
        expected = model.features(central(frames))
    torch.testing.assert_close(features, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(logits, model.classifier(expected).detach(), rtol=1e-4, atol=1e-4)
    assert not features.requires_grad


@pytest.mark.slow
def test_with_a_translator_frames_go_through_it(model: SceneClassifier, frames: Store) -> None:
    translator = Translator().eval()
    _, logits = predict_target(model, frames, SIZE, N, CPU, translator)
    with torch.no_grad():
        torch.testing.assert_close(logits, model(translator(central(frames))), rtol=1e-4, atol=1e-4)


@pytest.mark.slow
def test_new_statistics_are_the_means_and_variances_of_the_frames(
    model: SceneClassifier, frames: Store
) -> None:
    """One batch, so that "averaged over batches" is plain; checked at the first convolution, which no norm precedes."""
    weights = {name: p.clone() for name, p in model.named_parameters()}
    reestimate_batch_norm(model, frames, SIZE, N, CPU)
    with torch.no_grad():
        first = model.backbone.conv1(central(frames))  # (N, 64, 16, 16)
    norm = model.backbone.bn1
    torch.testing.assert_close(norm.running_mean, first.mean((0, 2, 3)), rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(norm.running_var, first.var((0, 2, 3)), rtol=1e-3, atol=1e-4)
    assert all(torch.equal(p, weights[name]) for name, p in model.named_parameters())
    norms = [m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert all(m.momentum == 0.1 and not m.training for m in norms)


@pytest.mark.slow
def test_statistics_do_not_depend_on_those_before(model: SceneClassifier, frames: Store) -> None:
    reestimate_batch_norm(model, frames, SIZE, 2, CPU)
    once = {name: value.clone() for name, value in model.named_buffers()}
    with torch.no_grad():
        for _, value in model.named_buffers():
            value.fill_(7)
    reestimate_batch_norm(model, frames, SIZE, 2, CPU)
    assert all(torch.equal(value, once[name]) for name, value in model.named_buffers())


@pytest.mark.slow
def test_answers_of_a_checked_network_are_used_again_while_they_are_what_it_would_answer(
    model: SceneClassifier, frames: Store
) -> None:
    assert checked_answers(model, frames, SIZE) is None
    refuse_diverged("source", model, model, frames, SIZE, 3, CPU)
    again = Store(np.random.default_rng(0).integers(0, 65536, (N, SIDE, SIDE), dtype=np.uint16), CPU.device)
    known = checked_answers(model, again, SIZE)
    assert known is not None
    for found, expected in zip(known, predict_target(model, again, SIZE, 3, CPU), strict=True):
        assert torch.equal(found, expected)
    assert checked_answers(model, again, SIZE - 1) is None  # another crop
    other = Store(np.zeros((N, SIDE, SIDE), np.uint16), CPU.device)
    assert checked_answers(model, other, SIZE) is None  # other pixels
    with torch.no_grad():
        model.classifier.bias.add_(1)
    assert checked_answers(model, again, SIZE) is None  # other weights
