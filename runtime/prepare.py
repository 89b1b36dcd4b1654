"""Preprocessing one captured frame, wherever that is done: beside inference or before it."""

from __future__ import annotations

import time
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import FrameError
from tgkt_edge.preprocess import preprocess
from tgkt_edge.runtime.sources.base import Captured
from tgkt_edge.sensor import SensorSpec


@dataclass(frozen=True)
class Prepared:
    """A preprocessed frame.

    Attributes:
        unit: (1, S, S) float32 in [0, 1], the network's input; None: the frame cannot be used.
        problem: why not.
        seconds: what it took.
    """

    unit: NDArray[np.float32] | None
    problem: str
    seconds: float


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
