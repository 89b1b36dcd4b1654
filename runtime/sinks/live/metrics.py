"""The figures of a run for Prometheus."""

from __future__ import annotations

from typing import Any

from tgkt_edge.optional_deps import require
from tgkt_edge.runtime.records import BadFrame, Event, HealthEvent, StateEvent
from tgkt_edge.runtime.sinks.base import Message, RunInfo

_STATES = ["connecting", "live", "stalled", "lost"]
_BUCKETS = (
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0,
)  # seconds; close together where real networks on real devices lie  # fmt: skip
_DISTANCES = ("input", "classes")
_FLAGS = 64  # health flags told apart: label values are memory, here and in Prometheus


class Metrics:
    """Counters of one run in a registry of its own. One thread counts; any may render.

    Raises:
        MissingDependency: (exit 6) prometheus-client is not installed.
    """

    def __init__(self, info: RunInfo) -> None:
        prometheus = require("prometheus_client", "sinks", "`sinks=http://`")
        self._exposition = require("prometheus_client.exposition", "sinks", "`sinks=http://`")
        self._registry = prometheus.CollectorRegistry()

        def make(kind: Any, name: str, text: str, *labels: str, **more: Any) -> Any:
            return kind(f"tgkt_edge_{name}", text, labels, registry=self._registry, **more)

        counter, gauge, histogram = prometheus.Counter, prometheus.Gauge, prometheus.Histogram
        self._frames = make(counter, "frames", "Frames answered, with a label or with an error.")
        self._errors = make(counter, "frame_errors", "Frames that could not be used.")
        self._dropped = make(counter, "frames_dropped", "Frames replaced by a newer one before inference.")
        self._lost = make(counter, "frames_lost", "Frames that the camera's driver took and did not deliver.")
        self._lost_so_far = 0
        decisions = make(counter, "decisions", "Decisions by label.", "label")
        self._decisions = {label: decisions.labels(label) for label in (*info.classes, "unknown", "other")}
        self._stage = make(histogram, "stage_seconds", "Time a frame takes.", "stage", buckets=_BUCKETS)
        self._stages = {
            stage: self._stage.labels(stage) for stage in ("capture", "preprocess", "inference", "total")
        }
        self._age = make(
            histogram, "decision_age_seconds", "From a frame's timestamp to its decision.", buckets=_BUCKETS
        )
        self._probability = make(gauge, "probability", "Probability of the newest decision.")
        self._active = make(gauge, "health_active", "1 while a health flag is raised.", "flag")
        self._value = make(gauge, "health_value", "What a health flag measures.", "flag")
        self._drift = make(gauge, "drift", "Distance from the adaptation frames; 1 is the limit.", "of")
        self._flags: set[str] = set()
        self._state = make(prometheus.Enum, "source_state", "State of the source.", states=_STATES)
        self._told = False  # whether the pipeline says its state itself; else frames are proof enough
        self._newest = make(gauge, "newest_frame_timestamp_seconds", "Timestamp of the newest frame, Unix.")
        make(gauge, "start_timestamp_seconds", "When the run started, Unix.").set(info.started)
        source = info.source.encode(
            "utf-8", "backslashreplace"
        ).decode()  # a file may have any bytes as its name
        make(prometheus.Info, "run", "What runs.").info(
            {
                "engine": info.engine,
                "source": source,
                "sensor": info.sensor.kind,
                "run": info.run,
                "bundle": info.bundle or "",
            }
        )

    def count(self, message: Message, dropped: int) -> None:
        """Count one message, and the frames that were dropped before it."""
        record = message.record
        if isinstance(record, Event):
            self._count_event(record)
            return
        if not self._told:
            self._told = True
            self._state.state("live")
        self._frames.inc()
        if dropped:
            self._dropped.inc(dropped)
        if record.lost > self._lost_so_far:
            self._lost.inc(record.lost - self._lost_so_far)
            self._lost_so_far = record.lost
        self._newest.set(record.time)
        if isinstance(record, BadFrame):
            self._errors.inc()
            return
        self._decisions.get(record.label, self._decisions["other"]).inc()
        self._probability.set(record.probability)
        for of, distance in (record.drift or {}).items():
            if of in _DISTANCES:
                self._drift.labels(of).set(distance)
        for stage, histogram in self._stages.items():
            if stage in record.ms:
                histogram.observe(record.ms[stage] / 1e3)
        if "age" in record.ms:
            self._age.observe(max(0.0, record.ms["age"] / 1e3))  # a clock set back between is no time travel

    def _count_event(self, event: Event) -> None:
        if isinstance(event, StateEvent) and event.state in _STATES:
            self._told = True
            self._state.state(event.state)
        if isinstance(event, HealthEvent) and (event.flag in self._flags or len(self._flags) < _FLAGS):
            self._flags.add(event.flag)
            self._active.labels(event.flag).set(event.active)
            self._value.labels(event.flag).set(event.value)

    def render(self, accept: str) -> tuple[bytes, str]:
        """The page and its content type, in the format that an ``Accept`` header asks for."""
        encode, content_type = self._exposition.choose_encoder(accept)
        return encode(self._registry), content_type
