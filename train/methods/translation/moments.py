"""Mean and spread of each column of rows that come in blocks (Chan, Golub and LeVeque, 1983), in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]

SMALLEST = 1e-6
"""A column whose spread is less than this share of the typical column's carries nothing and is not blown up."""


class Moments:
    """``mean`` (D,) and ``std`` (D,) of all rows added so far; the spread is that of the population, as numpy's."""

    def __init__(self) -> None:
        self.rows = 0
        self.mean: Reals = np.zeros(0)
        self._squares: Reals = np.zeros(0)

    def add(self, x: NDArray[np.floating]) -> None:
        """Take (n, D) rows in."""
        wide = x.astype(np.float64)
        mean, rows = wide.mean(0), len(wide)
        squares = np.square(wide - mean).sum(0)
        if not self.rows:
            self.rows, self.mean, self._squares = rows, mean, squares
            return
        total = self.rows + rows
        apart = mean - self.mean
        self.mean = self.mean + apart * (rows / total)
        self._squares = self._squares + squares + np.square(apart) * (self.rows * rows / total)
        self.rows = total

    @property
    def std(self) -> Reals:
        """(D,), 0 for a column that never changed."""
        result: Reals = np.sqrt(self._squares / self.rows)
        return result

    @property
    def scale(self) -> Reals:
        """(D,) what to divide a column by: its spread, or infinity where it has next to none, so that 0 is left."""
        std = self.std
        typical = float(np.median(std[std > 0])) if (std > 0).any() else 0.0
        result: Reals = np.where(std > SMALLEST * typical, std, np.inf)
        return result
