"""Softmax regression with an L2 penalty, on class labels or soft ones, from rows that come in blocks."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

from tgkt_edge.train.methods.translation.prior import log_softmax

Reals = NDArray[np.float64]
Rows = tuple[NDArray[np.floating], NDArray[np.floating]]
"""x (n, D), and for each row the (n, K) labels: probabilities, or those times the row's weight."""

Blocks = Callable[[], Iterable[Rows]]
"""Gives all rows again at every call."""

ITERATIONS = 200
"""Of L-BFGS at most; it ends sooner where the gradient is small."""

TOLERANCE = 3e-5
"""Largest element of the gradient of the mean loss at which it ends."""


@dataclass(frozen=True)
class Linear:
    """x -> x weight + bias: ``weight`` (D, K), ``bias`` (K,)."""

    weight: Reals
    bias: Reals

    def __call__(self, x: NDArray[np.floating]) -> Reals:
        """(N, D) to (N, K)."""
        result: Reals = np.asarray(x, np.float64) @ self.weight + self.bias
        return result


def softmax_regression(
    blocks: Blocks, c: float, start: Linear | None = None, iterations: int = ITERATIONS
) -> Linear:
    """Minimise |weight|^2 / 2 + c * (sum over rows of the cross-entropy with their labels); no penalty on the bias.

    scikit-learn's ``LogisticRegression(C=c)`` for labels that are one-hot. Deterministic: L-BFGS from zero.

    Args:
        start: where to begin; the result is the same within the tolerance. iterations: of L-BFGS at most.
    """
    total, columns, classes = 0.0, 0, 0
    for x, labels in blocks():
        total += float(labels.sum(dtype=np.float64))
        columns, classes = x.shape[1], labels.shape[1]
    if not total:
        raise ValueError("no rows: at least one with a weight is expected")

    def loss(flat: Reals) -> tuple[float, Reals]:
        table = flat.reshape(columns + 1, classes)
        weight, bias = table[:-1], table[-1]
        value, gradient = 0.5 * float((weight**2).sum()) / (c * total), np.zeros_like(table)
        gradient[:-1] = weight / (c * total)
        for x, labels in blocks():
            y = labels.astype(np.float64)
            # In the precision of the rows: those of thousands of columns come in float32, at half the time.
            logs = log_softmax((x @ weight.astype(x.dtype)).astype(np.float64) + bias)
            value -= float((y * logs).sum()) / total
            apart = (np.exp(logs) * y.sum(1, keepdims=True) - y) / total
            gradient[:-1] += x.T @ apart.astype(x.dtype)
            gradient[-1] += apart.sum(0)
        return value, gradient.ravel()

    begin = np.zeros((columns + 1, classes)) if start is None else np.vstack([start.weight, start.bias])
    found = scipy.optimize.minimize(
        loss, begin.ravel(), jac=True, method="L-BFGS-B",
        options={"maxiter": iterations, "gtol": TOLERANCE, "ftol": 1e-12, "maxfun": 2 * iterations},
    )  # fmt: skip
    table = found.x.reshape(columns + 1, classes)
    return Linear(table[:-1], table[-1])


def one_hot(labels: NDArray[np.int64], classes: int) -> Reals:
    """(N, K) rows that are 1 at the label."""
    result: Reals = np.eye(classes)[labels]
    return result


def balancing_weights(labels: NDArray[np.int64], classes: int) -> Reals:
    """(N,) weights with which every class that occurs counts alike and the mean is 1: scikit-learn's "balanced"."""
    counts = np.bincount(labels, minlength=classes)
    result: Reals = len(labels) / (np.count_nonzero(counts) * counts[labels])
    return result
