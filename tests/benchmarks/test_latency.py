"""The benchmark of added latency: what it subtracts, and that it sees every frame of a real run."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from latency import Lines, added_ms, measure, parts, where_ms
from numpy.typing import NDArray

from tgkt_edge.sensor import PRESETS

SPEC = PRESETS["depth"]
FRAMES = [np.full((12, 16), 1000 + number, np.uint16) for number in range(4)]


class Slow:
    """An engine that takes its time."""

    name = "slow"
    lanes = 1

    def infer(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        time.sleep(0.05)
        answer = np.array([[0.75, 0.25]], np.float32)
        return np.log(answer), answer

    def close(self) -> None:
        pass


def test_inference_is_no_part_of_what_is_added() -> None:
    lines = [
        (1.0, json.dumps({"event": "state"})),
        (10.025, json.dumps({"frame": 0, "ms": {"inference": 20.0}})),
        (10.100, json.dumps({"frame": 1, "error": "damaged"})),
        (10.2015, json.dumps({"frame": 2, "ms": {"inference": 0.5}})),
    ]
    assert added_ms({0: 10.0, 1: 10.1, 2: 10.2}, lines) == pytest.approx([5.0, 1.0])


def test_the_three_stretches_sum_to_what_is_added() -> None:
    ms = {"capture": 0.0, "preprocess": 2.0, "inference": 20.0, "total": 23.5}
    lines = [(10.025, json.dumps({"frame": 0, "ms": ms}))]
    found = where_ms({0: 10.0}, lines)
    assert found == pytest.approx({"before preprocessing": 1.5, "preprocessing": 2.0, "after inference": 1.5})
    assert [sum(found.values())] == pytest.approx(added_ms({0: 10.0}, lines))


def test_a_line_is_out_when_it_is_flushed() -> None:
    out = Lines()
    out.write('{"frame": ')
    out.write("1}\n")
    assert out.lines == []
    before = time.perf_counter()
    out.flush()
    out.flush()
    ((moment, text),) = out.lines
    assert text == '{"frame": 1}\n'
    assert before <= moment <= time.perf_counter()


@pytest.mark.slow
@pytest.mark.alone
def test_every_frame_of_a_run_is_measured() -> None:
    begin = time.perf_counter()
    ready, lines = measure(Slow(), SPEC, ("a", "b"), 8, FRAMES, 5, 0.2)
    whole = (time.perf_counter() - begin) * 1e3
    added = added_ms(ready, lines)
    assert len(added) == 5
    assert all(0 < one < whole - 50 for one in added)  # the engine's 50 ms are in none of them


@pytest.mark.slow
def test_every_part_takes_time() -> None:
    table = parts(SPEC, ("a", "b"), 8, FRAMES, 5)
    assert set(table) >= {"hand-over between threads", "health", "preprocess", "decide", "encode, write"}
    assert all(value > 0 for value in table.values())
