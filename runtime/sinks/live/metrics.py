"""The figures of a run for Prometheus."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from tgkt_edge.data.discovery import escape_name
from tgkt_edge.optional_deps import require
from tgkt_edge.runtime.events import Event, HealthEvent, StateEvent
from tgkt_edge.runtime.records import BadFrame, Record, camera_of
from tgkt_edge.runtime.sinks.base import Message, RunInfo

_STATES = ["connecting", "live", "stalled", "lost"]
_BUCKETS = (
    0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.15, 0.2, 0.3, 0.5, 1.0, 2.0, 5.0,
)  # seconds; close together where real networks on real devices lie  # fmt: skip
_DISTANCES = ("input", "classes", "scale")
_FLAGS = 64  # health flags told apart: label values are memory, here and in Prometheus


class Metrics:
    """Counters of one run in a registry of its own. One thread counts; any may render.

    Where cameras have names, every figure but those of the run has the label ``camera``.

    Raises:
        MissingDependency: (exit 6) prometheus-client is not installed.
    """

    def __init__(self, info: RunInfo) -> None:
        prometheus = require("prometheus_client", "sinks", "`sinks=http://`")
        self._exposition = require("prometheus_client.exposition", "sinks", "`sinks=http://`")
        self._registry = prometheus.CollectorRegistry()
        names = tuple(camera.name for camera in info.cameras)

        def make(kind: Any, name: str, text: str, *labels: str, **more: Any) -> Any:
            return kind(f"tgkt_edge_{name}", text, labels, registry=self._registry, **more)

        families = _Families(make, prometheus, ("camera",) if names else ())
        self._cameras = {name: _CameraMetrics(families, info.classes, name) for name in names or ("",)}
        make(prometheus.Gauge, "start_timestamp_seconds", "When the run started, Unix.").set(info.started)
        self._run = make(prometheus.Info, "run", "What runs.")
        self.describe(info)

    def describe(self, info: RunInfo) -> None:
        """Say what runs."""
        self._run.info(
            {
                "engine": info.engine,
                "source": escape_name(info.source),
                "sensor": info.sensor.kind,
                "run": info.run,
                "bundle": info.bundle or "",
            }
        )

    def count(self, message: Message, dropped: int) -> None:
        """Count one message, and the frames that were dropped before it."""
        camera = self._cameras.get(camera_of(message.record))
        if camera is not None:
            camera.count(message.record, dropped)

    def render(self, accept: str) -> tuple[bytes, str]:
        """The page and its content type, in the format that an ``Accept`` header asks for."""
        encode, content_type = self._exposition.choose_encoder(accept)
        return encode(self._registry), content_type


class _Families:
    """The metrics of all cameras, of which each has one child.

    Args:
        make: registers a metric. labels: those that every camera's metric has.
    """

    def __init__(self, make: Callable[..., Any], prometheus: Any, labels: tuple[str, ...]) -> None:
        counter, gauge, histogram = prometheus.Counter, prometheus.Gauge, prometheus.Histogram

        def of_camera(kind: Any, name: str, text: str, *own: str, **more: Any) -> Any:
            return make(kind, name, text, *labels, *own, **more)

        self.frames = of_camera(counter, "frames", "Frames answered, with a label or with an error.")
        self.errors = of_camera(counter, "frame_errors", "Frames that could not be used.")
        self.dropped = of_camera(
            counter, "frames_dropped", "Frames replaced by a newer one before inference."
        )
        self.lost = of_camera(
            counter, "frames_lost", "Frames that the camera's driver took and did not deliver."
        )
        self.decisions = of_camera(counter, "decisions", "Decisions by label.", "label")
        self.stage = of_camera(histogram, "stage_seconds", "Time a frame takes.", "stage", buckets=_BUCKETS)
        self.age = of_camera(
            histogram, "decision_age_seconds", "From a frame's timestamp to its decision.", buckets=_BUCKETS
        )
        self.probability = of_camera(gauge, "probability", "Probability of the newest decision.")
        self.active = of_camera(gauge, "health_active", "1 while a health flag is raised.", "flag")
        self.value = of_camera(gauge, "health_value", "What a health flag measures.", "flag")
        self.drift = of_camera(gauge, "drift", "Distance from the adaptation frames; 1 is the limit.", "of")
        self.state = of_camera(prometheus.Enum, "source_state", "State of the source.", states=_STATES)
        self.newest = of_camera(
            gauge, "newest_frame_timestamp_seconds", "Timestamp of the newest frame, Unix."
        )


class _CameraMetrics:
    """One camera's figures; the camera without a name has metrics without that label."""

    def __init__(self, families: _Families, classes: Sequence[str], name: str) -> None:
        self._families, self._names = families, (name,) if name else ()
        self._flags: set[str] = set()
        self._told = False  # whether the pipeline says its state itself; else frames are proof enough
        self._lost_so_far = 0
        self._frames, self._errors = self._child(families.frames), self._child(families.errors)
        self._dropped, self._lost = self._child(families.dropped), self._child(families.lost)
        self._age, self._probability = self._child(families.age), self._child(families.probability)
        self._state, self._newest = self._child(families.state), self._child(families.newest)
        labels = (*classes, "unknown", "other")
        self._decisions = {label: self._child(families.decisions, label) for label in labels}
        stages = ("capture", "preprocess", "inference", "total")
        self._stages = {stage: self._child(families.stage, stage) for stage in stages}

    def _child(self, family: Any, *labels: str) -> Any:
        given = (*self._names, *labels)
        return family.labels(*given) if given else family

    def count(self, record: Record, dropped: int) -> None:
        """Count one record, and the frames that were dropped before it."""
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
                self._child(self._families.drift, of).set(distance)
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
            self._child(self._families.active, event.flag).set(event.active)
            self._child(self._families.value, event.flag).set(event.value)
