"""Worlds in which the truth is known, for tests of the verdict."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.train.report.comparison import Evidence

CLASSES = ("a", "b", "c", "d")


def softmax_of(named: NDArray[np.int64], k: int = 4) -> NDArray[np.float32]:
    return (np.eye(k)[named] * 0.8 + 0.2 / k).astype(np.float32)


def wrong_at(truth: NDArray[np.int64], share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    return np.where(rng.random(len(truth)) < share, (truth + rng.integers(1, 4, len(truth))) % 4, truth)


def make_world() -> Evidence:
    """400 frames of four classes in a feature space that shows them; source-only errs on 30 %, the target on 30 %."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 400)
    centres = np.eye(4, 16) * 2
    features = (centres[truth] + rng.normal(scale=0.7, size=(400, 16))).astype(np.float32)
    source, target = (softmax_of(wrong_at(truth, 0.3, rng)) for _ in range(2))
    held = rng.integers(0, 4, 40)
    unsure = softmax_of(wrong_at(held, 0.4, rng))  # of both networks: pairs take no side
    return Evidence(
        CLASSES, features, source, target, None,
        softmax_of(held), unsure, unsure, [4] * 10, 0.02,
    )  # fmt: skip
