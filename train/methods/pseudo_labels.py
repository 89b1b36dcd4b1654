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


def label_notes(labels: Tensor, previous: Tensor | None, classes: int) -> dict[str, object]:
    """What metrics.jsonl notes of an epoch's pseudo-labels.

    Args:
        labels, previous: (N,) class indices of this epoch and of the one before; None in the first.

    Returns:
        ``pseudo_label_counts``: frames of each class. ``pseudo_labels_changed``: share that changed, 0 to 1; or None.
    """
    changed = None if previous is None else (labels != previous.to(labels.device)).float().mean().item()
    return {
        "pseudo_label_counts": torch.bincount(labels, minlength=classes).tolist(),
        "pseudo_labels_changed": changed,
    }


def _nearest(f: Tensor, weights: Tensor, kept: Tensor, distance: str) -> Tensor:
    """Index of the nearest of the ``kept`` centroids; if none would be kept, all are."""
    kept = kept if kept.any() else torch.ones_like(kept)
    centroids = weights.T @ f / (weights.sum(0)[:, None] + 1e-8)  # (K, D)
    if distance == "cosine":
        cost = 1 - f @ F.normalize(centroids, dim=1).T
    else:
        cost = torch.cdist(f, centroids)
    return cost.masked_fill(~kept, torch.inf).argmin(1)
