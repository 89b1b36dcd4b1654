"""Frames to rows: decoded, preprocessed and inferred in threads, given back in order.

What is begun ahead is bounded, so memory does not grow with the number of frames.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from itertools import islice
from types import TracebackType

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import FrameError
from tgkt_edge.notes import phrase
from tgkt_edge.runtime.engines.base import Engine, on_cpu
from tgkt_edge.runtime.health.sensor_flags import flags_of
from tgkt_edge.runtime.infer.preprocess_stage import FormatCheck, prepare
from tgkt_edge.runtime.predict.frames import Job
from tgkt_edge.runtime.predict.rows import Row
from tgkt_edge.runtime.sources.base import Captured
from tgkt_edge.sensor import SensorSpec
from tgkt_edge.system.cpu import usable_cpus

MOST_DECODERS = 16
"""Threads that decode, where there are so many processors."""

AT_ONCE = 4
"""Frames that one thread decodes before it has them inferred: the first one finds the caches full of the network."""


@dataclass
class _Ready:
    """A decoded frame: the network's input (1, S, S), or why there is none.

    Attributes:
        checked: it went through the check in order.
    """

    captured: Captured
    unit: NDArray[np.float32] | None = None
    problem: str = ""
    health: tuple[str, ...] = ()
    checked: bool = False


@dataclass
class _Group:
    """Frames whose rows come together, and the (K,) probabilities of those that have a unit, in order."""

    frames: list[_Ready] = field(default_factory=list)
    probabilities: list[NDArray[np.float32]] = field(default_factory=list)


class Answers:
    """Rows of frames, in order; a context manager that ends its threads.

    Where the engine's calls keep every processor busy, each thread decodes the frames that it then has inferred: what
    passes from thread to thread costs time that the engine lacks. Elsewhere (a GPU, or more processors than calls are
    worth making at once) some threads decode and others wait for the engine.

    Args:
        engine: opened; not closed. As many of its calls run side by side as it has lanes.
        spec: what the raw frames mean. size: side of the network's input, pixels.
        batch: frames in one call; the last one, and one with unusable frames, may have fewer.
        check: of the frames' format, in order; holds the size that the first one pins.
    """

    def __init__(self, engine: Engine, spec: SensorSpec, size: int, batch: int, check: FormatCheck) -> None:
        self._engine, self._spec, self._size, self._batch, self._check = engine, spec, size, batch, check
        processors = usable_cpus()
        decoders = min(processors, MOST_DECODERS)
        self._together = on_cpu(engine) and engine.lanes >= processors
        self._ended = False
        self._decoders = ThreadPoolExecutor(decoders, "tgkt-edge decode")
        self._lanes = ThreadPoolExecutor(engine.lanes, "tgkt-edge lane")
        self._ahead = batch * (engine.lanes + 1) + 2 * decoders
        self._most_groups = 2 * engine.lanes if self._together else engine.lanes + 1

    def rows(self, jobs: Iterator[Job]) -> Iterator[list[Row]]:
        """The rows of a few frames at a time.

        Raises:
            SourceLostError: (exit 5) the first readable frame contradicts the SensorSpec.
            TgktEdgeError: (exit 1) the engine failed.
        """
        groups = self._whole_groups(jobs) if self._together else self._decoded_groups(jobs)
        inferring: deque[Future[_Group]] = deque()
        for group in groups:
            inferring.append(group)
            if len(inferring) > self._most_groups:
                yield self._rows_of(inferring.popleft().result())
        while inferring:
            yield self._rows_of(inferring.popleft().result())

    def _whole_groups(self, jobs: Iterator[Job]) -> Iterator[Future[_Group]]:
        """A few batches of frames after the other, each decoded and inferred by one thread."""
        several, begun = max(1, AT_ONCE // self._batch), 0
        # One by one at first, so that few frames keep all threads busy, too.
        while some := list(islice(jobs, self._batch * (several if begun > 4 * self._engine.lanes else 1))):
            begun += 1
            yield self._lanes.submit(self._answer, some)

    def _answer(self, jobs: Sequence[Job]) -> _Group:
        return self._infer(_Group([self._decode(job) for job in jobs]))

    def _decoded_groups(self, jobs: Iterator[Job]) -> Iterator[Future[_Group]]:
        """Full batches of usable frames, which other threads decoded."""
        decoding: deque[Future[_Ready]] = deque()
        group, usable = _Group(), 0
        while True:
            for job in islice(jobs, self._ahead - len(decoding)):
                decoding.append(self._decoders.submit(self._decode, job))
            if not decoding:
                break
            group.frames.append(self._checked(decoding.popleft().result()))
            usable += group.frames[-1].unit is not None
            if usable < self._batch and len(group.frames) < 4 * self._batch:
                continue
            yield self._lanes.submit(self._infer, group)
            group, usable = _Group(), 0
        yield self._lanes.submit(self._infer, group)

    def _infer(self, group: _Group) -> _Group:
        units = [ready.unit for ready in group.frames if ready.unit is not None]
        for first in range(0, len(units), self._batch):
            if self._ended:
                break  # nobody asks for the rows
            some = units[first : first + self._batch]
            batch = some[0][np.newaxis] if len(some) == 1 else np.stack(some)
            group.probabilities.extend(self._engine.infer(batch)[1])
        return group

    def _decode(self, job: Job) -> _Ready:
        captured = job()
        frame = captured.frame
        if frame is None:
            return _Ready(captured)
        try:
            (self._check.pinned or self._spec).check(frame, captured.name)
        except FrameError:
            return _Ready(captured)  # the check in order says so
        ready = prepare(frame, self._spec, self._size, captured.name)
        return _Ready(captured, ready.unit, ready.problem, flags_of(frame, self._spec))

    def _checked(self, ready: _Ready) -> _Ready:
        """``ready`` after the check in order, without the raw frame, which would take memory until it is answered."""
        problem = self._check.problem_of(ready.captured)
        captured = replace(ready.captured, frame=None)
        if problem:
            return _Ready(captured, None, problem, checked=True)
        return replace(ready, captured=captured, checked=True)

    def _rows_of(self, group: _Group) -> list[Row]:
        answers = iter(group.probabilities)
        return [self._row(ready, next(answers) if ready.unit is not None else None) for ready in group.frames]

    def _row(self, ready: _Ready, probabilities: NDArray[np.float32] | None) -> Row:
        captured = ready.captured
        health, error = ready.health, "" if ready.checked else self._check.problem_of(captured)
        if error:
            health, probabilities = (), None
        elif probabilities is None:
            error = ready.problem
        elif not np.isfinite(probabilities).all():
            error, probabilities = (
                f"{captured.name}: the model answered with numbers that are not finite",
                None,
            )
        return Row(
            captured.number,
            captured.time,
            captured.name,
            probabilities,
            health,
            phrase(error) if error else "",
        )

    def __enter__(self) -> Answers:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._ended = True
        self._decoders.shutdown(cancel_futures=True)
        self._lanes.shutdown(cancel_futures=True)
