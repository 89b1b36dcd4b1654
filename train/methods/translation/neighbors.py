"""Frames that look alike get like answers: each answer is mixed with those of its nearest frames (label spreading).

A teacher errs on single frames of a place whose other frames it answers correctly, and a label that a person gave holds
for the frames beside it, too. After Zhou et al., Learning with local and global consistency (NeurIPS 2003).
"""

from __future__ import annotations

import numpy as np
import scipy.sparse
from numpy.typing import NDArray

from tgkt_edge.train.methods.translation.prior import balance

Reals = NDArray[np.float64]
Ints = NDArray[np.int64]

SOFTNESS = 0.2
"""Difference of cosines at which a neighbor counts 1 / e."""

REFERENCES = 20_000
"""Frames, evenly spread over the list, among which neighbors are looked for: the time stays linear in the frames."""

BLOCK = 1024
"""Frames whose cosines with all references are in memory at a time."""

STEPS = 60
"""At most, of the iteration; a step of share 0.5 halves what is missing."""

LEAST = 1e-9
"""Probability below which an answer is not told from 0 before it is balanced again."""


def spread_answers(
    answers: Reals, components: Reals, prior: Reals, share: float, neighbors: int, power: float = 1.0
) -> Reals:
    """The solution Q of Q = share * S Q + (1 - share) * answers, to a power, balanced towards the prior.

    S is the graph of the nearest frames by the cosine of their components: W_ij = exp((cos_ij - 1) / SOFTNESS) where
    one of i and j is among the ``neighbors`` nearest of the other, S = D^(-1/2) W D^(-1/2). Of more than REFERENCES
    frames the references are solved so; each further frame takes ``share`` of the weighted mean of its nearest
    references.

    Args:
        answers: (N, K) probabilities. components: (N, C), centered. prior: (K,) expected shares of the classes.
        share: 0 to under 1; 0 returns the answers as they are. power: above 1 the answers are as sure again as they
            were before they were mixed.

    Returns:
        (N, K) probabilities, rows of sum 1, whose mean is the prior.
    """
    count = len(answers)
    neighbors = min(neighbors, count - 1)
    if share == 0 or neighbors < 1:
        return answers
    rows = np.unique(np.linspace(0, count - 1, min(count, REFERENCES)).round().astype(np.int64))
    units = _unit(components)
    near, weights = nearest(units[rows], units[rows], neighbors, np.arange(len(rows)))
    solved = _solve(_graph(near, weights), answers[rows], share)
    mixed = np.empty_like(answers)
    mixed[rows] = solved
    others = np.setdiff1d(np.arange(count), rows, assume_unique=True)
    if len(others):
        near, weights = nearest(units[others], units[rows], neighbors)
        weights /= weights.sum(1, keepdims=True)
        mixed[others] = (1 - share) * answers[others] + share * np.einsum("nk,nkc->nc", weights, solved[near])
    result: Reals = np.exp(balance(power * np.log(np.maximum(mixed, LEAST)), prior)[0])
    return result


def nearest(units: Reals, references: Reals, count: int, own: Ints | None = None) -> tuple[Ints, Reals]:
    """The (N, count) nearest references of each row, and their weights exp((cosine - 1) / SOFTNESS).

    Args:
        units: (N, C) and references: (R, C), rows of length 1. own: (N,) the reference that is the row itself, which is
            no neighbor of its own.
    """
    near = np.empty((len(units), count), np.int64)
    cosines = np.empty((len(units), count))
    for start in range(0, len(units), BLOCK):
        block = slice(start, min(start + BLOCK, len(units)))
        alike = units[block] @ references.T
        if own is not None:
            alike[np.arange(len(alike)), own[block]] = -np.inf
        near[block] = np.argpartition(-alike, count - 1, axis=1)[:, :count]
        cosines[block] = np.take_along_axis(alike, near[block], 1)
    weights: Reals = np.exp((cosines - 1) / SOFTNESS)
    return near, weights


def _unit(components: Reals) -> Reals:
    lengths = np.linalg.norm(components, axis=1, keepdims=True)
    result: Reals = components / np.maximum(lengths, np.finfo(float).tiny)
    return result


def _graph(near: Ints, weights: Reals) -> scipy.sparse.csr_array:
    """S, symmetric, (R, R)."""
    count, neighbors = near.shape
    starts = np.arange(0, count * neighbors + 1, neighbors)
    one_way = scipy.sparse.csr_array((weights.ravel(), near.ravel(), starts), shape=(count, count))
    both = one_way.maximum(one_way.T).tocsr()
    scale = scipy.sparse.diags_array(1 / np.sqrt(both.sum(1)))
    return (scale @ both @ scale).tocsr()


def _solve(graph: scipy.sparse.csr_array, answers: Reals, share: float) -> Reals:
    """Q by iteration: the largest eigenvalue of the graph is 1, so that each step leaves ``share`` of the error."""
    found = answers
    for _ in range(STEPS):
        after = share * (graph @ found) + (1 - share) * answers
        change = float(np.abs(after - found).max())
        found = after
        if change < 1e-12:
            break
    return found
