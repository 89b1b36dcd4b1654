"""Self-training: a linear head learns the balanced answers from the frames' own main directions, again and again."""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from tgkt_edge.train.methods.translation.labelled import Labelled
from tgkt_edge.train.methods.translation.prior import balance, stretches
from tgkt_edge.train.methods.translation.softmax_regression import softmax_regression

Reals = NDArray[np.float64]


def principal_components(gram: Reals, count: int) -> tuple[Reals, Reals]:
    """Largest eigenvalues (C,), descending, and their unit eigenvectors (n, C) of a symmetric (n, n) matrix.

    Fewer than ``count`` where the others are zero up to rounding. Signs are fixed: the largest element is positive.
    """
    n = len(gram)
    values, vectors = scipy.linalg.eigh(gram, subset_by_index=(max(0, n - count), n - 1))
    values, vectors = values[::-1], vectors[:, ::-1]
    kept = values > 1e-10 * max(float(values[0]), 0.0)
    values, vectors = values[kept], vectors[:, kept]
    signs = np.sign(vectors[np.abs(vectors).argmax(0), np.arange(vectors.shape[1])])
    return values, vectors * signs


def self_train(
    components: Reals,
    first: Reals,
    prior: Reals,
    *,
    rounds: int,
    c: float,
    keep: float,
    labelled: Labelled | None = None,
) -> Reals:
    """Balance the first answers, then ``rounds`` times: fit a head to the answers, add the first, balance.

    Args:
        components: (N, C) main directions of the frames' features, unit spread.
        first: (N, K) logits of the first teacher.
        prior: (K,) expected shares of the classes.
        c: of the softmax regression. keep: weight of the first teacher's balanced log probabilities.
        labelled: frames that keep the class that a person gave.

    Returns:
        (N, K) log probabilities.
    """
    start, _ = balance(first, prior)
    answers, head = start, None
    used = prior > 0
    floor = np.where(np.isfinite(start), start, 0.0)  # classes of share 0 are ruled out by the balance again
    for _ in range(rounds):
        labels = np.exp(answers)
        if labelled is not None:
            labels = labelled.fixed(labels)
        rows = [(components[part], labels[part]) for part in stretches(len(labels))]
        head = softmax_regression(lambda rows=rows: rows, c, head)  # type: ignore[misc]
        logits = head(components) + keep * floor
        answers, _ = balance(np.where(used, logits, 0.0), prior)
    return answers
