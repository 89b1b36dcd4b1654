"""Choice among candidates by agreement with their average, by hand."""

from __future__ import annotations

import numpy as np
import pytest

from tgkt_edge.train.report.ensv import chosen, ensemble_agreement


def test_agreement_with_the_average_by_hand() -> None:
    # Averages: frame 1 (0.6, 0.4), frame 2 (0.4, 0.6), frame 3 (0.5, 0.5), a tie: the first class.
    candidates = {
        "sure": np.array([[0.9, 0.1], [0.1, 0.9], [0.4, 0.6]], np.float32),
        "wavering": np.array([[0.3, 0.7], [0.7, 0.3], [0.6, 0.4]], np.float32),
    }
    found = ensemble_agreement(candidates)
    assert found == {"sure": pytest.approx(2 / 3), "wavering": pytest.approx(1 / 3)}
    assert chosen(found) == "sure"


def test_the_first_of_equals_is_chosen() -> None:
    p = np.eye(3, dtype=np.float32)
    found = ensemble_agreement({"a": p, "b": p})
    assert found == {"a": 1.0, "b": 1.0}
    assert chosen(found) == "a"


def test_the_better_of_independent_candidates_is_chosen() -> None:
    """On 400 frames with errors of their own, the candidate with the fewest agrees most with the average."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 5, 400)
    candidates = {}
    for name, accuracy in (("poor", 0.5), ("fair", 0.65), ("good", 0.8)):
        named = np.where(rng.random(400) < accuracy, truth, rng.integers(0, 5, 400))
        candidates[name] = np.eye(5, dtype=np.float32)[named] * 0.8 + 0.04
    found = ensemble_agreement(candidates)
    assert chosen(found) == "good"
    assert found["poor"] < found["fair"] < found["good"]
