"""Labels of a few frames: what an hour with ``tgkt-edge audit`` gives corrects the teacher of all others."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.optimize
from numpy.typing import NDArray

from tgkt_edge.train.methods.translation.prior import log_softmax
from tgkt_edge.train.methods.translation.softmax_regression import one_hot

Reals = NDArray[np.float64]
Ints = NDArray[np.int64]

TRUST = 0.03
"""Of a label against the penalty on the correction: one label moves the teacher little, many a good deal."""


@dataclass(frozen=True)
class Labelled:
    """Numbers of frames, ``rows`` (L,), and the ``classes`` (L,) that a person saw in them."""

    rows: Ints
    classes: Ints

    def __len__(self) -> int:
        return len(self.rows)

    def fixed(self, probabilities: Reals) -> Reals:
        """(N, K) with the labelled rows certain."""
        result = probabilities.copy()
        result[self.rows] = one_hot(self.classes, probabilities.shape[1])
        return result


def corrected(logs: Reals, components: Reals, labelled: Labelled) -> Reals:
    """Log probabilities plus a linear map of the frames' main directions that the labels ask for.

    Minimises TRUST * (sum over labelled frames of the cross-entropy) + (|W|^2 + |c|^2) / 2; answers are
    softmax(logs + E W + c).

    Args:
        logs: (N, K), finite. components: (N, C) of unit spread.

    Returns:
        (N, K) logits.
    """
    x, offset = components[labelled.rows], logs[labelled.rows]
    targets = one_hot(labelled.classes, logs.shape[1])
    shape = (components.shape[1] + 1, logs.shape[1])

    def loss(flat: Reals) -> tuple[float, Reals]:
        table = flat.reshape(shape)
        answers = log_softmax(offset + x @ table[:-1] + table[-1])
        apart = TRUST * (np.exp(answers) - targets)
        value = 0.5 * float(np.square(table).sum()) - TRUST * float((targets * answers).sum())
        return value, (np.vstack([x.T @ apart, apart.sum(0)]) + table).ravel()

    found = scipy.optimize.minimize(loss, np.zeros(shape).ravel(), jac=True, method="L-BFGS-B").x.reshape(
        shape
    )
    result: Reals = logs + components @ found[:-1] + found[-1]
    return result
