"""Frames to rows: decoded and preprocessed in threads, inferred in batches, given back in order.

What is begun ahead is bounded, so memory does not grow with the number of frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import FrameError
from tgkt_edge.notes import phrase
from tgkt_edge.runtime.engines.base import Answer, Engine
from tgkt_edge.runtime.health.sensor_flags import flags_of
from tgkt_edge.runtime.infer.preprocess_stage import FormatCheck, prepare
from tgkt_edge.runtime.predict.frames import Job
from tgkt_edge.runtime.predict.rows import Row
from tgkt_edge.runtime.sources.base import Captured
from tgkt_edge.sensor import SensorSpec
from tgkt_edge.system.cpu import usable_cpus

MOST_DECODERS = 16
"""Threads that decode, where there are so many processors."""


@dataclass
class _Ready:
    """A decoded frame: the network's input (1, S, S), or why there is none."""

    captured: Captured
    unit: NDArray[np.float32] | None = None
    problem: str = ""
    health: tuple[str, ...] = ()


@dataclass
class _Group:
    """Frames whose answers come together: at most a batch of usable ones, and the others between them."""

    frames: list[_Ready] = field(default_factory=list)
    units: list[NDArray[np.float32]] = field(default_factory=list)
    answer: Future[Answer] | None = None


class Answers:
    """Rows of frames, in order; a context manager that ends its threads.

    Args:
        engine: opened; not closed. As many of its calls run side by side as it has lanes.
        spec: what the raw frames mean. size: side of the network's input, pixels.
        batch: frames in one call; the last one may have fewer.
        check: of the frames' format, in order; holds the size that the first one pins.
    """

    def __init__(self, engine: Engine, spec: SensorSpec, size: int, batch: int, check: FormatCheck) -> None:
        self._engine, self._spec, self._size, self._batch, self._check = engine, spec, size, batch, check
        decoders = min(usable_cpus(), MOST_DECODERS)
        self._decoders = ThreadPoolExecutor(decoders, "tgkt-edge decode")
        self._lanes = ThreadPoolExecutor(engine.lanes, "tgkt-edge lane")
        self._ahead = batch * (engine.lanes + 1) + 2 * decoders
        self._most_groups = engine.lanes + 1

    def rows(self, jobs: Iterator[Job]) -> Iterator[list[Row]]:
        """The rows of a few frames at a time.

        Raises:
            SourceLostError: (exit 5) the first readable frame contradicts the SensorSpec.
            TgktEdgeError: (exit 1) the engine failed.
        """
        decoding: deque[Future[_Ready]] = deque()
        inferring: deque[_Group] = deque()
        group = _Group()
        while True:
            for job in islice(jobs, self._ahead - len(decoding)):
                decoding.append(self._decoders.submit(self._decode, job))
            if not decoding:
                break
            self._add(group, decoding.popleft().result())
            if len(group.units) < self._batch and len(group.frames) < 4 * self._batch:
                continue
            inferring.append(self._begin(group))
            group = _Group()
            if len(inferring) > self._most_groups:
                yield self._rows_of(inferring.popleft())
        inferring.append(self._begin(group))
        while inferring:
            yield self._rows_of(inferring.popleft())

    def _decode(self, job: Job) -> _Ready:
        captured = job()
        frame = captured.frame
        if frame is None:
            return _Ready(captured)
        try:
            self._spec.check(frame, captured.name)
        except FrameError:
            return _Ready(captured)  # the check in order says so
        ready = prepare(frame, self._spec, self._size, captured.name)
        return _Ready(captured, ready.unit, ready.problem, flags_of(frame, self._spec))

    def _add(self, group: _Group, ready: _Ready) -> None:
        problem = self._check.problem_of(ready.captured)
        if problem:
            ready = _Ready(ready.captured, None, problem)
        if ready.unit is not None:
            group.units.append(ready.unit)
        group.frames.append(replace(ready, captured=replace(ready.captured, frame=None)))

    def _begin(self, group: _Group) -> _Group:
        if group.units:
            group.answer = self._lanes.submit(self._engine.infer, np.stack(group.units))
        return group

    def _rows_of(self, group: _Group) -> list[Row]:
        answers = iter(() if group.answer is None else group.answer.result()[1])
        rows = []
        for ready in group.frames:
            captured = ready.captured
            row = Row(captured.number, captured.time, captured.name, health=ready.health)
            probabilities = next(answers) if ready.unit is not None else None
            if probabilities is None:
                row = replace(row, error=phrase(ready.problem))
            elif not np.isfinite(probabilities).all():
                row = replace(
                    row, error=f"{captured.name}: the model answered with numbers that are not finite"
                )
            else:
                row = replace(row, probabilities=probabilities)
            rows.append(row)
        return rows

    def __enter__(self) -> Answers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._decoders.shutdown(cancel_futures=True)
        self._lanes.shutdown(cancel_futures=True)
