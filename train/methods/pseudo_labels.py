"""Self-supervised pseudo-labels by nearest class centroid (paper, appendix E; SHOT)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 8192
"""Frames whose normalized features are in memory at once."""


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
    classes = probabilities.shape[1]

    def rows(start: int) -> Tensor:
        f = features[start : start + BLOCK].float()
        return F.normalize(torch.cat([f, f.new_ones(len(f), 1)], 1), dim=1) if distance == "cosine" else f

    named = torch.bincount(probabilities.argmax(1), minlength=classes) > threshold
    labels = _nearest(rows, len(features), lambda at: probabilities[at].float(), named, distance)
    counts = torch.bincount(labels, minlength=classes)
    return _nearest(
        rows, len(features), lambda at: F.one_hot(labels[at], classes).float(), counts > threshold, distance
    )


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


def _nearest(
    rows: Callable[[int], Tensor], count: int, weights: Callable[[slice], Tensor], kept: Tensor, distance: str
) -> Tensor:
    """Index of the nearest of the ``kept`` centroids; if none would be kept, all are.

    Args:
        rows: the (BLOCK, D) features from one on. weights: (n, K) of a stretch of the ``count`` frames.
    """
    kept = kept if kept.any() else torch.ones_like(kept)
    sums: list[Tensor] = []  # (K, D), and (K,) of the weights
    for start in range(0, count, BLOCK):
        w = weights(slice(start, start + BLOCK))
        found = [w.T @ rows(start), w.sum(0)]
        sums = [a + b for a, b in zip(sums, found, strict=True)] if sums else found
    centroids = sums[0] / (sums[1][:, None] + 1e-8)  # (K, D)
    # One tensor: small results that stay, between large blocks that come and go, leave holes in memory.
    nearest = torch.empty(count, dtype=torch.int64, device=centroids.device)
    for start in range(0, count, BLOCK):
        f = rows(start)
        cost = 1 - f @ F.normalize(centroids, dim=1).T if distance == "cosine" else torch.cdist(f, centroids)
        nearest[start : start + BLOCK] = cost.masked_fill(~kept, torch.inf).argmin(1)
    return nearest
