"""From a captured frame to its decision: preprocess, infer, decide; and the time of each."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import SourceLostError
from tgkt_edge.evaluation.temperature import soften
from tgkt_edge.monitoring.reference_stats import Statistics as AdaptationStatistics
from tgkt_edge.notes import phrase
from tgkt_edge.optional_deps import require
from tgkt_edge.preprocess import make_ready
from tgkt_edge.runtime.capture.frame import Frame
from tgkt_edge.runtime.engines.base import Engine
from tgkt_edge.runtime.engines.calibrated import CalibratedEngine, uncalibrated
from tgkt_edge.runtime.events import HealthEvent
from tgkt_edge.runtime.health.drift import Drift
from tgkt_edge.runtime.health.scale import ScaleWatch
from tgkt_edge.runtime.health.sensor_flags import Health
from tgkt_edge.runtime.infer.evidence import never, with_evidence
from tgkt_edge.runtime.infer.preprocess_stage import (
    FormatCheck,
    Pending,
    Prepared,
    infer,
    prepare,
    sensor_hint,
)
from tgkt_edge.runtime.infer.smoothing import Decider
from tgkt_edge.runtime.output.metrics import AGE, Statistics
from tgkt_edge.runtime.records import BadFrame, Candidate, Decision
from tgkt_edge.runtime.sources.base import Captured
from tgkt_edge.sensor import SensorSpec


@dataclass(frozen=True)
class Begun:
    """A frame that only its inference is missing of.

    Attributes:
        ready: preprocessed, if it can be used. flags, events: what its raw counts say of the sensor's health.
        live: whether it comes from a camera.
    """

    frame: Frame
    ready: Prepared
    live: bool
    flags: Sequence[str] = ()
    events: Sequence[HealthEvent] = ()


class Processor:
    """Turns captured frames into decisions, and counts. To be closed before its engine is.

    Args:
        camera: its name, which records then have; empty: none.
        evidence: whether decisions tell how much evidence lies on pixels without a measurement.
        maps: whether the next decisions come with their maps; asked before each inference.
    """

    def __init__(
        self,
        engine: Engine,
        spec: SensorSpec,
        classes: Sequence[str],
        size: int,
        top_k: int,
        decider: Decider,
        statistics: AdaptationStatistics | None = None,
        camera: str = "",
        evidence: bool = False,
        maps: Callable[[], bool] = never,
    ) -> None:
        self.stats = Statistics()
        self._evidence, self._maps = evidence, maps
        self._camera = camera
        # The network's own probabilities are what drift is measured on: they are calibrated here, for the decision.
        self._temperature = engine.temperature if isinstance(engine, CalibratedEngine) else 1.0
        self._engine = uncalibrated(engine)
        self._decider, self._classes, self._top_k = decider, classes, top_k
        self._spec, self._size = spec, size
        self._check = FormatCheck(spec)
        self._last_error, self._last_was_read = "", False
        self._health: Health | None = None
        self._statistics = statistics
        self._drift: Drift | None = None
        self._scale: ScaleWatch | None = None
        self._cleared: list[HealthEvent] = []  # flags of a bundle before that are on no longer
        self._lanes: ThreadPoolExecutor | None = None
        if engine.lanes > 1:
            self._lanes = ThreadPoolExecutor(engine.lanes, "tgkt-edge lane")
        require("cv2", "cpu", "preprocessing frames")
        make_ready(spec, size)  # no frame's latency

    def close(self) -> None:
        """Wait for the inferences that run in lanes; those that have not begun never will. Twice is harmless."""
        if self._lanes is not None:
            self._lanes.shutdown(cancel_futures=True)

    def prepare(self, captured: Captured) -> Pending:
        """Check and preprocess a frame, and where the engine has lanes begin its inference in one of them.

        May be called in another thread, ahead of :meth:`decide`; always in the frames' order.
        """
        try:
            problem = self._check.problem_of(captured)
        except SourceLostError as error:
            refused = error

            def refuse() -> Prepared:
                raise refused

            return refuse
        if not problem and self._lanes is not None:
            return self._lanes.submit(self._in_lane, captured).result
        ready = self._prepared(captured, problem)
        return lambda: ready

    def _prepared(self, captured: Captured, problem: str) -> Prepared:
        if problem or captured.frame is None:
            return Prepared(problem=problem)
        ready = prepare(captured.frame, self._spec, self._size, captured.name)
        return replace(ready, mapped=True) if self._evidence or self._maps() else ready

    def _in_lane(self, captured: Captured) -> Prepared:
        return infer(self._prepared(captured, ""), self._engine)

    def decide(self, frame: Frame, live: bool = False) -> tuple[list[HealthEvent], Decision | BadFrame]:
        """The decision on one frame, and the health flags that change with it.

        Args:
            live: whether it comes from a camera, not from a recording.

        Raises:
            SourceLostError: (exit 5) it is the first readable frame and contradicts the SensorSpec.
        """
        begun = self.begin(frame, live)
        return self.finish(begun, infer(begun.ready, self._engine))

    def begin(self, frame: Frame, live: bool = False) -> Begun:
        """All of :meth:`decide` before the inference. Raises as it."""
        captured = frame.captured
        if frame.prepared is not None:
            ready = frame.prepared()
        else:
            ready = self._prepared(captured, self._check.problem_of(captured))
        raw = ready.raw
        if raw is None:
            return Begun(frame, ready, live)
        ready = self._fitting(ready, captured.name)
        if self._health is None:
            self._health = Health(self._spec, live)
        if self._drift is None and self._statistics is not None:
            self._drift = Drift(self._statistics, live)
            if self._statistics.scale is not None:
                self._scale = ScaleWatch(self._statistics.scale, self._spec, live)
        # Now that preprocessing has brought the frame into the processor's cache.
        flags, events = self._health.look(raw, captured.time)
        events, self._cleared = [*self._cleared, *events], []
        return Begun(frame, ready, live, flags, events)

    def use(self, engine: Engine, size: int, statistics: AdaptationStatistics | None) -> None:
        """Decide with another network of the same classes and SensorSpec from the next frame on.

        Smoothing goes on; what is normal is the new bundle's. For the thread that decides, between two frames, and not
        while inferences run in lanes.
        """
        now = time.time()
        for watch in (self._drift, self._scale):
            self._cleared += watch.cleared(now) if watch is not None else []
        self._temperature = engine.temperature if isinstance(engine, CalibratedEngine) else 1.0
        self._engine, self._size, self._statistics = uncalibrated(engine), size, statistics
        self._drift = self._scale = None

    def refit(self, begun: Begun) -> Begun:
        """A frame that was begun before :meth:`use`, as the new network takes it."""
        return replace(begun, ready=self._fitting(begun.ready, begun.frame.captured.name))

    def _fitting(self, ready: Prepared, name: str) -> Prepared:
        if ready.raw is None or ready.unit is None or ready.unit.shape[-1] == self._size:
            return ready
        return replace(prepare(ready.raw, self._spec, self._size, name), mapped=ready.mapped)

    def finish(self, begun: Begun, ready: Prepared) -> tuple[list[HealthEvent], Decision | BadFrame]:
        """All of :meth:`decide` after the inference; frames in the order in which they were begun.

        Args:
            ready: that of ``begun``, with the engine's answer if it can be used.
        """
        done = time.perf_counter()
        captured, live, raw = begun.frame.captured, begun.live, ready.raw
        flags, events = list(begun.flags), list(begun.events)
        if raw is None or ready.unit is None or ready.answer is None or self._health is None:
            return events, self._bad(captured, ready.problem, flags)
        logits, own = ready.answer  # (1, K)
        probabilities = own if self._temperature == 1 else soften(logits, self._temperature)
        if not np.isfinite(probabilities).all():
            return events, self._bad(
                captured, f"{captured.name}: the model answered with numbers that are not finite"
            )
        ms = {
            "capture": captured.seconds * 1e3,
            "preprocess": ready.seconds * 1e3,
            "inference": ready.inference * 1e3,
            "total": (captured.seconds + done - begun.frame.arrived) * 1e3,
        }
        if live:
            # A clock set back meanwhile is no time travel; a recording's timestamps say when it was recorded.
            ms[AGE] = max(0.0, time.time() - captured.time) * 1e3
        decided = self._decider.decide(probabilities[0], captured.time)
        drift = None
        if self._drift is not None:
            drift, drifted, more = self._drift.look(ready.unit, self._health.invalid, own[0], captured.time)
            flags, events = [*flags, *drifted], [*events, *more]
        if drift is not None and self._scale is not None:
            distance, drifted, more = self._scale.look(raw, captured.time)
            drift = {**drift, "scale": distance}
            flags, events = [*flags, *drifted], [*events, *more]
        self.stats.count(decided.label, ms, done)
        decision = Decision(
            label=decided.label,
            probability=decided.probability,
            top=top_of(probabilities[0], self._classes, self._top_k),
            health=tuple(flags),
            ms=ms,
            time=captured.time,
            frame=captured.number,
            source=captured.name,
            drift=drift,
            lost=captured.lost,
            camera=self._camera,
        )
        if ready.maps is not None:
            decision = with_evidence(decision, ready.maps[0], raw, self._spec, self._size, self._classes)
            decision = decision if self._maps() else replace(decision, maps=None)
        return events, decision

    def refuse_run(self, name: str) -> None:
        """Raise SourceLostError: not one frame could be classified."""
        if not self.stats.frames:
            raise SourceLostError(f"{name}: not a single frame came. Is the recording empty or damaged?")
        hint = f" {sensor_hint()}" if self._last_was_read else ""
        last = self._last_error if self._last_error.endswith(("?", ".")) else f"{self._last_error}."
        raise SourceLostError(
            f"{name}: none of {self.stats.frames} frames could be classified. The last one: {last}{hint}"
        )

    def _bad(self, captured: Captured, error: str, flags: Sequence[str] = ()) -> BadFrame:
        self._last_error, self._last_was_read = error, captured.frame is not None
        self.stats.count_bad(time.perf_counter())
        return BadFrame(
            phrase(error),
            tuple(flags),
            captured.time,
            captured.number,
            captured.name,
            captured.lost,
            self._camera,
        )


def top_of(probabilities: NDArray[np.float32], classes: Sequence[str], count: int) -> tuple[Candidate, ...]:
    """The ``count`` likeliest of (K,) probabilities, best first; equal ones in the classes' order."""
    order = np.argsort(-probabilities, kind="stable")[:count]
    return tuple(Candidate(classes[index], float(probabilities[index])) for index in order)
