"""Warm-up, percentiles and the stability mark, on made series and a made clock."""

from __future__ import annotations

import pytest

from tgkt_edge.benchmark.timing import percentiles, stability, warm_up


class Clock:
    """A clock that only calls move: each takes the next of ``seconds``, then the last indefinitely."""

    def __init__(self, *seconds: float) -> None:
        self.now, self.seconds, self.calls = 0.0, seconds, 0

    def __call__(self) -> float:
        return self.now

    def call(self) -> None:
        self.now += self.seconds[min(self.calls, len(self.seconds) - 1)]
        self.calls += 1


def test_percentiles_by_hand() -> None:
    """Of 1 to 10: nine of ten do not exceed 9; p99 needs all ten; the middle two are 5 and 6."""
    assert percentiles([7, 1, 10, 3, 5, 2, 9, 4, 8, 6]) == {
        "median": 5.5, "p90": 9, "p99": 10, "min": 1, "max": 10
    }  # fmt: skip
    found = percentiles([float(value) for value in range(1, 201)])
    assert (found["median"], found["p90"], found["p99"]) == (100.5, 180, 198)
    assert set(percentiles([4.0]).values()) == {4.0}


def test_a_percentile_is_a_value_that_was_seen() -> None:
    values = [1.0, 2.0, 50.0]
    found = percentiles(values)
    assert found["p90"] in values
    assert found["p99"] == 50


def test_warm_up_ends_when_calls_no_longer_get_faster() -> None:
    """Blocks of three: medians 0.4, 0.2, 0.1, 0.1: the fourth is no faster than the third."""
    clock = Clock(0.4, 0.4, 0.4, 0.2, 0.2, 0.2, 0.1)
    found = warm_up(clock.call, 60, clock)
    assert found == {"calls": 12, "seconds": pytest.approx(2.4), "steady": True}


def test_one_slow_first_call_does_not_hide_in_the_warm_up() -> None:
    """The first call builds kernels for 5 s. The median does not see it, and two blocks are enough."""
    clock = Clock(5.0, 0.1)
    assert warm_up(clock.call, 60, clock)["calls"] == 1 + 2 + 3


def test_a_block_of_short_calls_lasts_a_tenth_of_a_second() -> None:
    clock = Clock(0.001)
    found = warm_up(clock.call, 60, clock)
    assert found["steady"]
    assert 200 <= found["calls"] <= 204


def test_warm_up_is_bounded_and_says_that_it_was_not_steady() -> None:
    clock = Clock(*(2.0 * 0.5**n for n in range(3) for _ in range(3)), 0.001)
    found = warm_up(clock.call, 4.5, clock)
    assert found == {"calls": 3, "seconds": 6.0, "steady": False}
    slow = Clock(100.0)
    assert warm_up(slow.call, 10, slow) == {"calls": 1, "seconds": 100.0, "steady": False}


@pytest.mark.parametrize(
    ("medians", "mark"),
    [
        ([10.0] * 12, "steady"),
        ([10.0, 10.2, 9.9, 10.1, 10.0, 10.2, 9.9, 10.1, 10.0], "steady"),
        ([10.0] * 11 + [30.0], "steady"),  # one bad round of twelve
        ([10.0, 11.0, 10.0, 11.0, 10.0, 11.0, 10.0, 11.0, 10.0], "varies"),
        ([10.0, 14.0, 10.0, 14.0, 10.0, 14.0, 10.0, 14.0, 10.0], "unsteady"),
        ([10.0, 10.0, 10.0, 11.0, 12.0, 13.0, 13.0, 13.0, 13.0], "slowing"),
        ([13.0, 13.0, 13.0, 12.0, 11.0, 10.0, 10.0, 10.0, 10.0], "unsteady"),  # faster is no throttling
        ([10.0, 10.1, 10.2, 10.3, 10.3, 10.4], "steady"),  # a rise, but under 5 %
        ([10.0, 20.0], "unknown"),
    ],
)
def test_the_stability_mark(medians: list[float], mark: str) -> None:
    assert stability(medians)["mark"] == mark


def test_spread_and_trend_by_hand() -> None:
    """Of 0 to 10 (plus 95): the 10th and 90th percentile are 96 and 104, the median 100; thirds begin 96 and 104."""
    found = stability([95.0 + n for n in range(11)])
    assert found["spread"] == pytest.approx(8 / 100)
    assert found["trend"] == pytest.approx(104 / 96 - 1)
    assert found["mark"] == "slowing"
    assert stability([1.0, 2.0]) == {"mark": "unknown", "spread": None, "trend": None}
