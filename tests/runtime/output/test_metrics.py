"""Percentiles, frames per second and counts, in memory that does not grow."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from tgkt_edge.runtime.output.metrics import FrameRate, Histogram, Statistics


@pytest.mark.parametrize("percent", [0, 1, 25, 50, 90, 99, 99.9, 100])
@pytest.mark.parametrize("scale", [0.002, 1.0, 4000.0])
def test_percentiles_are_within_the_stated_resolution_of_numpy(percent: float, scale: float) -> None:
    values = scale * np.random.default_rng(0).lognormal(3.0, 1.0, size=20_001)
    histogram = Histogram()
    for value in values:
        histogram.add(float(value))
    exact = float(np.percentile(values, percent, method="inverted_cdf"))
    assert histogram.percentile(percent) == pytest.approx(exact, rel=Histogram.RESOLUTION)


def test_percentiles_of_a_few_values() -> None:
    histogram = Histogram()
    for value in (30.0, 10.0, 20.0):
        histogram.add(value)
    assert histogram.percentile(0) == 10.0  # ends are exact
    assert histogram.percentile(100) == 30.0
    assert histogram.percentile(50) == pytest.approx(20.0, rel=Histogram.RESOLUTION)
    assert len(histogram) == 3


def test_equal_values_are_exact_and_extremes_are_clipped() -> None:
    histogram = Histogram()
    for _ in range(5):
        histogram.add(7.3)
    assert [histogram.percentile(percent) for percent in (1, 50, 99)] == [7.3, 7.3, 7.3]
    for value in (0.0, 1e-9, 1e12):
        histogram.add(value)
    assert (histogram.percentile(0), histogram.percentile(100)) == (0.0, 1e12)


@pytest.mark.parametrize("value", [-1.0, float("nan"), float("inf")])
def test_impossible_values_are_refused(value: float) -> None:
    with pytest.raises(ValueError, match="expected a finite number >= 0"):
        Histogram().add(value)


def test_percentile_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="of 0 values"):
        Histogram().percentile(50)


def test_frame_rate_of_a_steady_source() -> None:
    rate = FrameRate()
    assert rate.rate(0.0) == 0.0
    for number in range(31):
        rate.tick(number / 30)
    assert rate.rate(1.0) == pytest.approx(30.0)  # 30 intervals in one second: not 31 frames


def test_frame_rate_follows_a_change_and_forgets_old_frames() -> None:
    rate = FrameRate(window=120, seconds=5.0)
    for number in range(100):
        rate.tick(number / 100)  # 100 fps for a second
    for number in range(1, 61):
        rate.tick(0.99 + number / 10)  # then 10 fps for six
    assert rate.rate(0.99 + 6.0) == pytest.approx(10.0)


def test_frame_rate_falls_while_nothing_comes() -> None:
    rate = FrameRate()
    for number in range(11):
        rate.tick(number / 10)
    assert rate.rate(1.1) == pytest.approx(10.0)  # one interval of silence is normal
    assert rate.rate(10.1) == pytest.approx(1.0)  # 10 frames in 10 seconds


def test_frame_rate_of_a_slow_source() -> None:
    rate = FrameRate(seconds=5.0)
    for number in range(4):
        rate.tick(60.0 * number)
    assert rate.rate(180.0) == pytest.approx(1 / 60)


def test_memory_does_not_grow() -> None:
    def size(stats: Statistics) -> int:
        histograms = sum(sys.getsizeof(h._counts) for h in stats.ms.values())
        return histograms + sys.getsizeof(stats.rate._times) + sys.getsizeof(stats.labels)

    stats = Statistics()
    sizes = []
    for number in range(3000):
        ms = dict.fromkeys(stats.ms, 1.0 + number % 7)
        stats.count(f"class {number % 5}", ms, number / 1000)
        if number in (999, 2999):
            sizes.append(size(stats))
    assert sizes[0] == sizes[1]
    assert (stats.frames, stats.bad) == (3000, 0)
    assert set(stats.labels.values()) == {600}


def test_bad_frames_count_but_have_no_latency() -> None:
    stats = Statistics()
    assert stats.percentiles() == {}
    stats.count_bad(0.0)
    stats.count("office", {"capture": 1.0, "preprocess": 2.0, "inference": 3.0, "total": 6.0}, 0.1)
    assert (stats.frames, stats.bad, dict(stats.labels)) == (2, 1, {"office": 1})
    assert stats.percentiles()["inference"] == {"p50": 3.0, "p90": 3.0, "p99": 3.0}
