"""What viewers see: the newest decision and frame, and a bounded past."""

from __future__ import annotations

import threading
import time
from collections import Counter, defaultdict, deque
from dataclasses import dataclass, field
from typing import Any

from numpy.typing import NDArray

from tgkt_edge.io.addresses import redacted
from tgkt_edge.runtime.events import Event, HealthEvent, StartEvent, StateEvent, UpdateEvent
from tgkt_edge.runtime.infer.evidence import answered, crop_box
from tgkt_edge.runtime.output.metrics import FrameRate
from tgkt_edge.runtime.records import BadFrame, Decision
from tgkt_edge.runtime.sinks.base import Message, RunInfo
from tgkt_edge.runtime.sinks.live.counts import counts_of

SECONDS = 3600  # length of the timeline; one entry a second, whatever the frame rate
_EVENTS = 50  # events kept for the list
_LATENCIES = 256  # newest decisions that the percentiles are of
_FLAGS = 64  # health flags told apart; a source of ever new names must not fill the memory
_LOOKING = 3.0  # seconds after its last question for a map that a viewer counts as looking
UNHEALTHY = ("stalled", "lost")


@dataclass
class Second:
    """Decisions of one second of the timeline. ``probability`` sums, by label."""

    at: int
    labels: Counter[str] = field(default_factory=Counter)
    probability: defaultdict[str, float] = field(default_factory=lambda: defaultdict(float))
    errors: int = 0

    def row(self) -> list[Any]:
        """[second, most frequent label or None, its mean probability, decisions, errors]."""
        if not self.labels:
            return [self.at, None, 0.0, 0, self.errors]
        label, count = self.labels.most_common(1)[0]
        mean = self.probability[label] / count
        return [self.at, label, round(mean, 3), self.labels.total(), self.errors]


