"""Descriptions of frames by hand, distances against the plain loop, and the false alarms that are promised."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tgkt_edge.monitoring.input_distance import (
    BINS,
    FALSE_ALARM,
    LENGTH,
    NEAREST,
    STRETCHES,
    Normal,
    describe,
    weights_of,
)


def test_an_even_frame_is_described_by_hand() -> None:
    found = describe(np.full((1, 32, 32), 0.5, np.float32), 0.25)
    assert found.shape == (LENGTH,)
    assert found.dtype == np.float32
    # 0.5 is the lower edge of the ninth of sixteen bins: nothing lies below it, all of it lies below the next edge.
    assert found[: BINS - 1].tolist() == [0] * 8 + [1] * 7
    assert found[BINS - 1 : BINS + 1] == pytest.approx([math.log(1e-3)] * 2)  # no texture at all
    assert found[BINS + 1 : BINS + 3] == pytest.approx([0, 0])
    assert found[-1] == 0.25


def test_stripes_have_texture_across_and_none_when_averaged() -> None:
    stripes = np.zeros((1, 32, 32), np.float32)
    stripes[0, :, ::2] = 1
    found = describe(stripes, 0)
    across, along = found[BINS - 1 : BINS + 1]
    assert across == pytest.approx(math.log(1 + 1e-3))  # every neighbour in a row differs by 1
    assert along == pytest.approx(math.log(1e-3))
    # Averaged over 4 x 4 pixels all of it is 0.5: what is fine is all there is.
    assert found[BINS + 1] == pytest.approx(math.log((1 + 1e-3) / 1e-3), abs=1e-5)


def test_one_belongs_to_the_last_bin() -> None:
    assert describe(np.ones((1, 8, 8), np.float32), 0)[: BINS - 1].tolist() == [0] * (BINS - 1)


def vectors(count: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(count, LENGTH)).astype(np.float32)


def plain_score(vector: np.ndarray, others: np.ndarray, weights: np.ndarray) -> float:
    distances = sorted(float((np.abs(vector - other) * weights).sum()) for other in others)
    return sum(distances[:NEAREST]) / NEAREST


def test_limit_and_distance_are_those_of_the_plain_loop() -> None:
    known = np.round(vectors(45), 4)
    normal = Normal.of(known)
    stretch = [i * STRETCHES // 45 for i in range(45)]
    scores = sorted(
        plain_score(known[i], known[[j for j in range(45) if stretch[j] != stretch[i]]], normal.weights)
        for i in range(45)
    )
    assert normal.limit == pytest.approx(scores[-1], rel=1e-5)  # 0.99 x 46 is over 45: the largest of all
    assert normal.false_alarm == 1 / 46
    assert normal.weights == pytest.approx(weights_of(known))
    new = vectors(1, seed=1)[0]
    assert normal.distance(new) == pytest.approx(
        plain_score(new, known, normal.weights) / normal.limit, rel=1e-5
    )


def test_as_many_new_views_as_promised_are_beyond_the_limit() -> None:
    rates = []
    for seed in range(8):
        normal = Normal.of(vectors(400, seed))
        new = vectors(500, 100 + seed)
        rates.append(np.mean([normal.distance(vector) > 1 for vector in new]))
    assert FALSE_ALARM / 5 < np.mean(rates) < 1.5 * FALSE_ALARM


def test_a_recording_whose_neighbours_are_nearly_equal_promises_as_much() -> None:
    """Twenty rooms of forty nearly equal frames each. Without stretches every new room would be unlike."""
    rooms = vectors(20)
    rng = np.random.default_rng(1)
    known = (np.repeat(rooms, 40, axis=0) + rng.normal(0, 0.01, (800, LENGTH))).astype(np.float32)
    normal = Normal.of(known)
    assert np.mean([normal.distance(room) > 1 for room in vectors(300, seed=2)]) < 0.2
    assert normal.distance(rooms[3]) < 0.1


def test_many_frames_are_represented_by_some() -> None:
    normal = Normal.of(vectors(3000))
    assert normal.references.shape == (512, LENGTH)
    assert np.mean([normal.distance(v) > 1 for v in vectors(1000, seed=5)]) < 2 * FALSE_ALARM


def test_a_sensor_whose_frames_are_all_alike_has_a_limit_nevertheless() -> None:
    normal = Normal.of(np.zeros((30, LENGTH), np.float32))
    assert normal.limit > 0
    assert normal.distance(np.zeros(LENGTH, np.float32)) == 0
    assert normal.distance(np.full(LENGTH, 0.5, np.float32)) > 1


def test_plain_values_read_back_as_the_same_distance() -> None:
    normal = Normal.of(vectors(60))
    again = Normal.from_dict(normal.to_dict())
    new = vectors(1, seed=9)[0]
    assert again.distance(new) == normal.distance(new)
    assert again.false_alarm == normal.false_alarm


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("references", [[0.0] * LENGTH]),
        ("references", [[0.0] * 3] * 9),
        ("weights", [1.0]),
        ("weights", [float("nan")] * LENGTH),
        ("limit", 0.0),
        ("limit", float("nan")),
        ("false_alarm", 2.0),
    ],
)
def test_damaged_values_are_refused(key: str, value: object) -> None:
    with pytest.raises(ValueError, match="expected"):
        Normal.from_dict({**Normal.of(vectors(30)).to_dict(), key: value})
