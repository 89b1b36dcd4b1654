"""The verdict's measures: hand-checked values, and the bootstrap."""

from __future__ import annotations

import numpy as np
import pytest

from tgkt_edge.train.report.metrics import (
    agreement_beyond_chance,
    block_counts,
    blocks_of,
    divergence,
    effective_classes,
    lost_classes,
    neighbour_agreement,
    neighbours,
    overlap,
)


def test_nearest_by_angle_around_the_mean() -> None:
    # Mean (0, 0). Seen from there: 0 degrees, 10 degrees, 180 and 190; lengths do not matter.
    angles = np.deg2rad([0, 10, 180, 190])
    features = np.stack([np.cos(angles), np.sin(angles)], 1) * np.array([[1], [5], [1], [5]])
    features -= features.mean(0)
    assert neighbours(features.astype(np.float32), 1)[:, 0].tolist() == [1, 0, 3, 2]


def test_neighbours_in_blocks_are_those_of_one_matrix() -> None:
    features = np.random.default_rng(0).normal(size=(1500, 8)).astype(np.float32)
    f = (features - features.mean(0)).astype(np.float64)
    f /= np.linalg.norm(f, axis=1, keepdims=True)
    likeness = f @ f.T
    np.fill_diagonal(likeness, -np.inf)
    np.testing.assert_array_equal(neighbours(features, 3), np.argsort(-likeness, axis=1)[:, :3])


def test_neighbour_agreement_by_hand() -> None:
    # Two neighbours each; shares of the own class 1, 1/2, 1/2, 0: mean 1/2. Classes 3/4 and 1/4: chance 10/16.
    near = np.array([[1, 2], [0, 3], [1, 3], [0, 1]])
    named = np.array([0, 0, 0, 1])
    assert neighbour_agreement(near, named, 2) == pytest.approx((0.5 - 0.625) / 0.375)
    # Drawn 1, 2, 0 and 1 times: pairs (0,1) (1,0) (0,2) (1,3) (2,.) (3,0) (3,1) weigh 2 2 0 2 0 1 2, of which the
    # first two are of one class. Classes are drawn 3 and 1 times, as before.
    counts = np.array([[1.0, 2, 0, 1]])
    assert neighbour_agreement(near, named, 2, counts) == pytest.approx((4 / 9 - 0.625) / 0.375)


def test_one_class_for_everything_agrees_with_nobody_by_merit() -> None:
    near = np.array([[1], [2], [0]])
    assert neighbour_agreement(near, np.zeros(3, np.int64), 4) == 0
    assert neighbour_agreement(near, np.array([0, 1, 2]), 4) < 0


def test_overlap_and_divergence_by_hand() -> None:
    p = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]], np.float32)
    q = np.array([[0.25, 0.25, 0.5], [1.0, 0.0, 0.0]], np.float32)
    np.testing.assert_allclose(overlap(p, q), [0.5, 1.0])
    np.testing.assert_allclose(divergence(p, q), [np.log(2), 0.0], atol=1e-9)


def test_effective_and_lost_classes_by_hand() -> None:
    assert effective_classes(np.array([0, 1, 2, 3]), 4) == pytest.approx(4)
    assert effective_classes(np.array([2, 2, 2]), 4) == pytest.approx(1)
    source = np.repeat([0, 1, 2, 3], [10, 6, 2, 2])  # a fair share is 5, half of it 2.5
    target = np.repeat([0, 3], [18, 2])
    assert lost_classes(source, target, 4) == [1]


def test_agreement_beyond_chance_by_hand() -> None:
    """Cohen's kappa: 3 of 4 alike; a is 3/4 and 1/4, b 1/2 and 1/2: chance 1/2, kappa (3/4 - 1/2) / (1/2)."""
    a, b = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    assert agreement_beyond_chance(a, b, 2) == pytest.approx([0.5])
    assert agreement_beyond_chance(a, a, 3) == pytest.approx([1])
    assert agreement_beyond_chance(np.array([0, 1, 0, 1]), b, 2) == pytest.approx([0])
    assert agreement_beyond_chance(a * 0, a * 0, 2) == pytest.approx([0])


def test_agreement_of_rows_that_count_more_than_once_is_that_of_the_list_with_repeats() -> None:
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 3, (2, 30))
    counts = rng.integers(0, 4, (50, 30)).astype(float)
    found = agreement_beyond_chance(a, b, 3, counts)
    assert found.shape == (50,)
    for row, value in zip(counts.astype(int), found, strict=True):
        (plain,) = agreement_beyond_chance(np.repeat(a, row), np.repeat(b, row), 3)
        assert value == pytest.approx(plain)


def test_bootstrap_draws_whole_blocks() -> None:
    block = blocks_of(27)
    assert block.tolist() == sorted([*range(9)] * 3)
    counts = block_counts(block, 0)
    assert np.all(counts.reshape(len(counts), 9, 3) == counts.reshape(len(counts), 9, 3)[:, :, :1])
    assert np.all(counts.sum(1) == 27)
    assert counts.mean() == pytest.approx(1)
    np.testing.assert_array_equal(counts, block_counts(block, 0))


def test_interval_of_a_mean_is_that_of_the_bootstrap_distribution() -> None:
    """Of 100 independent values with mean 0 and deviation 1: -0.164 to 0.164."""
    values = np.random.default_rng(0).normal(size=100)
    values = (values - values.mean()) / values.std()
    means = block_counts(np.arange(100), 1) @ values / 100
    assert np.quantile(means, [0.05, 0.95]) == pytest.approx([-0.164, 0.164], abs=0.02)
