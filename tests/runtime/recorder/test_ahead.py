"""Work in threads whose results come in order, a few items ahead."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from tgkt_edge.runtime.recorder.ahead import in_order


def test_results_come_in_order_and_only_a_few_items_are_held() -> None:
    began, done = 0, 0

    def items() -> Iterator[int]:
        nonlocal began
        for number in range(200):
            began += 1
            assert began - done <= 8 * 2 + 2
            yield number

    def work(number: int) -> int:
        time.sleep(0.002 if number % 3 else 0)
        return number * number

    for number, result in enumerate(in_order(work, items())):
        assert result == number * number
        done += 1
    assert done == 200


def test_what_is_raised_comes_in_its_place_and_leaves_no_thread() -> None:
    def work(number: int) -> int:
        if number == 5:
            raise ValueError("five")
        return number

    found = []
    with pytest.raises(ValueError, match="five"):
        for number in in_order(work, range(1000)):
            found.append(number)
    assert found == [0, 1, 2, 3, 4]
    assert not [one for one in threading.enumerate() if one.name.startswith("tgkt-edge import")]
