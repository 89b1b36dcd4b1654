"""What is done to a captured frame before its record can be written, wherever that is: at once, or ahead."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import FrameError
from tgkt_edge.preprocess import preprocess
from tgkt_edge.runtime.engines.base import Answer, Engine
from tgkt_edge.runtime.sources.base import Captured
from tgkt_edge.sensor import SensorSpec


@dataclass(frozen=True)
class Prepared:
    """A preprocessed frame.

    Attributes:
        unit: (1, S, S) float32 in [0, 1], the network's input; None: the frame cannot be used.
        problem: why not.
        seconds: what it took.
        answer: the engine's; None: it was not asked.
        inference: seconds that the engine took.
    """

    unit: NDArray[np.float32] | None
    problem: str
    seconds: float
    answer: Answer | None = None
    inference: float = 0.0


Pending = Callable[[], Prepared]
"""Gives a frame that is worked on elsewhere; waits until it is done. Raises what that work raised."""


def prepare(captured: Captured, spec: SensorSpec, size: int) -> Prepared:
    """Preprocess ``captured`` for a network with input side ``size``; safe in any thread."""
    if captured.frame is None:
        return Prepared(None, captured.error or "the source gave no frame and no reason", 0.0)
    unit, problem, began = None, "", time.perf_counter()
    try:
        unit = preprocess(captured.frame, spec, size, captured.name)
    except FrameError as error:
        problem = str(error)
    return Prepared(unit, problem, time.perf_counter() - began)


def infer(ready: Prepared, engine: Engine) -> Prepared:
    """``ready`` with the engine's answer; as it is if it cannot be used or has one."""
    if ready.unit is None or ready.answer is not None:
        return ready
    began = time.perf_counter()
    answer = engine.infer(ready.unit[np.newaxis])
    return replace(ready, answer=answer, inference=time.perf_counter() - began)
