"""Ridge regression from rows that come in blocks, so that memory does not grow with their number.

With X (n, D) and Y (n, M), W = (X'X + strength I)^-1 X'Y minimises |XW - Y|^2 + strength |W|^2. Where there are fewer
rows than columns the same W is X'(XX' + strength I)^-1 Y, a smaller system.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import scipy.linalg
from numpy.typing import NDArray

Reals = NDArray[np.float64]
Block = tuple[NDArray[np.floating], NDArray[np.floating]]
"""Rows of X (n, D) and of Y (n, M)."""


class NormalEquations:
    """X'X (D, D) and X'Y (D, M) of the blocks that were added, in float64. ``rows``: how many rows that were."""

    def __init__(self, columns: int, outputs: int) -> None:
        self.gram = np.zeros((columns, columns))
        self.cross = np.zeros((columns, outputs))
        self.rows = 0

    def add(self, x: NDArray[np.floating], y: NDArray[np.floating]) -> None:
        """Take (n, D) and (n, M) in."""
        wide = x.astype(np.float64)
        self.gram += wide.T @ wide
        self.cross += wide.T @ y.astype(np.float64)
        self.rows += len(x)

    def without(self, other: NormalEquations) -> NormalEquations:
        """These rows except those of ``other``, which are among them."""
        rest = NormalEquations(*self.cross.shape)
        rest.gram, rest.cross = self.gram - other.gram, self.cross - other.cross
        rest.rows = self.rows - other.rows
        return rest

    def solve(self, strength: float) -> Reals:
        """W (D, M). ``strength``: more than 0."""
        lifted = self.gram.copy()
        lifted[np.diag_indices_from(lifted)] += strength
        result: Reals = scipy.linalg.solve(lifted, self.cross, assume_a="pos", overwrite_a=True)
        return result


def normal_equations(blocks: Iterable[Block]) -> NormalEquations:
    """Of all blocks; at least one."""
    total: NormalEquations | None = None
    for x, y in blocks:
        if total is None:
            total = NormalEquations(x.shape[1], y.shape[1])
        total.add(x, y)
    if total is None:
        raise ValueError("no rows: at least one block is expected")
    return total


def ridge(blocks: Iterable[Block], strength: float) -> Reals:
    """W (D, M) by the normal equations."""
    return normal_equations(blocks).solve(strength)


def dual_weights(gram: Reals, y: Reals, strength: float) -> Reals:
    """A (n, M) with W = X'A: answers to rows Z are (ZX')A.

    Args:
        gram: XX' (n, n).
    """
    lifted = gram.copy()
    lifted[np.diag_indices_from(lifted)] += strength
    result: Reals = scipy.linalg.solve(lifted, y.astype(np.float64), assume_a="pos", overwrite_a=True)
    return result
