"""Calls in threads: in order, few at a time, and over with the first error."""

from __future__ import annotations

from collections.abc import Iterator
from threading import Event, Lock

import pytest

from tgkt_edge.system.threads import AHEAD, MOST, in_threads


def test_answers_come_in_the_order_of_the_items() -> None:
    """The first call ends only after the last one began."""
    begun = Event()

    def call(number: int) -> int:
        if number == 1:
            begun.set()
        return number * number

    assert list(in_threads(call, range(2 * AHEAD + 3))) == [n * n for n in range(2 * AHEAD + 3)]
    assert begun.is_set()
    assert list(in_threads(call, [])) == []


def test_items_are_read_as_they_are_needed() -> None:
    """What waits takes memory."""
    read = 0

    def items() -> Iterator[int]:
        nonlocal read
        for number in range(10 * AHEAD):
            read += 1
            yield number

    for done, _ in enumerate(in_threads(lambda number: number, items()), 1):
        assert read <= done + AHEAD + 1
    assert read == 10 * AHEAD


def test_after_an_error_nothing_more_is_begun() -> None:
    lock, called = Lock(), 0

    def call(number: int) -> int:
        nonlocal called
        with lock:
            called += 1
        if number == 3:
            raise ValueError("the fourth")
        return number

    answers = in_threads(call, range(100 * AHEAD))
    with pytest.raises(ValueError, match="the fourth"):
        list(answers)
    assert called <= 3 + AHEAD + MOST


def test_who_stops_listening_ends_it() -> None:
    lock, called = Lock(), 0

    def call(number: int) -> int:
        nonlocal called
        with lock:
            called += 1
        return number

    answers = in_threads(call, range(100 * AHEAD))
    assert next(answers) == 0
    answers.close()  # type: ignore[attr-defined]
    assert called <= AHEAD + 1
