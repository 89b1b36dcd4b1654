"""Milliseconds of engines beside one another."""

from __future__ import annotations

import functools
import statistics
import time
from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.runtime.engines.base import Engine

SETTLE_SECONDS = 0.1
"""How long an engine runs before its calls are timed, when its turn comes. ONNX Runtime's threads go on spinning for
some 60 ms after their last call and hold a core that the next engine's threads want: seen on two cores, INT8 took 15 ms
in place of 6.5 for as long as those of the FP32 engine before it did."""


def settle(call: Callable[[], object], seconds: float = SETTLE_SECONDS) -> None:
    """Call once at least, and until ``seconds`` have passed, untimed."""
    end = time.perf_counter() + seconds
    call()
    while time.perf_counter() < end:
        call()


def time_engines(
    engines: Mapping[str, Engine], inputs: NDArray[np.float32], rounds: int = 5, calls: int = 3
) -> dict[str, float]:
    """Median milliseconds of one frame on each engine, in turns, so that a change of clock or load meets all.

    In each of the rounds an engine is left to settle (:func:`settle`), then ``calls`` frames are timed.
    """
    seconds: dict[str, list[float]] = {name: [] for name in engines}
    for number in range(rounds):
        for name, engine in engines.items():
            frames = [inputs[(number * calls + i) % len(inputs)][np.newaxis] for i in range(calls)]
            settle(functools.partial(engine.infer, frames[0]))
            for frame in frames:
                begin = time.perf_counter()
                engine.infer(frame)
                seconds[name].append(time.perf_counter() - begin)
    return {name: 1000 * statistics.median(values) for name, values in seconds.items()}
