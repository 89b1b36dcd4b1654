"""Parts of a run in memory."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray


class InstantEngine:
    """Two classes, the first with a probability of 0.75, without any delay."""

    name = "instant"
    lanes = 1

    def infer(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        answer = np.array([[0.75, 0.25]], np.float32)
        return np.log(answer), answer

    def close(self) -> None:
        pass
