"""Arithmetic of timing: warm-up until steady, percentiles, and whether a series can be trusted. Pure functions."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

STEADY = 0.05
"""Spread of round medians up to which a row is called steady; and the rise from which it is called slowing."""

VARIES = 0.15
"""Spread up to which a row "varies"; beyond, it is "unsteady" and its figures mean little."""

FEWEST_ROUNDS = 3
"""With fewer rounds nothing is said of stability."""

_BLOCK_CALLS, _BLOCK_SECONDS = 3, 0.1  # a block of the warm-up lasts until it has both
_SETTLED = 0.03


def percentiles(values: Sequence[float]) -> dict[str, float]:
    """``median``, ``p90``, ``p99``, ``min`` and ``max`` of one or more values.

    p90 is the smallest value that 90 % of all do not exceed (numpy's ``inverted_cdf``), p99 likewise, so that both were
    really seen; the median of an even number of values is the mean of the middle two.
    """
    found = {f"p{percent}": np.percentile(values, percent, method="inverted_cdf") for percent in (90, 99)}
    ends = {"median": statistics.median(values), **found, "min": min(values), "max": max(values)}
    return {name: float(value) for name, value in ends.items()}


def warm_up(
    call: Callable[[], object], longest: float, clock: Callable[[], float] = time.perf_counter
) -> dict[str, Any]:
    """Call until the time of a call no longer falls, but no longer than ``longest`` seconds.

    A block is some calls; the call is steady when the median of a block is at most 3 % under that of the block before.

    Returns:
        ``{"calls", "seconds", "steady"}``. ``steady`` is False where the time ran out first.
    """
    begin = clock()
    calls, before = 0, 0.0
    while True:
        seconds: list[float] = []
        block = clock()
        while len(seconds) < _BLOCK_CALLS or clock() - block < _BLOCK_SECONDS:
            start = clock()
            call()
            seconds.append(clock() - start)
            if clock() - begin >= longest:
                break
        calls += len(seconds)
        median = statistics.median(seconds)
        passed = clock() - begin
        if before and len(seconds) >= _BLOCK_CALLS and median >= (1 - _SETTLED) * before:
            return {"calls": calls, "seconds": passed, "steady": True}
        if passed >= longest:
            return {"calls": calls, "seconds": passed, "steady": False}
        before = median


def stability(medians: Sequence[float]) -> dict[str, Any]:
    """Whether the rounds of a row agree.

    Args:
        medians: one a round, in their order, any unit.

    Returns:
        ``spread``: distance between the 10th and 90th percentile of the medians, as a share of their median; ``trend``:
        by what share the last third of the rounds was slower than the first; and ``mark``: "steady", "varies" or
        "unsteady" by the spread; "slowing" where every round of the last third was slower than any of the first and the
        trend is over STEADY, as on a board that gets hot; "unknown" with under FEWEST_ROUNDS rounds.
    """
    if len(medians) < FEWEST_ROUNDS:
        return {"mark": "unknown", "spread": None, "trend": None}
    low, high = np.percentile(medians, (10, 90))
    spread = float((high - low) / statistics.median(medians))
    third = len(medians) // 3
    first, last = medians[:third], medians[-third:]
    trend = statistics.median(last) / statistics.median(first) - 1
    if min(last) > max(first) and trend > STEADY:
        mark = "slowing"
    else:
        mark = "steady" if spread <= STEADY else "varies" if spread <= VARIES else "unsteady"
    return {"mark": mark, "spread": spread, "trend": trend}
