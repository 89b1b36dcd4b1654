"""When frames were taken, and which the driver lost."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from tgkt_edge.runtime.sources.base import SequenceGaps
from tgkt_edge.runtime.sources.frame_clock import FrameClock, both_clocks

UNIX = 1_700_000_000.0


def test_the_two_clocks_are_read_together() -> None:
    apart = [unix - monotonic for monotonic, unix in (both_clocks() for _ in range(200))]
    # Nobody sets the clock meanwhile; what is left is the time between two readings.
    assert np.ptp(apart) < 2e-3
    before = time.monotonic()
    assert before <= both_clocks()[0] <= time.monotonic()


def test_a_frame_is_as_old_as_the_driver_says_however_late_it_is_handed_over() -> None:
    clock = FrameClock()
    # Stamped every 33 ms, handed over 1 to 42 ms later: the times are the stamps'.
    delays = [0.001, 0.042, 0.003, 0.030, 0.001]
    times = [
        clock.unix_time(100 + n * 0.033, 100 + n * 0.033 + late, UNIX + n * 0.033 + late)
        for n, late in enumerate(delays)
    ]
    np.testing.assert_allclose(times, UNIX + 0.033 * np.arange(5), atol=1e-6)


@pytest.mark.parametrize("stamp", [None, 80.0, 101.0])
def test_another_clock_leaves_the_moment_of_arrival(stamp: float | None) -> None:
    assert FrameClock().unix_time(stamp, 100.0, UNIX) == UNIX


def test_a_clock_that_is_corrected_backwards_takes_no_frame_back() -> None:
    clock = FrameClock()
    times = []
    for number in range(60):
        at = 0.033 * number
        shift = 0.0 if number < 10 else -0.4  # NTP steps the system's clock back between two frames
        times.append(clock.unix_time(100 + at, 100 + at + 0.005, UNIX + at + 0.005 + shift))
    assert (np.diff(times) > 0).all()
    assert times[-1] == pytest.approx(UNIX + 0.033 * 59 - 0.4)  # and is back in step


def test_a_clock_that_is_set_back_by_an_hour_is_followed() -> None:
    clock = FrameClock()
    assert clock.unix_time(100.0, 100.0, UNIX) == UNIX
    assert clock.unix_time(100.1, 100.1, UNIX + 0.1 - 3600) == pytest.approx(UNIX + 0.1 - 3600)


@pytest.mark.slow
def test_times_go_back_where_the_drivers_own_do(read: Callable[..., Any]) -> None:
    times = [line["time"] for line in read(count=6, AGE_MS=20, BACKWARDS=3).report]
    assert times[3] - times[2] == pytest.approx(-0.05, abs=2e-3)
    assert (np.diff(times)[[0, 1, 3, 4]] > 0).all()


@pytest.mark.slow
def test_copying_a_large_frame_makes_it_no_older(read: Callable[..., Any]) -> None:
    # 24 MB each: copying takes several milliseconds, and the frame holds its own time.
    found = read(count=4, STAMPED=1, WIDTH=4000, HEIGHT=3000, AGE_MS=5, FPS=20)
    for frame, line in zip(found.frames, found.report, strict=True):
        stamp = int(frame[0, :4].view("<u8")[0]) / 1e6
        assert line["time"] == pytest.approx(stamp, abs=1.5e-3)
    assert (np.diff([line["time"] for line in found.report]) > 0).all()


@pytest.mark.slow
def test_frames_that_the_driver_lost_are_counted(read: Callable[..., Any]) -> None:
    found = read(count=6, GAP=3)
    assert [line["lost"] for line in found.report] == [0, 0, 0, 2, 2, 2]
    assert [line["number"] for line in found.report] == list(range(6))


@pytest.mark.slow
def test_a_driver_that_does_not_count_loses_nothing(read: Callable[..., Any]) -> None:
    assert {line["lost"] for line in read(UNCOUNTED=1).report} == {0}


@pytest.mark.parametrize(
    ("sequence", "lost"),
    [
        ([5, 6, 7], 0),
        ([5, 7, 8, 12], 1 + 3),
        ([0xFFFFFFFE, 0xFFFFFFFF, 0, 2], 1),
        ([9, 9, 9], 0),
        ([1000, 0, 1, 3], 1),
    ],
)
def test_gaps_of_a_32_bit_count(sequence: list[int], lost: int) -> None:
    gaps = SequenceGaps()
    assert [gaps.add(number) for number in sequence][-1] == lost == gaps.lost
