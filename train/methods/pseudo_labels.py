"""Self-supervised pseudo-labels by nearest class centroid (paper, appendix E; SHOT)."""

from __future__ import annotations

from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor


def pseudo_labels(
    features: Tensor,
    probabilities: Tensor,
    distance: Literal["cosine", "euclidean"] = "cosine",
    threshold: int = 0,
) -> Tensor:
    """Equations (11) to (14): centroids weighted by softmax, nearest centroid, then once more with hard labels.

    Args:
        features: (N, 256) F_t of all target frames. A 1 is appended and rows are L2-normalised for "cosine".
        probabilities: (N, K) softmax outputs for the same frames.
        distance: between a feature and a centroid.
        threshold: classes that the network's own argmax gives to this many frames or fewer drop out; 0 drops the
            classes that nobody was given, whose centroid would mean nothing.

    Returns:
        (N,) int64 class indices.
    """
    f, p = features.float(), probabilities.float()
    if distance == "cosine":
        f = F.normalize(torch.cat([f, f.new_ones(len(f), 1)], 1), dim=1)
    named = torch.bincount(p.argmax(1), minlength=p.shape[1]) > threshold
    labels = _nearest(f, p, named, distance)
    hard = F.one_hot(labels, p.shape[1]).float()
    return _nearest(f, hard, hard.sum(0) > threshold, distance)


def label_shares(labels: Tensor, classes: int) -> Tensor:
    """(K,) share of each class among ``labels`` (N,), one frame added to each so that none is ruled out (Laplace)."""
    counts = torch.bincount(labels, minlength=classes).float() + 1
    return counts / counts.sum()


def class_balance(labels: Tensor, strength: float) -> Tensor:
    """Factor of each frame in L_self so that large classes do not drown small ones; the mean over all frames is 1.

    Args:
        labels: (N,) pseudo-labels. strength: frames of a class of n weigh n^-strength; 0: all alike, 1: each class in
            sum as much as any other.

    Returns:
        (N,) float32.
    """
    weight = torch.bincount(labels).float()[labels] ** -strength
    return weight / weight.mean()


def _nearest(f: Tensor, weights: Tensor, kept: Tensor, distance: str) -> Tensor:
    """Index of the nearest of the ``kept`` centroids; if none would be kept, all are."""
    kept = kept if kept.any() else torch.ones_like(kept)
    centroids = weights.T @ f / (weights.sum(0)[:, None] + 1e-8)  # (K, D)
    if distance == "cosine":
        cost = 1 - f @ F.normalize(centroids, dim=1).T
    else:
        cost = torch.cdist(f, centroids)
    return cost.masked_fill(~kept, torch.inf).argmin(1)