class LiveState:
    """Written by the sink's thread, read by the server's: every method takes the lock for microseconds.

    Times of the timeline are seconds since the run started, of a clock that no NTP turns back.

    Args:
        info: what runs; of one of several cameras, as if it were the only one.
        stale: seconds without a decision after which a live source no longer counts as healthy.
        camera: its name; empty: it has none.
    """

    def __init__(self, info: RunInfo, stale: float = 30.0, camera: str = "") -> None:
        self.info, self.camera = info, camera
        self._stale = stale
        self._lock = threading.Lock()
        self._begin = self._last = time.monotonic()
        self._version = 0
        self._latest: dict[str, Any] | None = None
        self._error: dict[str, Any] | None = None
        self._state: dict[str, Any] = {"state": "connecting", "detail": "", "time": info.started}
        self._health: dict[str, dict[str, Any]] = {}
        self._events: deque[dict[str, Any]] = deque(maxlen=_EVENTS)
        self._seconds: deque[Second] = deque(maxlen=SECONDS)
        self._ms: deque[dict[str, float]] = deque(maxlen=_LATENCIES)
        self._rate = FrameRate()
        self.format = ""  # of a camera, once it is live: "Z16 640x480"
        self._counts = {"frames": 0, "errors": 0, "dropped": 0}  # and "lost", once there are any
        self._next_number = 0
        self._frame: NDArray[Any] | None = None
        self._frame_id = 0
        self._frame_number = -1
        self._packed: dict[int, bytes] = {}
        self._maps: tuple[int, Decision] | None = None  # the newest decision with maps, and its frame's id
        self._looked = float("-inf")  # when somebody last asked for a map

    @property
    def version(self) -> int:
        """Grows with every message."""
        return self._version

    @property
    def now(self) -> float:
        """Seconds since the run started."""
        return time.monotonic() - self._begin

    def put(self, message: Message) -> int:
        """Take one message. Returns how many frames were dropped before it, by the gap in their numbers."""
        record = message.record
        now = time.monotonic()
        with self._lock:
            self._version += 1
            if isinstance(record, Event):
                self._put_event(record)
                return 0
            self._last = now
            dropped = self._put_frame(message.frame, record.frame)
            second = self._second(int(now - self._begin))
            self._rate.tick(now)
            self._counts["frames"] += 1
            values = record.to_dict()
            if "://" in record.source:  # of a source that is not ours
                values["source"] = redacted(record.source)
            if record.lost:
                self._counts["lost"] = record.lost
            if isinstance(record, BadFrame):
                self._counts["errors"] += 1
                self._error = values
                second.errors += 1
                return dropped
            self._latest = values
            if isinstance(record, Decision) and record.maps is not None:
                self._maps = (self._frame_id, record)
            second.labels[record.label] += 1
            second.probability[record.label] += record.probability
            self._ms.append(dict(record.ms))
            if (
                self._state["state"] == "connecting"
            ):  # a source that reports no states: frames are proof enough
                self._state = {"state": "live", "detail": "", "time": record.time}
            return dropped

    def _put_event(self, event: Event) -> None:
        values = event.to_dict()
        if isinstance(event, StartEvent):
            return  # of all that it holds `info` tells
        self._events.append(values)
        if isinstance(event, UpdateEvent):
            self.info = self.info.after(event)
        if isinstance(event, StateEvent):
            self._state = {key: values[key] for key in ("state", "detail", "time")}
            self.format = event.format or self.format
        elif isinstance(event, HealthEvent) and (event.flag in self._health or len(self._health) < _FLAGS):
            self._health[event.flag] = {key: values[key] for key in ("active", "value", "limit", "time")}

    def _put_frame(self, frame: NDArray[Any] | None, number: int) -> int:
        # A source that was opened again may count from 0: that is no gap.
        dropped = max(0, number - self._next_number)
        self._next_number = number + 1
        self._counts["dropped"] += dropped
        if (
            frame is not None
            and frame.ndim == 2
            and frame.dtype == self.info.sensor.numpy_dtype
            and frame.size
        ):
            self._frame, self._frame_number = frame, number
            self._frame_id += 1
            self._packed = {}
        return dropped

    def _second(self, at: int) -> Second:
        if not self._seconds or self._seconds[-1].at != at:
            self._seconds.append(Second(at))
        return self._seconds[-1]

    def update(self, since: int = 0) -> dict[str, Any]:
        """Everything for a viewer whose timeline is complete before second ``since``."""
        now = time.monotonic()
        with self._lock:
            totals = {stage: [ms[stage] for ms in self._ms if stage in ms] for stage in self._stages()}
            rows = []
            for second in reversed(self._seconds):
                if second.at < since:
                    break
                rows.append(second.row())
            flags = {flag: dict(values) for flag, values in self._health.items()}
            for flag, value in self._distances().items():
                flags[flag] = {"active": False, "limit": 1.0, **flags.get(flag, {}), "value": value}
            for flag in (self._latest or {}).get("health") or ():
                flags.setdefault(str(flag), {"value": None, "limit": None})["active"] = True
            return {
                "version": self._version,
                "now": round(now - self._begin, 2),
                "silent": round(now - self._last, 1),
                "state": self._state,
                "latest": self._latest,
                "error": self._error,
                "image": {"id": self._frame_id, "number": self._frame_number},
                "fps": round(self._rate.rate(now), 2),
                "ms": {stage: _percentiles(values) for stage, values in totals.items() if values},
                "counts": dict(self._counts),
                "health": [{"flag": flag, **values} for flag, values in sorted(flags.items())],
                "events": list(self._events),
                "timeline": rows[::-1],
            }

    def latest(self) -> dict[str, Any]:
        """Everything but the timeline."""
        update = self.update()
        del update["timeline"]
        return update

    def timeline(self) -> dict[str, Any]:
        """The whole timeline, as columns and rows."""
        update = self.update()
        columns = ["second", "label", "probability", "decisions", "errors"]
        return {"now": update["now"], "columns": columns, "rows": update["timeline"]}

    def _distances(self) -> dict[str, Any]:
        """The newest distances from the adaptation frames, by the flag that they raise."""
        drift = (self._latest or {}).get("drift") or {}
        names = {"input": "input_drift", "classes": "class_drift", "scale": "wrong_scale"}
        return {flag: drift[of] for of, flag in names.items() if of in drift}

    def _stages(self) -> list[str]:
        return list(self._ms[-1]) if self._ms else []

    def verdict(self) -> tuple[bool, dict[str, Any]]:
        """Whether the source is well, and why: stalled, lost, or (opened again or not) silent for ``stale`` is not."""
        with self._lock:
            silent = time.monotonic() - self._last
            name = str(self._state["state"])
            quiet = name not in UNHEALTHY and silent > self._stale
            well = name not in UNHEALTHY and not quiet
            reason = "silent" if quiet else name
            return well, {
                "ok": well,
                "state": reason,
                "detail": self._state["detail"],
                "silent_s": round(silent, 1),
            }

    @property
    def wants_maps(self) -> bool:
        """Whether somebody looks at evidence: asked for it a moment ago."""
        return time.monotonic() - self._looked < _LOOKING

    def evidence(self, label: str | None = None) -> dict[str, Any] | None:
        """The map of evidence for a class on the newest frame that has one, and which part of the frame it covers.

        Maps are computed only on demand: a call requests them for the next frames.

        Args:
            label: a class; None: the one that was decided, or likeliest where that is "unknown".

        Returns:
            None: no map yet, or only of frames that are no longer shown.
        """
        fresh = self.wants_maps
        self._looked = time.monotonic()
        with self._lock:
            found = self._maps
        if found is None or not fresh:
            return None
        key, decision = found
        assert decision.maps is not None
        classes = list(self.info.classes)
        index = answered(decision, classes) if label is None else classes.index(label)
        values = decision.maps[index]
        return {
            "id": key,
            "number": decision.frame,
            "label": classes[index],
            "logit": round(float(values.mean()), 4),
            "rows": values.shape[0],
            "columns": values.shape[1],
            "box": [round(side, 5) for side in crop_box(self.info.size)],
            "values": [round(float(value), 4) for value in values.ravel()],
        }

    def image(self, width: int) -> tuple[bytes, dict[str, int]] | None:
        """The newest frame as little-endian uint16 counts (:mod:`.counts`); None before the first.

        Every ``step``-th pixel of every ``step``-th row is sent, so that each value is one the sensor wrote.

        Args:
            width: at most so many columns.

        Returns:
            the bytes, and ``id``, ``number``, ``width``, ``height``, ``step``.
        """
        with self._lock:
            frame, key, number = self._frame, self._frame_id, self._frame_number
            if frame is None:
                return None
            step = -(-frame.shape[1] // width)
            packed = self._packed.get(step)
        view = frame[::step, ::step]
        if packed is None:  # several viewers share one copy
            packed = counts_of(view, self.info.sensor).tobytes()
            with self._lock:
                if self._frame_id == key:
                    self._packed[step] = packed
        about = {"id": key, "number": number, "width": view.shape[1], "height": view.shape[0], "step": step}
        return packed, about


def _percentiles(values: list[float]) -> dict[str, float]:
    ordered = sorted(values)
    return {
        "p50": round(ordered[len(ordered) // 2], 3),
        "p90": round(ordered[min(len(ordered) - 1, len(ordered) * 9 // 10)], 3),
    }
