"""Pairs and shuffled pairs by their features: few of them are enough."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from numpy.typing import NDArray

from tgkt_edge.train.methods.translation.choice import PairFeatures, folds_of, left_out
from tgkt_edge.train.methods.translation.matching import SHUFFLES, match_p_value

Reals = NDArray[np.float64]


def test_against_every_order_there_is(rng: np.random.Generator) -> None:
    """Six pairs in one fold: 720 orders, of which so many match as well as the pairs as they are."""
    rgb = rng.normal(size=(6, 4))
    frames = rgb + 1.5 * rng.normal(size=(6, 4))
    a, b = (x - x.mean(0) for x in (rgb, frames))
    cosines = (a / np.linalg.norm(a, axis=1, keepdims=True)) @ (
        b / np.linalg.norm(b, axis=1, keepdims=True)
    ).T
    orders = [cosines[range(6), order].sum() for order in itertools.permutations(range(6))]
    exact = np.mean(np.array(orders) >= cosines.trace() - 1e-9)
    assert 0.01 < exact < 0.5
    assert match_p_value(rgb, frames, np.zeros(6, np.int64)) == pytest.approx(exact, abs=0.04)


def test_one_pair_a_fold_tells_nothing(rng: np.random.Generator) -> None:
    rows = rng.normal(size=(5, 8))
    assert match_p_value(rows, rows, np.arange(5)) == 1
    assert match_p_value(np.ones((4, 3)), np.ones((4, 3)), np.zeros(4, np.int64)) == 1


def test_places_of_folds_tell_nothing(rng: np.random.Generator) -> None:
    """Frames that show which fold they were left out of, as a fit on the others does, and nothing else."""
    folds = folds_of(40)
    places = rng.normal(size=(5, 12))[folds]
    found = [
        match_p_value(
            places + 0.1 * rng.normal(size=(40, 12)), places + 0.1 * rng.normal(size=(40, 12)), folds
        )
        for _ in range(60)
    ]
    assert np.mean(np.array(found) < 0.05) < 0.15


@pytest.mark.slow
def test_of_left_out_fits_shuffled_pairs_are_no_match_and_true_ones_are(rng: np.random.Generator) -> None:
    """20 pairs of 60 features: what :func:`left_out` makes of them, which has seen all pairs of the other folds."""
    w = rng.normal(size=(60, 60)) / 8

    def chance(shuffle: bool) -> float:
        x = rng.normal(size=(20, 1, 60)) + 0.1 * rng.normal(size=(20, 2, 60))
        y = x @ w + rng.normal(size=x.shape)
        order = rng.permutation(20) if shuffle else np.arange(20)
        pairs = PairFeatures({"plain": x.astype(np.float32)}, None, y[order].astype(np.float32))
        z = left_out(pairs, ("plain",), (3.0,))[3.0, False]
        return match_p_value(pairs.rgb.mean(1, dtype=np.float64), z, folds_of(20))

    true, shuffled = (np.array([chance(shuffle) for _ in range(60)]) for shuffle in (False, True))
    assert np.mean(true <= 0.01) > 0.5
    assert np.mean(shuffled <= 0.01) <= 0.07
    assert np.mean(shuffled <= 0.05) <= 0.15
    assert min(true) >= 1 / (1 + SHUFFLES)
