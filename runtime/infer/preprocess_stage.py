"""The stages before a decision that any thread may work on: check, preprocess, infer."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import FrameError, SourceLostError
from tgkt_edge.preprocess import preprocess
from tgkt_edge.runtime.engines.base import Answer, Engine, with_maps
from tgkt_edge.runtime.sources.base import Captured
from tgkt_edge.sensor import PRESETS, RawFrame, SensorSpec


@dataclass(frozen=True)
class Prepared:
    """A preprocessed frame.

    Attributes:
        raw: (H, W) raw counts that fit the SensorSpec; None: there are none.
        unit: (1, S, S) float32 in [0, 1], the network's input; None: the frame cannot be used.
        problem: why not.
        seconds: what it took.
        answer: the engine's; None: it was not asked.
        inference: seconds that the engine took.
        mapped: whether the engine is to be asked for its maps, too. maps: these, (1, K, h, w) float32.
    """

    raw: RawFrame | None = None
    unit: NDArray[np.float32] | None = None
    problem: str = ""
    seconds: float = 0.0
    answer: Answer | None = None
    inference: float = 0.0
    mapped: bool = False
    maps: NDArray[np.float32] | None = None


Pending = Callable[[], Prepared]
"""Gives a frame that is worked on elsewhere; waits until it is done. Raises what that work raised."""


class FormatCheck:
    """Every frame's one check against the SensorSpec. For one thread at a time, in the order of the frames.

    The first frame pins the size where the SensorSpec leaves it open, so that a later one of another is a bad frame.

    Args:
        size: (width, height) of an earlier first frame, where the frames go on; None: these begin.

    Attributes:
        pinned: the SensorSpec with the size of the first frame; None: there was none yet.
    """

    def __init__(self, spec: SensorSpec, size: tuple[int, int] | None = None) -> None:
        self._spec = spec
        self.pinned = None if size is None else spec.with_size(*size)

    def problem_of(self, captured: Captured) -> str:
        """Why the frame cannot be used; empty if it can.

        Raises:
            SourceLostError: (exit 5) it is the first readable frame and contradicts the SensorSpec.
        """
        if captured.frame is None:
            return captured.error or "the source gave no frame and no reason"
        if self.pinned is None:
            self.pinned = self._pin(captured.frame, captured.name)
            return ""
        try:
            self.pinned.check(captured.frame, captured.name)
        except FrameError as error:
            return str(error)
        return ""

    def _pin(self, frame: NDArray[Any], name: str) -> SensorSpec:
        try:
            self._spec.check(frame, name)
        except FrameError as error:
            raise SourceLostError(f"{error} {sensor_hint()}") from error
        if self._spec.size is not None:
            return self._spec
        height, width = frame.shape
        return self._spec.with_size(width, height)


def prepare(raw: RawFrame, spec: SensorSpec, size: int, name: str) -> Prepared:
    """Preprocess one frame for a network with input side ``size``; safe in any thread.

    Args:
        raw: (H, W) raw counts that fit ``spec``: checked already. name: what to call it in an error.
    """
    unit, problem, began = None, "", time.perf_counter()
    try:
        unit = preprocess(raw, spec, size, name, checked=True)
    except FrameError as error:
        problem = str(error)
    return Prepared(raw, unit, problem, time.perf_counter() - began)


def infer(ready: Prepared, engine: Engine) -> Prepared:
    """``ready`` with the engine's answer added; unchanged where the frame cannot be used, or has an answer already."""
    if ready.unit is None or ready.answer is not None:
        return ready
    began = time.perf_counter()
    answer, maps = ask(engine, ready.unit[np.newaxis], ready.mapped)
    return replace(ready, answer=answer, inference=time.perf_counter() - began, maps=maps)


def ask(
    engine: Engine, batch: NDArray[np.float32], mapped: bool
) -> tuple[Answer, NDArray[np.float32] | None]:
    """An engine's answer, with its maps if they are asked for and it has any."""
    mapping = with_maps(engine) if mapped else None
    if mapping is None:
        return engine.infer(batch), None
    logits, probabilities, maps = mapping.infer_maps(batch)
    return (logits, probabilities), maps


def sensor_hint() -> str:
    """What to do where frames and SensorSpec disagree."""
    return (
        f"If this camera writes its frames differently than the one the bundle was adapted with, say how with "
        f"`sensor`: a preset ({', '.join(PRESETS)}) or a YAML file."
    )
