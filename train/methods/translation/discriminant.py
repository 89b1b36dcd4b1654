"""Linear discriminant analysis with a shrunken covariance: a head from class means, for more features than images."""

from __future__ import annotations

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

from tgkt_edge.train.methods.translation.softmax_regression import Linear, balancing_weights

Floats = NDArray[np.float32]
Reals = NDArray[np.float64]
Ints = NDArray[np.int64]

SHRINKAGE = 0.3 / 128
"""Of the total variance, which is added to that of every direction."""

SOFTENING = 1e-3
"""Added to the spread of a feature, which may be zero."""


def discriminant(x: Floats, labels: Ints, classes: int) -> Linear:
    """(D, K) and (K,) on features of mean 0 and spread 1; every class that occurs counts alike.

    Features are standardised over the classes; then weight = (within + strength I)^-1 M with M (D, K) the class means,
    and bias = -M.weight / 2, as for normal distributions of one covariance.

    Args:
        x: (n, D). labels: (n,). Classes that do not occur get a weight and a bias of zero.
    """
    wide = x.astype(np.float64)
    present = np.unique(labels)
    means = np.zeros((classes, wide.shape[1]))
    for k in present:
        means[k] = wide[labels == k].mean(0)
    weights = balancing_weights(labels, classes) / len(labels)
    apart = (wide - means[labels]) * np.sqrt(weights)[:, None]
    means[present] -= means[present].mean(0)
    spread = np.sqrt(np.square(apart).sum(0) + np.square(means[present]).mean(0)) + SOFTENING
    means, apart = means / spread, apart / spread
    within = apart.T @ apart
    within[np.diag_indices_from(within)] += SHRINKAGE * wide.shape[1]
    weight: Reals = scipy.linalg.solve(within, means.T, assume_a="pos", overwrite_a=True)
    return Linear(weight, -0.5 * (means.T * weight).sum(0))
