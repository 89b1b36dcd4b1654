"""Temperature scaling: values by hand, a temperature that is known, and an engine whose labels never change."""

from __future__ import annotations

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from tgkt_edge.evaluation.temperature import (
    MIN_LABELLED,
    cross_fitted,
    describe,
    ece,
    fit_temperature,
    helps,
    measure,
    nll,
    soften,
)


def test_softmax_by_hand() -> None:
    logits = np.log(np.array([[1, 4, 5]], np.float32))
    assert soften(logits, 1.0)[0] == pytest.approx([0.1, 0.4, 0.5])
    # A temperature of 1/2 squares the odds: 1, 16, 25.
    assert soften(logits, 0.5)[0] == pytest.approx([1 / 42, 16 / 42, 25 / 42])
    assert soften(np.array([[1000, -1000]], np.float32), 1.0).tolist() == [[1, 0]]  # no overflow
    assert np.isnan(soften(np.array([[np.inf, 0]], np.float32), 2.0)).any()  # and no number made of none


def test_errors_by_hand() -> None:
    labels = np.array([0, 0, 1, 1])
    probabilities = np.array([[0.9, 0.1], [0.9, 0.1], [0.9, 0.1], [0.4, 0.6]], np.float32)
    # Three frames of confidence 0.9, two of them right; one of 0.6, right.
    assert ece(probabilities, labels) == pytest.approx((abs(2 - 2.7) + abs(1 - 0.6)) / 4)
    expected = -(math.log(0.9) + math.log(0.9) + math.log(0.1) + math.log(0.6)) / 4
    assert nll(np.log(probabilities), labels) == pytest.approx(expected, rel=1e-6)
    # Gaps within a bin cancel, as Guo et al. define it; (low, high]: 1.0 belongs to the last bin.
    assert ece(np.array([[1.0, 0.0], [1.0, 0.0]], np.float32), np.array([0, 1])) == 0.5


def drawn(count: int, temperature: float, seed: int = 0) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
    """Logits, and labels drawn from their softmax at a temperature: the one that must be found."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0, 4, (count, 5)).astype(np.float32)
    cumulative = soften(logits, temperature).cumsum(1)
    return logits, (rng.random((count, 1)) > cumulative).sum(1).clip(0, 4).astype(np.int64)


@pytest.mark.parametrize("temperature", [0.4, 1.0, 2.5])
def test_a_known_temperature_is_found_and_is_the_minimum(temperature: float) -> None:
    logits, labels = drawn(20_000, temperature)
    found = fit_temperature(logits, labels)
    assert found == pytest.approx(temperature, rel=0.05)
    least = nll(logits, labels, found)
    assert all(least <= nll(logits, labels, found * factor) for factor in (0.9, 0.99, 1.01, 1.1))


def test_frames_are_softened_by_a_temperature_that_others_fitted() -> None:
    logits, labels = drawn(50, 3.0)
    found = cross_fitted(logits, labels)
    assert found.sum(1) == pytest.approx(np.ones(50), abs=1e-5)
    assert np.array_equal(found.argmax(1), logits.argmax(1))
    # One frame with another label changes what is fitted on it, but not its own probabilities.
    changed = labels.copy()
    changed[7] = (changed[7] + 1) % 5
    again = cross_fitted(logits, changed)
    assert np.array_equal(again[7], found[7])
    assert not np.array_equal(again, found)


@pytest.mark.slow
def test_it_helps_an_overconfident_network_and_is_not_claimed_to_help_a_good_one() -> None:
    found = measure(*drawn(500, 3.0))
    assert found["temperature"] == pytest.approx(3, rel=0.25)
    assert found["ece"]["after"] < found["ece"]["before"] / 3
    assert helps(found)
    assert "calibration error" in describe(found)
    assert not helps({"nll": {"before": 1.0, "after": 1.0}})
    helped = [helps(measure(*drawn(60, 1.0, seed))) for seed in range(20)]
    assert sum(helped) < 10
    with pytest.raises(ValueError, match=f"at least {MIN_LABELLED}"):
        measure(*drawn(MIN_LABELLED - 1, 1.0))
