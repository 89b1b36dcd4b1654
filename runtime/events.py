"""What a run puts out beside its frames: it began, a source's state, a health flag, another bundle.

One event is one frozen object and one JSON object, as :mod:`tgkt_edge.runtime.records` says.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

from tgkt_edge.notes import phrase
from tgkt_edge.sensor import SensorSpec

SCHEMA = 1
"""Version of the JSON objects. It grows when a field changes its meaning or goes, not when one is added."""

State = Literal["connecting", "live", "stalled", "lost"]
"""connecting: being opened. live: frames come. stalled: open, but silent. lost: gone; it is opened again later."""


def of_camera(name: str) -> dict[str, str]:
    """How a record names its camera: not at all where cameras have no names."""
    return {"camera": name} if name else {}


@dataclass(frozen=True)
class Event(ABC):
    """Something that happened beside the frames.

    Attributes:
        time: Unix seconds, UTC.
    """

    event: ClassVar[str]

    time: float

    @abstractmethod
    def to_dict(self) -> dict[str, Any]:
        """Its JSON object: ``time``, ``event`` and the fields of its kind."""


@dataclass(frozen=True)
class StateEvent(Event):
    """The state of a live source changed.

    Attributes:
        detail: why, for people; may be empty.
        format: of a source that is live, what it delivers: "Z16 640x480"; empty: it does not say.
        camera: its name, where cameras have names; empty: there is one without.
    """

    event: ClassVar[str] = "state"

    state: State
    detail: str = ""
    format: str = ""
    camera: str = ""

    def to_dict(self) -> dict[str, Any]:
        """See :meth:`Event.to_dict`."""
        values: dict[str, Any] = {
            "time": round(self.time, 6),
            "event": self.event,
            **of_camera(self.camera),
            "state": self.state,
            "detail": phrase(self.detail),
        }
        return {**values, "format": self.format} if self.format else values


@dataclass(frozen=True)
class HealthEvent(Event):
    """A health flag went on or off.

    Attributes:
        flag: its name. active: whether it is on now.
        value: as measured. limit: what it was compared with.
        text: more for people, where there is more to say.
        factor, likely_unit_m: of "wrong_scale", the factor that explains the frames, and for depth the unit that fits.
        camera: its name, where cameras have names; empty: there is one without.
    """

    event: ClassVar[str] = "health"

    flag: str
    active: bool
    value: float
    limit: float
    text: str = ""
    factor: float | None = None
    likely_unit_m: float | None = None
    camera: str = ""

    def to_dict(self) -> dict[str, Any]:
        """See :meth:`Event.to_dict`."""
        values: dict[str, Any] = {
            "time": round(self.time, 6),
            "event": self.event,
            **of_camera(self.camera),
            "flag": self.flag,
            "active": self.active,
            "value": round(self.value, 4),
            "limit": self.limit,
        }
        more = {"factor": self.factor, "likely_unit_m": self.likely_unit_m, "text": self.text or None}
        return {**values, **{key: value for key, value in more.items() if value is not None}}


@dataclass(frozen=True)
class NamedCamera:
    """One of the cameras of a run whose cameras have names.

    Attributes:
        name: as records, topics and metrics have it. source: its URI, without any password. sensor: its SensorSpec.
    """

    name: str
    source: str
    sensor: SensorSpec

    def to_dict(self) -> dict[str, Any]:
        """Its JSON object."""
        return {"camera": self.name, "source": self.source, "sensor": self.sensor.to_dict()}


@dataclass(frozen=True)
class StartEvent(Event):
    """A run began: the first record of each, and what all that follow were made with.

    Attributes:
        run: an ID that no other run has; IDs of one device sort by time.
        bundle: SHA-256 of the bundle's manifest.json, hexadecimal; it names every file with its own. None: no bundle.
        device: this machine's host name. engine: library and device.
        camera: its URI, without any password; where cameras have names, all of them: "door=0, hall=rtsp://host".
        precision: of the network; None: not known.
        classes: names in the order of the network's outputs. sensor: the SensorSpec. size: side of its input, pixels.
        version: of tgkt-edge.
        cameras: where they have names.
    """

    event: ClassVar[str] = "start"

    run: str
    bundle: str | None
    device: str
    camera: str
    engine: str
    precision: str | None
    classes: tuple[str, ...]
    sensor: Mapping[str, Any]
    size: int
    version: str
    cameras: tuple[NamedCamera, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """See :meth:`Event.to_dict`."""
        values = {
            "time": round(self.time, 6),
            "event": self.event,
            "schema": SCHEMA,
            "run": self.run,
            "bundle": self.bundle,
            "device": self.device,
            "camera": self.camera,
            "engine": self.engine,
            "precision": self.precision,
            "classes": list(self.classes),
            "sensor": dict(self.sensor),
            "size": self.size,
            "version": self.version,
        }
        return values | {"cameras": [camera.to_dict() for camera in self.cameras]} if self.cameras else values


@dataclass(frozen=True)
class UpdateEvent(Event):
    """Another bundle was offered to a run that watches its own.

    Attributes:
        state: "accepted": it answers from the next frame on; "refused": the old one goes on; "unchanged": it is the
            one that answers, and was asked for.
        bundle: its digest, see :class:`StartEvent`; None: it has none that can be read. before: of the one until now.
        path: its folder. detail: why it was refused; may be empty.
        engine, precision: of one that was accepted.
        comparison: "frames" that both answered, and "agreement", "latency" and "drift" as far as they were measured.
    """

    event: ClassVar[str] = "update"

    state: str
    bundle: str | None
    before: str | None
    path: str
    detail: str = ""
    engine: str = ""
    precision: str | None = None
    comparison: Mapping[str, Any] | None = None

    def to_dict(self) -> dict[str, Any]:
        """See :meth:`Event.to_dict`."""
        values: dict[str, Any] = {
            "time": round(self.time, 6),
            "event": self.event,
            "state": self.state,
            "bundle": self.bundle,
            "before": self.before,
            "path": self.path,
            "detail": phrase(self.detail),
        }
        if self.engine:
            values |= {"engine": self.engine, "precision": self.precision}
        return values | {"comparison": dict(self.comparison)} if self.comparison else values

    def text(self) -> str:
        """One line for people."""
        measured = dict(self.comparison or {})
        frames = measured.pop("frames", 0)
        words = ", ".join(f"{name} {value:.3g}" for name, value in measured.items())
        words = f" (on {frames} frames: {words})" if words else ""
        if self.detail.startswith(self.path):
            return f"update {self.state}: {self.detail}{words}"
        why = f": {self.detail}" if self.detail else ""
        return f"update {self.state}: {self.path}{why}{words}"
