"""Pseudo-labels: clusters that leave no doubt, and SHOT's procedure written out with numpy and scipy."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.distance import cdist
from torch import Tensor

from tgkt_edge.train.methods.pseudo_labels import pseudo_labels

Metric = Literal["cosine", "euclidean"]


def shot(features: NDArray[np.float64], p: NDArray[np.float64], metric: Metric) -> NDArray[np.int64]:
    """SHOT's pseudo-labels (Liang et al., 2020, section 3.3) with one refinement; no class drops out."""
    f = features
    if metric == "cosine":
        f = np.concatenate([f, np.ones((len(f), 1))], axis=1)
        f = f / np.linalg.norm(f, axis=1, keepdims=True)
    weights = p
    for _ in range(2):
        centroids = weights.T @ f / weights.sum(0)[:, None]
        labels = cdist(f, centroids, metric).argmin(1)
        weights = np.eye(p.shape[1])[labels]
    found: NDArray[np.int64] = labels.astype(np.int64)
    return found


def softmax(logits: NDArray[np.float64]) -> NDArray[np.float64]:
    e: NDArray[np.float64] = np.exp(logits - logits.max(1, keepdims=True))
    p: NDArray[np.float64] = e / e.sum(1, keepdims=True)
    return p


def clusters(seed: int, n: int = 90, classes: int = 3, spread: float = 1.0) -> tuple[Tensor, Tensor, Tensor]:
    """Features around one random direction a class, doubtful softmax outputs, and the classes."""
    rng = np.random.default_rng(seed)
    truth = np.arange(n) % classes
    features = rng.normal(size=(classes, 16))[truth] * 2 + spread * rng.normal(size=(n, 16))
    p = softmax(np.eye(classes)[truth] + rng.normal(size=(n, classes)))
    return torch.from_numpy(features), torch.from_numpy(p), torch.from_numpy(truth)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
def test_clusters_correct_the_classifier(metric: Metric) -> None:
    # Three axes; of the four frames of each, three are classified correctly and one wrongly.
    features = 5 * torch.eye(3).repeat_interleave(4, 0)
    features[::2] *= 1.2
    truth = torch.arange(3).repeat_interleave(4)
    named = truth.clone()
    named[[0, 4, 8]] = torch.tensor([1, 2, 0])
    p = 0.7 * torch.eye(3)[named] + 0.1
    assert not torch.equal(p.argmax(1), truth)
    assert torch.equal(pseudo_labels(features, p, metric), truth)


@pytest.mark.parametrize("metric", ["cosine", "euclidean"])
@pytest.mark.parametrize("seed", range(5))
def test_pseudo_labels_are_shots(seed: int, metric: Metric) -> None:
    features, p, _ = clusters(seed)
    assert set(p.argmax(1).tolist()) == {0, 1, 2}  # nobody drops out
    expected = shot(features.numpy(), p.numpy(), metric)
    assert set(expected.tolist()) == {0, 1, 2}
    found = pseudo_labels(features, p, metric)
    assert found.dtype == torch.int64
    assert found.tolist() == expected.tolist()


def test_the_second_round_matters() -> None:
    """Otherwise the comparison above could not tell one round from two."""

    def one_round(features: Tensor, p: Tensor) -> list[int]:
        f = torch.nn.functional.normalize(torch.cat([features, torch.ones(len(features), 1)], 1), dim=1)
        centroids = torch.nn.functional.normalize(p.T @ f, dim=1)
        return (f @ centroids.T).argmax(1).tolist()

    several = [clusters(seed, spread=3.0)[:2] for seed in range(5)]
    assert any(one_round(f, p) != pseudo_labels(f, p).tolist() for f, p in several)


def test_cosine_ignores_length_and_euclidean_does_not() -> None:
    # Two centroids on one ray from the origin after the 1 is appended would coincide for the cosine; here class 0
    # is short and class 1 long in nearly one direction, and the doubtful frame is short, but points like class 1.
    features = 100 * torch.tensor([[1.0, 0.0], [1.0, 0.02], [9.0, 1.8], [9.0, 1.9], [1.0, 0.2]])
    p = torch.tensor([[0.99, 0.01], [0.99, 0.01], [0.01, 0.99], [0.01, 0.99], [0.5, 0.5]])
    assert pseudo_labels(features, p, "cosine").tolist() == [0, 0, 1, 1, 1]
    assert pseudo_labels(features, p, "euclidean").tolist() == [0, 0, 1, 1, 0]


def test_a_class_that_nobody_was_given_drops_out() -> None:
    features, p, _ = clusters(0)
    # A fourth class is never the first choice; its centroid, the mean of everything, must attract nobody.
    p = torch.cat([0.9 * p, torch.full((len(p), 1), 0.1)], 1)
    p[p.argmax(1) == 3] = torch.tensor([0.4, 0.3, 0.2, 0.1], dtype=p.dtype)
    assert 3 not in pseudo_labels(features, p).tolist()


def test_classes_with_no_more_frames_than_the_threshold_drop_out() -> None:
    features = torch.tensor([[1.0, 0.0]] * 5 + [[0.0, 1.0]] * 5 + [[-1.0, 0.0]] * 2)
    p = torch.eye(3)[[0] * 5 + [1] * 5 + [2] * 2]
    assert pseudo_labels(features, p, threshold=0).tolist() == [0] * 5 + [1] * 5 + [2] * 2
    assert pseudo_labels(features, p, threshold=1).tolist() == [0] * 5 + [1] * 5 + [2] * 2
    dropped = pseudo_labels(features, p, threshold=2).tolist()
    assert dropped[:10] == [0] * 5 + [1] * 5
    assert set(dropped[10:]) <= {0, 1}


def test_if_every_class_would_drop_out_none_does() -> None:
    features, p, truth = clusters(1, n=9, spread=0.1)
    assert pseudo_labels(features, p, threshold=100).tolist() == truth.tolist()


@pytest.mark.parametrize("seed", range(3))
def test_every_frame_is_given_the_nearest_of_the_final_centroids(seed: int) -> None:
    features, p, _ = clusters(seed, spread=2.0)
    labels = pseudo_labels(features, p).numpy()
    f = np.concatenate([features.numpy(), np.ones((len(features), 1))], axis=1)
    f /= np.linalg.norm(f, axis=1, keepdims=True)
    first = cdist(f, p.numpy().T @ f, "cosine").argmin(1)
    final = cdist(f, np.eye(3)[first].T @ f, "cosine")
    np.testing.assert_array_equal(final[np.arange(len(f)), labels], final.min(1))


def test_the_order_of_frames_does_not_matter() -> None:
    features, p, _ = clusters(2, spread=2.0)
    order = torch.from_numpy(np.random.default_rng(0).permutation(len(features)))
    assert torch.equal(pseudo_labels(features[order], p[order]), pseudo_labels(features, p)[order])
