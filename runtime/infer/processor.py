"""One captured frame to one record: check, preprocess, classify, measure the time of each."""

from __future__ import annotations

import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import FrameError, SourceLostError
from tgkt_edge.evaluation.temperature import soften
from tgkt_edge.monitoring.reference_stats import Statistics as AdaptationStatistics
from tgkt_edge.optional_deps import require
from tgkt_edge.preprocess import make_ready
from tgkt_edge.runtime.engines.base import Engine
from tgkt_edge.runtime.health.drift import Drift
from tgkt_edge.runtime.health.scale import ScaleWatch
from tgkt_edge.runtime.health.sensor_flags import Health
from tgkt_edge.runtime.infer.preprocess_stage import Pending, Prepared, infer, prepare
from tgkt_edge.runtime.infer.smoothing import Decider
from tgkt_edge.runtime.output.metrics import AGE, Statistics
from tgkt_edge.runtime.output.records import answer_record, error_record
from tgkt_edge.runtime.sources.base import Captured
from tgkt_edge.sensor import PRESETS, SensorSpec


class Worker:
    """Turns one captured frame into one record, and counts. To be closed before its engine is."""

    def __init__(
        self,
        engine: Engine,
        spec: SensorSpec,
        classes: Sequence[str],
        size: int,
        top_k: int,
        decider: Decider,
        statistics: AdaptationStatistics | None = None,
    ) -> None:
        self.stats = Statistics()
        self._decider = decider
        self._engine, self._spec, self._classes = engine, spec, classes
        self._size, self._top_k = size, top_k
        self._format: SensorSpec | None = None  # of the first frame; all others must have it
        self._last_error = ""
        self._health: Health | None = None
        self._statistics = statistics
        self._drift: Drift | None = None
        self._scale: ScaleWatch | None = None
        self._lanes: ThreadPoolExecutor | None = None
        if engine.lanes > 1:
            self._lanes = ThreadPoolExecutor(engine.lanes, "tgkt-edge lane")
        self.events: list[dict[str, Any]] = []  # for the pipeline to take
        require("cv2", "cpu", "preprocessing frames")
        make_ready(spec, size)  # no frame's latency

    def close(self) -> None:
        """Wait for the inferences that run in lanes; those that have not begun never will. Twice is harmless."""
        if self._lanes is not None:
            self._lanes.shutdown(cancel_futures=True)

    def prepare(self, captured: Captured) -> Pending:
        """Preprocess a frame, and where the engine has lanes begin its inference in one of them.

        May be called in another thread, ahead of :meth:`answer`.
        """
        if self._lanes is not None:
            return self._lanes.submit(self._in_lane, captured).result
        ready = prepare(captured, self._spec, self._size)
        return lambda: ready

    def _in_lane(self, captured: Captured) -> Prepared:
        return infer(prepare(captured, self._spec, self._size), self._engine)

    def answer(
        self, captured: Captured, arrived: float, live: bool = False, prepared: Pending | None = None
    ) -> dict[str, Any]:
        """The record of one frame that was in memory at ``arrived`` (``time.perf_counter``).

        Health flags that change with it are appended to ``events``.

        Args:
            live: whether it comes from a camera, not from a recording.
            prepared: what :meth:`prepare` made of it; None: do that now.

        Raises:
            SourceLostError: (exit 5) it is the first readable frame and contradicts the SensorSpec.
        """
        if captured.frame is None:
            return self._bad(captured, captured.error or "the source gave no frame and no reason")
        if self._format is None:
            self._format = self._format_of_first(captured.frame, captured.name)
        try:
            self._format.check(captured.frame, captured.name)
        except FrameError as error:
            return self._bad(captured, str(error))
        if self._health is None:
            self._health = Health(self._spec, live)
            if self._statistics is not None:
                self._drift = Drift(self._statistics, live)
                if self._statistics.scale is not None:
                    self._scale = ScaleWatch(self._statistics.scale, self._spec, live)
        ready = prepared() if prepared is not None else prepare(captured, self._spec, self._size)
        # Now that preprocessing has brought the frame into the processor's cache.
        flags, events = self._health.look(captured.frame, captured.time)
        self.events += events
        ready = infer(ready, self._engine)
        if ready.unit is None or ready.answer is None:
            return with_flags(self._bad(captured, ready.problem), flags)
        done = time.perf_counter()
        logits, probabilities = ready.answer  # (1, K)
        if not np.isfinite(probabilities).all():
            return self._bad(
                captured, f"{captured.name}: the model answered with numbers that are not finite"
            )
        ms = {
            "capture": captured.seconds * 1e3,
            "preprocess": ready.seconds * 1e3,
            "inference": ready.inference * 1e3,
            "total": (captured.seconds + done - arrived) * 1e3,
        }
        if live:
            # A clock set back meanwhile is no time travel; a recording's timestamps say when it was recorded.
            ms[AGE] = max(0.0, time.time() - captured.time) * 1e3
        decision = self._decider.decide(probabilities[0], captured.time)
        record = answer_record(captured, probabilities[0], self._classes, self._top_k, ms, decision)
        if self._drift is not None:
            record["drift"], drifted, events = self._drift.look(
                ready.unit, self._health.invalid, soften(logits, 1.0)[0], captured.time
            )
            flags, self.events = [*flags, *drifted], [*self.events, *events]
        if self._scale is not None:
            record["drift"]["scale"], drifted, events = self._scale.look(captured.frame, captured.time)
            flags, self.events = [*flags, *drifted], [*self.events, *events]
        self.stats.count(record["label"], ms, done)
        return with_flags(record, flags)

    def refuse_run(self, name: str) -> None:
        """Raise SourceLostError: not one frame could be classified."""
        if not self.stats.frames:
            raise SourceLostError(f"{name}: not a single frame came. Is the recording empty or damaged?")
        raise SourceLostError(
            f"{name}: none of {self.stats.frames} frames could be classified. The last one: {self._last_error} "
            f"{_sensor_hint()}"
        )

    def _format_of_first(self, frame: NDArray[Any], name: str) -> SensorSpec:
        """Refuse a source of another format; pin the size, so that a later frame of another one is a bad frame."""
        try:
            self._spec.check(frame, name)
        except FrameError as error:
            raise SourceLostError(f"{error} {_sensor_hint()}") from error
        if self._spec.size is not None:
            return self._spec
        height, width = frame.shape
        return self._spec.with_size(width, height)

    def _bad(self, captured: Captured, error: str) -> dict[str, Any]:
        self._last_error = error
        self.stats.count_bad(time.perf_counter())
        return error_record(captured, error)


def with_flags(record: dict[str, Any], flags: list[str]) -> dict[str, Any]:
    """``record``, with ``health`` if a flag is on."""
    return {**record, "health": flags} if flags else record


def _sensor_hint() -> str:
    return (
        f"If this camera writes its frames differently than the one the bundle was adapted with, say how with "
        f"--sensor: a preset ({', '.join(PRESETS)}) or a YAML file."
    )
