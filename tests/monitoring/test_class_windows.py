"""Windows of different views: distances by hand, limits that hold, and one room that says nothing."""

from __future__ import annotations

import math

import numpy as np
import pytest

from tgkt_edge.monitoring.class_windows import OPTIMISM, SIZES, AnswerWindows, Views, entropy, stream
from tgkt_edge.monitoring.input_distance import FALSE_ALARM, LENGTH

WEIGHTS = np.full(LENGTH, 1 / LENGTH, np.float32)
EVEN = np.linspace(0, math.log(4), 101).astype(np.float32)


def some(count: int, seed: int = 0, sure: float = 3.0) -> tuple[np.ndarray, np.ndarray]:
    """Descriptions, and answers of four classes to them."""
    rng = np.random.default_rng(seed)
    logits = sure * rng.normal(size=(count, 4))
    answers = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    return rng.normal(size=(count, LENGTH)).astype(np.float32), answers.astype(np.float32)


def test_both_distances_by_hand() -> None:
    windows = AnswerWindows(1.0, np.array([0.5, 0.5, 0, 0], np.float32), EVEN, {})
    answers = np.array([[1, 0, 0, 0], [0.25, 0.25, 0.25, 0.25]], np.float32)
    # Mean (0.625, 0.125, 0.125, 0.125): total variation (0.125 + 0.375 + 0.125 + 0.125) / 2.
    # Entropies 0 and ln 4 are the least and the most that ever was: ranks 0 and 1.
    assert windows.distances(answers) == pytest.approx((0.375, 0.5))
    assert entropy(answers) == pytest.approx([0, math.log(4)], abs=1e-6)


def test_the_largest_window_there_is_enough_for_counts_and_of_it_the_newest_views() -> None:
    limits = {8: (0.5, 0.9), 16: (0.25, 0.9)}
    windows = AnswerWindows(1.0, np.array([0.5, 0.5, 0, 0], np.float32), EVEN, limits)
    a, b = np.array([1, 0, 0, 0], np.float32), np.array([0, 1, 0, 0], np.float32)
    assert windows.excess([a] * 7) == 0  # too few to say anything
    assert windows.excess([a] * 8) == pytest.approx(0.5 / 0.5)
    assert windows.excess([a] * 16) == pytest.approx(0.5 / 0.25)
    assert windows.excess([*[a] * 40, *[a, b] * 8]) == 0


@pytest.mark.slow
def test_windows_of_new_views_are_beyond_a_limit_as_rarely_as_promised() -> None:
    descriptions, answers = some(600)
    windows = AnswerWindows.of(descriptions, WEIGHTS, answers)
    assert tuple(windows.limits) == SIZES[:2]
    alarms = []
    for seed in range(60):
        views = Views(windows, WEIGHTS)
        new = zip(*some(100, 10 + seed), strict=True)
        found = [views.see(description, answer) for description, answer in new]
        alarms += [excess > 1 for excess in found if excess]
    assert len(alarms) > 3000
    assert np.mean(alarms) < 2 * FALSE_ALARM


def test_one_class_for_many_different_views_and_unsure_answers_are_noticed() -> None:
    descriptions, answers = some(600)
    windows = AnswerWindows.of(descriptions, WEIGHTS, answers)
    one = np.array([0.97, 0.01, 0.01, 0.01], np.float32)
    assert windows.excess([one] * 8) > 1
    assert windows.excess(list(some(32, 5, sure=0.3)[1])) > 1
    assert windows.excess(list(some(32, 5)[1])) < 1


def test_the_limit_of_unsure_leaves_room_for_what_training_on_the_frames_brought() -> None:
    windows = AnswerWindows.of(*(some(600)[0], WEIGHTS, some(600)[1]))
    for _, unsure in windows.limits.values():
        assert unsure > 0.5 + OPTIMISM


@pytest.mark.slow
def test_what_the_frames_showed_in_their_own_order_is_no_drift() -> None:
    descriptions, answers = some(600)
    one = np.array([0.97, 0.01, 0.01, 0.01], np.float32)
    mixed = AnswerWindows.of(descriptions, WEIGHTS, answers)
    by_class = np.argsort(answers.argmax(1), kind="stable")
    sorted_by_class = AnswerWindows.of(descriptions[by_class], WEIGHTS, answers[by_class])
    assert mixed.excess([one] * 8) > 1
    assert sorted_by_class.excess([one] * 8) < 1.05  # no more than the rounder answers of that class
    for windows, order in ((mixed, np.arange(600)), (sorted_by_class, by_class)):
        views = Views(windows, WEIGHTS)
        # At most 512 frames are learnt from, so that a window of all of them may differ a little.
        assert max(views.see(descriptions[i], answers[i]) for i in order) < 1.1


def test_too_few_or_too_equal_frames_have_no_limits() -> None:
    descriptions, answers = some(31)
    assert not AnswerWindows.of(descriptions, WEIGHTS, answers).limits
    descriptions, answers = some(200)
    views = np.repeat(descriptions[:5], 40, axis=0)  # five views only, however many frames
    assert not AnswerWindows.of(views, WEIGHTS, answers).limits


def test_limits_come_from_views_gathered_as_a_device_gathers_them() -> None:
    descriptions, answers = some(300)
    windows = AnswerWindows.of(descriptions, WEIGHTS, answers)
    apart = (np.abs(descriptions[:, None] - descriptions) * WEIGHTS).sum(2)
    order = np.random.default_rng(3).permutation(300)
    held = stream(apart, windows.gate, order, every=1)
    views = Views(windows, WEIGHTS)
    for frame, newest in zip(order, held, strict=True):
        excess = views.see(descriptions[frame], answers[frame])
        assert excess == windows.excess(list(answers[newest]))
    assert len(held[-1]) == SIZES[-1]
    assert (apart[held[0][0], held[0]] == 0).all()


def test_views_that_were_not_seen_for_long_are_forgotten() -> None:
    descriptions, answers = some(300)
    windows = AnswerWindows.of(descriptions, WEIGHTS, answers)
    views = Views(windows, WEIGHTS)
    assert any(views.see(d, a, time=0.0) for d, a in zip(descriptions, answers, strict=True))
    views.forget(99.0, 100.0)
    assert views.see(descriptions[0], answers[0], 99.0) > 0
    views.forget(101.0, 100.0)  # all but the one that was seen again
    assert views.see(descriptions[0], answers[0], 101.0) == 0


def test_plain_values_read_back() -> None:
    windows = AnswerWindows.of(*(some(100)[0], WEIGHTS, some(100)[1]))
    again = AnswerWindows.from_dict(windows.to_dict(), 4)
    answers = list(some(16, 3)[1])
    assert again.excess(answers) == windows.excess(answers) > 0
    assert (again.gate, again.limits) == (windows.gate, windows.limits)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("shares", [1.0]),
        ("entropies", [2.0, 1.0]),
        ("gate", float("inf")),
        ("limits", [{"views": 8, "shares": 0.0, "unsure": 1.0}]),
    ],
)
def test_damaged_values_are_refused(key: str, value: object) -> None:
    windows = AnswerWindows.of(*(some(100)[0], WEIGHTS, some(100)[1]))
    with pytest.raises(ValueError, match="expected"):
        AnswerWindows.from_dict({**windows.to_dict(), key: value}, 4)
