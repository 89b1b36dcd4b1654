"""A source model read as pooled features and one linear map, whatever its head is."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn.utils import parametrize

from tgkt_edge.train.batches import Store
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods.translation.features import extract
from tgkt_edge.train.methods.translation.head import with_head
from tgkt_edge.train.methods.translation.moments import Moments
from tgkt_edge.train.methods.translation.softmax_regression import Linear
from tgkt_edge.train.methods.translation.source_features import (
    MEAN,
    SPREAD,
    SourceFeatures,
    needs_spread,
    source_features,
)
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.model import SceneClassifier, normalise

CPU = Compute(torch.device("cpu"), "fp32")


@pytest.fixture
def images() -> torch.Tensor:
    return torch.rand(5, 3, 32, 32, generator=torch.Generator().manual_seed(3))


def answers_of(model: SceneClassifier, images: torch.Tensor) -> NDArray[np.float64]:
    with torch.no_grad():
        answers: NDArray[np.float64] = model(normalise(images)).softmax(1).double().numpy()
    return answers


def read(found: SourceFeatures, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    return found.probabilities(found.standard(rows).astype(np.float64))


def test_bottleneck_batch_norm_and_classifier_are_one_map(
    untrained: SceneClassifier, images: torch.Tensor
) -> None:
    assert parametrize.is_parametrized(untrained.classifier)
    rng = np.random.default_rng(0)
    beside = {MEAN: torch.from_numpy(rng.normal(size=2048)), SPREAD: torch.from_numpy(rng.random(2048) + 0.5)}
    found = source_features(untrained, beside)
    assert found.own
    assert not found.unit
    with torch.no_grad():
        pooled = untrained.backbone(normalise(images)).numpy()
    np.testing.assert_allclose(read(found, pooled), answers_of(untrained, images), atol=1e-5)


@pytest.mark.slow
def test_a_linear_head_is_read_as_it_is(untrained: SceneClassifier, images: torch.Tensor) -> None:
    rng = np.random.default_rng(0)
    moments = Moments()
    moments.add(rng.normal(size=(9, 2048)))
    head = Linear(rng.normal(size=(2048, 3)), rng.normal(size=3))
    model = with_head(untrained.backbone, (4,), moments, head)
    found = source_features(model, {})
    assert found.unit
    with torch.no_grad():
        pooled = untrained.backbone(normalise(images)).numpy()
    rows = pooled / np.linalg.norm(pooled, axis=1, keepdims=True)
    np.testing.assert_allclose(read(found, rows), answers_of(model, images), atol=1e-4)


@pytest.mark.slow
def test_without_its_own_spread_that_of_the_paired_rgb_is_taken(
    untrained: SceneClassifier, tmp_path: Path
) -> None:
    assert needs_spread(untrained, {})
    rgb = np.random.default_rng(1).integers(0, 256, (6, 37, 37, 3), dtype=np.uint8)
    store = Store(rgb, torch.device("cpu"))
    kind = source_features(untrained, {MEAN: torch.zeros(2048), SPREAD: torch.ones(2048)}).kind
    features = extract("rgb", untrained.backbone, store, kind, 32, 4, CPU, RunLog(None), tmp_path)
    found = source_features(untrained, {}, features)
    assert not found.own
    rows = features.rows(np.arange(6)).reshape(-1, 2048)
    np.testing.assert_allclose(found.mean, rows.mean(0, dtype=np.float64), rtol=1e-5, atol=1e-9)
    # What is read off the standardised features is still the source model's own answer.
    with torch.no_grad():
        logits = untrained.classifier(untrained.bottleneck(torch.from_numpy(rows)))
    np.testing.assert_allclose(read(found, rows), logits.softmax(1).numpy(), atol=1e-4)
    with pytest.raises(ValueError, match="features of the paired RGB are expected"):
        source_features(untrained, {})
