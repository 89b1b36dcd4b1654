"""Which class mean a frame is like, along directions that the frames themselves vary in: a head for few pairs.

Of a translation that was fitted to few pairs, the class means are what is known best: they are K vectors, where a head
that is trained on translated features also learns from directions that nothing was found for. The covariance comes from
the task's own frames, of which there are many and which need no label.
"""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from tgkt_edge.train.methods.translation.fit import TaskFrames

Floats = NDArray[np.float32]
Reals = NDArray[np.float64]

SHRINKAGE = 1.0
"""Of the frames' total variance, which is added to that of every direction: only the largest ones are damped. A fifth,
twice of it, and without end gave the same to two points with 20 to 200 pairs of nyuv2-5; a fiftieth was worse."""

FRAMES = 2000
"""Frames that the covariance is taken of at most, evenly spread over the list."""


def means_of(rows: Floats, labels: NDArray[np.int64], classes: int) -> Reals:
    """(K, D) class means of (n, D) less the mean of those classes that occur; zero for the others."""
    means = np.zeros((classes, rows.shape[1]))
    present = np.unique(labels)
    for k in present:
        means[k] = rows[labels == k].mean(0, dtype=np.float64)
    means[present] -= means[present].mean(0)
    return means


def likeness(task: TaskFrames, means: Reals) -> Reals:
    """(N, K): (x - mean x)' (covariance + strength I)^-1 means', of the frames x and their covariance.

    There is no offset a class: answers are balanced towards a prior.

    Args:
        means: (K, D) in the units of the frames' features.
    """
    total, count = np.zeros(means.shape[1]), len(task)
    some = np.unique(np.linspace(0, count - 1, min(count, FRAMES)).round().astype(np.int64))
    kept, start = [], 0
    for x, _ in task.blocks():
        total += x.sum(0)
        inside = some[(some >= start) & (some < start + len(x))] - start
        kept.append(x[inside].astype(np.float32))
        start += len(x)
    middle = total / count
    known = np.concatenate(kept).astype(np.float64) - middle
    gram = known @ known.T / len(known)
    strength = SHRINKAGE * float(np.trace(gram))
    if strength <= 0:  # frames that are all alike
        return np.zeros((count, len(means)))
    # (S + s I)^-1 m = (m - X' (X X' + s I)^-1 X m) / s, with X of as many rows as there are frames and S = X' X
    gram[np.diag_indices_from(gram)] += strength
    inside_rows = scipy.linalg.solve(gram, known @ means.T / len(known), assume_a="pos", overwrite_a=True)
    weight = (means.T - known.T @ inside_rows) / strength
    return np.concatenate([(x - middle) @ weight for x, _ in task.blocks()])
