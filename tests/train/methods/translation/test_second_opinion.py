"""Which head of the way back is listened to: the one that tells more of what the way forth answers."""

from __future__ import annotations

import numpy as np
import pytest

from tgkt_edge.train.methods.translation.second_opinion import favored

TRUTH = np.repeat([0, 1, 2], [100, 60, 20])
SHARES = np.bincount(TRUTH) / len(TRUTH)


def opinion(rng: np.random.Generator, noise: float) -> np.ndarray:
    logits: np.ndarray = np.eye(3)[TRUTH] + noise * rng.normal(size=(len(TRUTH), 3))
    return logits


@pytest.mark.parametrize("prior", [SHARES, None])
def test_of_two_that_err_apart_the_one_that_errs_less_is_favored(
    rng: np.random.Generator, prior: np.ndarray | None
) -> None:
    first = opinion(rng, 0.7)
    others = {"means": opinion(rng, 1.2), "regression": opinion(rng, 0.4)}
    name, found = favored(first, others, prior, 3.0)
    assert name == "regression"
    assert found["regression"] > found["means"] > 0


def test_the_size_of_the_logits_decides_nothing(rng: np.random.Generator) -> None:
    first, other = opinion(rng, 0.7), opinion(rng, 0.5)
    name, found = favored(100 * first, {"one": other, "same": 0.01 * other}, SHARES, 3.0)
    assert found["one"] == pytest.approx(found["same"])
    assert found["one"] == pytest.approx(favored(first, {"one": other}, SHARES, 3.0)[1]["one"])
    assert favored(first, {"one": other, "same": other}, SHARES, 3.0)[0] == "one"
    assert name in ("one", "same")


def test_one_alone_is_favored_whatever_it_says(rng: np.random.Generator) -> None:
    name, found = favored(opinion(rng, 0.5), {"discriminant": np.zeros((len(TRUTH), 3))}, SHARES, 3.0)
    assert name == "discriminant"
    assert found["discriminant"] == pytest.approx(0, abs=1e-9)
