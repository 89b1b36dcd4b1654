"""How many frames of several cameras one engine answers together: measured here, not assumed.

A GPU answers several frames in little more time than one; most CPUs take as long as for one after the other, and each
frame would wait for the others.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from tgkt_edge.runtime.engines.base import Engine
from tgkt_edge.runtime.infer.preprocess_stage import Prepared, ask

GAIN = 0.9
"""Frames are answered together where that takes at most this share of the time of one after the other."""

MOST = 8
"""Frames in a batch at most, as many as a plan takes where nobody says otherwise."""

_ROUNDS = 3


def measure_batches(engine: Engine, size: int, cameras: int) -> dict[int, float]:
    """Seconds of one inference by batch size: 1, 2, 4 and so on to the number of cameras and what the engine takes.

    Args:
        size: side of the network's input, pixels.
    """
    most = min(cameras, MOST, getattr(engine, "max_batch", MOST))
    counts = [1 << power for power in range(most.bit_length())]
    found: dict[int, float] = {}
    for count in counts:
        batch = np.zeros((count, 1, size, size), np.float32)
        engine.infer(batch)  # what is done once for a new size is no frame's latency
        took = []
        for _ in range(_ROUNDS):
            began = time.perf_counter()
            engine.infer(batch)
            took.append(time.perf_counter() - began)
        found[count] = statistics.median(took)
    return found


def worth_it(seconds: Mapping[int, float]) -> tuple[int, ...]:
    """The batch sizes that gain, largest first; 1 is always among them."""
    one = seconds[1]
    good = [
        count for count, took in seconds.items() if count == 1 or (one > 0 and took <= GAIN * count * one)
    ]
    return tuple(sorted(good, reverse=True))


def describe_batches(seconds: Mapping[int, float], sizes: Sequence[int]) -> str:
    """What was measured and chosen, one line for people."""
    times = ", ".join(f"{count}: {1e3 * took:.1f} ms" for count, took in seconds.items())
    if sizes[0] == 1:
        return f"frames of several cameras are answered one by one: batches gain nothing here ({times})"
    return f"up to {sizes[0]} frames of several cameras are answered together (batches of {times})"


def infer_together(ready: Sequence[Prepared], engine: Engine) -> list[Prepared]:
    """``ready`` with the engine's answers, from one inference; those that cannot be used, or have one, as they are.

    Each is told the whole inference's time: so long it waited.
    """
    asked = [one for one in ready if one.unit is not None and one.answer is None]
    if not asked:
        return list(ready)
    began = time.perf_counter()
    batch = np.stack([one.unit for one in asked if one.unit is not None])
    (logits, probabilities), maps = ask(engine, batch, any(one.mapped for one in asked))
    took = time.perf_counter() - began
    none = [None] * len(asked)
    answers = iter(zip(logits, probabilities, none if maps is None else maps, strict=True))

    def answered(one: Prepared) -> Prepared:
        if one.unit is None or one.answer is not None:
            return one
        own, probs, evidence = next(answers)
        its_maps = None if evidence is None or not one.mapped else evidence[np.newaxis]
        return replace(one, answer=(own[np.newaxis], probs[np.newaxis]), inference=took, maps=its_maps)

    return [answered(one) for one in ready]
