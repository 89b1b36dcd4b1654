"""How far two models' answers about the same scenes go together."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]

STILL = 1e-10
"""Answers whose variance is less than this share of their mean square do not vary, up to rounding."""


def correlation(one: Reals, other: Reals, weights: Reals | None = None) -> Reals:
    """Mean over classes of Pearson's correlation of two models' answers about M pairs.

    A class whose answers do not vary in either has none and is left out; 0 if that is so of all.

    Args:
        one, other: (M, K) probabilities.
        weights: (R, M) how often each pair counts; None: once, R = 1.

    Returns:
        (R,)
    """
    one, other = _scaled(one), _scaled(other)
    w = np.ones((1, len(one))) if weights is None else weights
    w = w / w.sum(1, keepdims=True)
    mean_a, mean_b = w @ one, w @ other  # (R, K)
    square_a, square_b = w @ one**2, w @ other**2
    var_a, var_b = square_a - mean_a**2, square_b - mean_b**2
    known = (var_a > STILL * square_a) & (var_b > STILL * square_b)
    both = w @ (one * other) - mean_a * mean_b
    each = np.where(known, both / np.sqrt(np.where(known, var_a * var_b, 1)), 0.0)
    result: Reals = each.sum(1) / np.maximum(known.sum(1), 1)
    return result


def _scaled(answers: Reals) -> Reals:
    """Each column times the power of two that brings its largest value to 0.5 to 1: the correlation stays, bit for bit,
    and the products of small probabilities do not underflow."""
    result: Reals = np.ldexp(answers, -np.frexp(answers.max(0))[1])
    return result
