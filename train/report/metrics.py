"""Label-free measures of what networks answer, and the bootstrap that gives them intervals."""

from __future__ import annotations

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Reals = NDArray[np.float64]
Ints = NDArray[np.int64]

DRAWS = 1000
"""Bootstrap draws."""


def neighbours(features: Floats, k: int) -> Ints:
    """(N, k) indices of the nearest other rows of (N, D) by cosine, after the mean row is taken away."""
    f = features.astype(np.float64)
    f = f - f.mean(0)
    f /= np.maximum(np.linalg.norm(f, axis=1, keepdims=True), 1e-12)
    found = np.empty((len(f), k), np.int64)
    for start in range(0, len(f), 1024):  # not N x N at once
        likeness = f[start : start + 1024] @ f.T
        rows = np.arange(len(likeness))
        likeness[rows, start + rows] = -np.inf
        found[start : start + 1024] = np.argsort(-likeness, axis=1, kind="stable")[:, :k]
    return found


def neighbour_agreement(near: Ints, named: Ints, classes: int, counts: Reals | None = None) -> Reals:
    """Share of neighbours with the frame's own class, corrected for chance: 1 all, 0 as if drawn at random.

    Good classes respect the neighbourhoods of a feature space that nobody fitted to them; wrong ones tear them. The
    correction, (share - sum p_k^2) / (1 - sum p_k^2), takes away what few or uneven classes give for nothing; one class
    for everything is 0.

    Args:
        near: (N, k) as from :func:`neighbours`. named: (N,) classes.
        counts: (R, N) how often each frame is drawn; None: each once. A frame and its neighbour count by the product
            of their draws: chance has its hand in both.

    Returns:
        (R,), or (1,).
    """
    n, k = near.shape
    if counts is None:
        counts = np.ones((1, n))
    start, end = np.repeat(np.arange(n), k), near.ravel()
    shape = (n, n)
    edges = scipy.sparse.csr_array((np.ones(n * k), (start, end)), shape)
    same = scipy.sparse.csr_array(((named[start] == named[end]).astype(np.float64), (start, end)), shape)
    share = ((counts @ same) * counts).sum(1) / np.maximum(((counts @ edges) * counts).sum(1), 1e-9)  # (R,)
    p = counts @ np.eye(classes)[named] / counts.sum(1, keepdims=True)  # (R, K)
    chance = np.square(p).sum(1)
    result: Reals = np.where(chance < 1 - 1e-9, (share - chance) / np.maximum(1 - chance, 1e-9), 0.0)
    return result


def overlap(p: Floats, q: Floats) -> Reals:
    """Sum over classes of min(p, q), 0 to 1, for each row of (M, K)."""
    total: Reals = np.minimum(p, q).sum(1, dtype=np.float64)
    return total


def divergence(p: Floats, q: Floats) -> Reals:
    """KL(p || q) of each row of (M, K), nats."""
    a, b = (np.maximum(x.astype(np.float64), 1e-12) for x in (p, q))
    total: Reals = (a * np.log(a / b)).sum(1)
    return total


def effective_classes(named: Ints, classes: int) -> float:
    """Exponential of the entropy of the class counts: K if all are used alike, 1 if one is."""
    p = np.bincount(named, minlength=classes) / len(named)
    p = p[p > 0]
    return float(np.exp(-(p * np.log(p)).sum()))


def agreement_beyond_chance(a: Ints, b: Ints, classes: int, counts: Reals | None = None) -> Reals:
    """Cohen's kappa (1960) of two lists of classes (M,): 1 if alike, 0 as by chance; 0 if both name one class only.

    Args:
        counts: (R, M), how often each row counts; None: once, R = 1.

    Returns:
        (R,)
    """
    weights = np.ones((1, len(a))) if counts is None else counts
    weights = weights / weights.sum(1, keepdims=True)
    p, q = (weights @ np.eye(classes)[named] for named in (a, b))  # (R, K)
    chance = (p * q).sum(1)
    beyond = weights @ (a == b) - chance
    kappa: Reals = np.where(chance < 1 - 1e-9, beyond / np.maximum(1 - chance, 1e-9), 0.0)
    return kappa


def lost_classes(source: Ints, target: Ints, classes: int) -> list[int]:
    """Classes that source-only gives half a fair share (N / K) of frames or more, and the target network none."""
    before, after = (np.bincount(named, minlength=classes) for named in (source, target))
    return [k for k in range(classes) if before[k] >= max(1.0, 0.5 * len(source) / classes) and not after[k]]


# Bootstrap


def blocks_of(count: int) -> Ints:
    """(count,) number of each frame's block: about count^(1/3) neighbours in the list, which may be a recording."""
    length = max(1, round(count ** (1 / 3)))
    block: Ints = np.arange(count) // length
    return block


def block_counts(block: Ints, seed: int) -> Reals:
    """(DRAWS, N): how often each row is drawn if whole blocks are drawn with replacement."""
    rng = np.random.default_rng([seed, *b"bootstrap"])
    blocks = int(block[-1]) + 1
    drawn = rng.multinomial(blocks, np.full(blocks, 1 / blocks), size=DRAWS)  # (DRAWS, blocks)
    counts: Reals = drawn[:, block].astype(np.float64)
    return counts
