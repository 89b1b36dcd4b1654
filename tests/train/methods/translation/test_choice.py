"""Which translation is used is decided by pairs left out."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from tgkt_edge.train.methods.translation.choice import (
    Candidate,
    PairFeatures,
    choose,
    folds_of,
    left_out,
    unit_spread,
)
from tgkt_edge.train.methods.translation.correlation import correlation
from tgkt_edge.train.methods.translation.matching import SHUFFLES
from tgkt_edge.train.methods.translation.ridge import ridge

Reals = NDArray[np.float64]


def pairs_of(rng: np.random.Generator, count: int, views: int, columns: int) -> PairFeatures:
    """RGB features are a linear map of the plain frame's; "normals" is unrelated."""
    plain = rng.normal(size=(count, views, columns)).astype(np.float32)
    rgb = (plain @ rng.normal(size=(columns, 3)) / columns**0.5).astype(np.float32)
    noise = rng.normal(size=(count, views, columns)).astype(np.float32)
    return PairFeatures({"plain": plain, "normals": noise}, plain[..., :3].copy(), rgb)


@pytest.mark.parametrize("count", [2, 3, 7, 60, 101])
def test_folds_leave_out_every_pair_once(count: int) -> None:
    fold = folds_of(count)
    sizes = np.bincount(fold)
    assert len(sizes) == min(5, count)
    assert sizes.min() > 0
    assert sizes.max() - sizes.min() <= 1
    assert (folds_of(count) == fold).all()


@pytest.mark.parametrize("columns", [4, 50])
def test_pairs_left_out_are_answered_as_by_a_plain_ridge(columns: int, rng: np.random.Generator) -> None:
    """More rows than columns, and fewer: the normal equations and their dual."""
    pairs = pairs_of(rng, 10, 2, columns)
    found = left_out(pairs, ("plain",), (0.5, 3.0))
    fold = folds_of(10)
    x, y, last = pairs.frames["plain"], pairs.rgb, pairs.last
    assert last is not None
    for strength in (0.5, 3.0):
        for identity in (False, True):
            for number in range(5):
                out = fold == number
                wanted = y - last if identity else y
                rows = x[~out].reshape(-1, columns), wanted[~out].reshape(-1, 3)
                z = (x[out] @ ridge([rows], strength * 2) + (last[out] if identity else 0)).mean(1)
                np.testing.assert_allclose(found[strength, identity][out], z, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("columns", [4, 50])
def test_without_the_plain_last_layer_the_identity_is_not_tried(
    columns: int, rng: np.random.Generator
) -> None:
    pairs = pairs_of(rng, 10, 2, columns)
    expected = left_out(pairs, ("plain",), (0.5, 3.0))
    found = left_out(dataclasses.replace(pairs, last=None), ("plain",), (0.5, 3.0))
    assert sorted(found) == [(0.5, False), (3.0, False)]
    for key, answers in found.items():
        np.testing.assert_allclose(answers, expected[key], rtol=1e-5, atol=1e-6)


def test_unit_spread_divides_and_does_not_shift() -> None:
    z = unit_spread(np.array([[1.0, 4.0], [3.0, 4.0]]))
    assert z[:, 0].tolist() == [1.0, 3.0]
    assert z[:, 1].tolist() == [0.0, 0.0]


def test_correlation_is_the_mean_of_numpys_over_classes(rng: np.random.Generator) -> None:
    one, other = rng.random((30, 3)), rng.random((30, 3))
    expected = np.mean([np.corrcoef(one[:, k], other[:, k])[0, 1] for k in range(3)])
    assert correlation(one, other)[0] == pytest.approx(expected)
    assert correlation(one, one)[0] == pytest.approx(1)
    # A class that one model never moves on has no correlation, and is not counted as none.
    still = np.column_stack([other[:, :2], np.full(30, 0.2)])
    expected = np.mean([np.corrcoef(one[:, k], other[:, k])[0, 1] for k in range(2)])
    assert correlation(one, still)[0] == pytest.approx(expected)
    assert correlation(one, np.full((30, 3), 0.2))[0] == 0


def test_weighted_correlation_is_that_of_repeated_rows(rng: np.random.Generator) -> None:
    one, other = rng.random((5, 2)), rng.random((5, 2))
    times = np.array([[2, 0, 1, 3, 1], [1, 1, 1, 1, 1]])
    found = correlation(one, other, times.astype(np.float64))
    rows = np.repeat(np.arange(5), times[0])
    assert found[0] == pytest.approx(correlation(one[rows], other[rows])[0])
    assert found[1] == pytest.approx(correlation(one, other)[0])


def test_the_encoding_that_tells_of_the_rgb_is_chosen(rng: np.random.Generator) -> None:
    pairs = pairs_of(rng, 60, 2, 6)

    def head(z: Reals) -> Reals:
        e = np.exp(2 * z)
        p: Reals = e / e.sum(1, keepdims=True)
        return p

    seen: list[int] = []
    found = choose(pairs, head, (("normals",), ("plain",)), (1.0, 100.0), (False,), lambda: seen.append(1))
    best, tried = found.best, found.tried
    assert best == Candidate(("plain",), 1.0, False)
    assert len(tried) == 4
    assert tried[best] == pytest.approx(correlation(found.rgb, found.translated)[0])
    assert found.p_value == 1 / (1 + SHUFFLES)  # no shuffle matches as well
    assert tried[best] > 0.9
    assert max(value for candidate, value in tried.items() if candidate.encodings == ("normals",)) < 0.5
    assert len(seen) == 2


def test_nothing_to_choose_from_is_refused(rng: np.random.Generator) -> None:
    with pytest.raises(ValueError, match="no candidate"):
        choose(pairs_of(rng, 4, 1, 3), lambda z: z, (), (1.0,), (False,))


def test_the_answers_are_not_flattered_by_the_choice(rng: np.random.Generator) -> None:
    """RGB that no frame tells of: the best of many candidates correlates by chance, the nested answers do not."""
    best_of, nested_of = [], []
    for _ in range(20):
        pairs = pairs_of(rng, 40, 2, 6)
        unrelated = PairFeatures(pairs.frames, pairs.last, rng.normal(size=(40, 2, 3)).astype(np.float32))
        strengths = (0.1, 1.0, 10.0, 100.0, 1000.0)
        found = choose(unrelated, softmaxed, (("plain",), ("normals",)), strengths, (False,))
        best_of.append(found.tried[found.best])
        nested_of.append(correlation(found.rgb, found.translated)[0])
    assert np.mean(best_of) > np.mean(nested_of) + 0.02
    assert np.mean(nested_of) < 0.02


def softmaxed(z: Reals) -> Reals:
    e = np.exp(2 * z)
    p: Reals = e / e.sum(1, keepdims=True)
    return p


def test_correlation_of_classes_hardly_ever_given_is_finite_and_that_of_their_multiples() -> None:
    random = np.random.default_rng(5)
    one, other = random.random((40, 3)), random.random((40, 3))
    small = one * np.array([1.0, 1e-200, 1e-300]), other * np.array([1.0, 1e-190, 1e-170])
    assert correlation(*small) == pytest.approx(correlation(one, other), rel=1e-12)
