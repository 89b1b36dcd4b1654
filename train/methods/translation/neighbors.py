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
"""Frames whose neighbors are looked for at a time, at most."""

COSINES = 1 << 22
"""In memory at a time, of a block's frames with all references."""

STEPS = 60
"""At most, of the iteration; a step of share 0.5 halves what is missing."""

LEAST = 1e-9
"""Probability below which an answer is not told from 0 before it is balanced again."""


def spread_answers(
    answers: Reals, components: Reals, prior: Reals, share: float, neighbors: int, power: float = 1.0
) -> Reals:
    """:meth:`Neighborhood.spread` among the ``neighbors`` nearest of each frame.

    Args:
        answers: (N, K) probabilities. components: (N, C), centered. share: 0 returns the answers as they are.
    """
    if share == 0 or min(neighbors, len(answers) - 1) < 1:
        return answers
    return Neighborhood(components, neighbors).spread(answers, prior, share, power)


class Neighborhood:
    """Which frames are nearest to which, by the cosine of their components; found once for whatever is spread.

    Of up to REFERENCES frames each is compared with each. Of more, each is compared with as many references.

    Args:
        components: (N, C), centered; N at least 2. neighbors: of each frame, fewer where there are no more.
    """

    def __init__(self, components: Reals, neighbors: int) -> None:
        count = len(components)
        neighbors = min(neighbors, count - 1)
        self._rows = np.unique(np.linspace(0, count - 1, min(count, REFERENCES)).round().astype(np.int64))
        self._others = np.setdiff1d(np.arange(count), self._rows, assume_unique=True)
        references = _unit(components[self._rows])
        self._graph = _graph(*nearest(references, references, neighbors, np.arange(len(references))))
        self._near = np.empty((len(self._others), neighbors), np.int32)  # numbers of references
        self._weights = np.empty((len(self._others), neighbors))
        for start in range(0, len(self._others), BLOCK):
            block = slice(start, start + BLOCK)
            near, weights = nearest(_unit(components[self._others[block]]), references, neighbors)
            self._near[block], self._weights[block] = near, weights / weights.sum(1, keepdims=True)

    def spread(self, answers: Reals, prior: Reals, share: float, power: float = 1.0) -> Reals:
        """The solution Q of Q = share * S Q + (1 - share) * answers, to a power, balanced towards the prior.

        S is the graph of the nearest frames: W_ij = exp((cos_ij - 1) / SOFTNESS) where one of i and j is among the
        nearest of the other, S = D^(-1/2) W D^(-1/2). Of more than REFERENCES frames the references are solved so; each
        further frame takes ``share`` of the weighted mean of its nearest references.

        Args:
            answers: (N, K) probabilities. prior: (K,) expected shares of the classes. share: over 0, under 1.
            power: above 1 the answers are as sure again as they were before they were mixed.

        Returns:
            (N, K) probabilities, rows of sum 1, whose mean is the prior.
        """
        solved = _solve(self._graph, answers[self._rows], share)
        mixed = np.empty_like(answers)
        mixed[self._rows] = solved
        for start in range(0, len(self._others), BLOCK):
            block = slice(start, start + BLOCK)
            some = self._others[block]
            beside = np.einsum("nk,nkc->nc", self._weights[block], solved[self._near[block]])
            mixed[some] = (1 - share) * answers[some] + share * beside
        np.log(np.maximum(mixed, LEAST, out=mixed), out=mixed)
        mixed *= power
        logs = balance(mixed, prior)[0]
        return np.exp(logs, out=logs)


def nearest(units: Reals, references: Reals, count: int, own: Ints | None = None) -> tuple[Ints, Reals]:
    """The (N, count) nearest references of each row, and their weights exp((cosine - 1) / SOFTNESS).

    Args:
        units: (N, C) and references: (R, C), rows of length 1. own: (N,) the reference that is the row itself, which is
            no neighbor of its own.
    """
    near = np.empty((len(units), count), np.int64)
    cosines = np.empty((len(units), count))
    at_once = max(1, min(BLOCK, COSINES // len(references)))
    for start in range(0, len(units), at_once):
        block = slice(start, min(start + at_once, len(units)))
        apart = units[block] @ references.T
        np.negative(apart, out=apart)
        if own is not None:
            apart[np.arange(len(apart)), own[block]] = np.inf
        near[block] = np.argpartition(apart, count - 1, axis=1)[:, :count]
        cosines[block] = -np.take_along_axis(apart, near[block], 1)
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
