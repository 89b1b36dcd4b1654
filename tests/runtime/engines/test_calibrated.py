"""An engine whose probabilities are softened: labels and logits stay the network's own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.evaluation.temperature import soften
from tgkt_edge.runtime.engines.calibrated import CalibratedEngine


class Fixed:
    name = "fixed"
    lanes = 1
    closed = False

    def __init__(self, logits: NDArray[np.float32]) -> None:
        self.logits = logits

    def infer(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        return self.logits[: len(batch)], soften(self.logits[: len(batch)], 1.0)

    def close(self) -> None:
        self.closed = True


def test_an_engine_keeps_its_labels_and_logits() -> None:
    logits = np.random.default_rng(0).normal(0, 4, (100, 5)).astype(np.float32)
    inner = Fixed(logits)
    engine = CalibratedEngine(inner, 2.0)
    found, probabilities = engine.infer(np.zeros((100, 1, 8, 8), np.float32))
    assert engine.name == "fixed"
    assert np.array_equal(found, logits)
    assert probabilities.dtype == np.float32
    assert np.array_equal(probabilities, soften(logits, 2.0))
    assert np.array_equal(probabilities.argmax(1), logits.argmax(1))
    assert (probabilities.max(1) <= soften(logits, 1.0).max(1)).all()
    engine.close()
    assert inner.closed
