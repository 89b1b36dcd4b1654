"""What a run puts out: decisions, frames that could not be used, events. ``records.schema.json`` describes their JSON.

One record is one frozen object on its way through the pipeline and one JSON object where it leaves it
(:func:`tgkt_edge.runtime.sinks.json_encoding.encode`).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.runtime.events import Event, HealthEvent, StateEvent, of_camera


class Candidate(NamedTuple):
    """One class of a frame's ``top``."""

    label: str
    probability: float


@dataclass(frozen=True)
class Decision:
    """What one frame shows.

    Attributes:
        label: a class, or "unknown" where ``min_confidence`` was given and is not reached.
        probability: 0 to 1, of the likeliest class; with smoothing, of the classes' averages.
        top: this frame's own likeliest classes, without smoothing, best first.
        health: flags that are on, e.g. "invalid" or "input_drift"; see :mod:`tgkt_edge.runtime.health`.
        ms: milliseconds by stage: "capture", "preprocess", "inference", "total"; of live sources "age", from the
            frame's timestamp to its decision.
        time: Unix seconds, UTC, of the frame. frame: its number in the source, from 0. source: its file or device.
        drift: distance from the adaptation frames in multiples of the limit, "input" and perhaps "classes" and "scale";
            None: the bundle holds no statistics, or the frame was classified alone.
        lost: frames so far that the camera's driver took and could not deliver.
        camera: its name; empty: there is one camera, without a name.
        evidence_invalid: share 0 to 1 of the positive evidence for the class that was decided (the likeliest, where it
            is "unknown") that lies on pixels without a measurement; None: not requested, or there is none.
        maps: (K, h, w) float32, each class's evidence by place; the mean of each is its logit. None: not requested.
    """

    label: str
    probability: float
    top: tuple[Candidate, ...] = ()
    health: tuple[str, ...] = ()
    ms: Mapping[str, float] = field(default_factory=dict)
    time: float = 0.0
    frame: int = 0
    source: str = ""
    drift: Mapping[str, float] | None = None
    lost: int = 0
    camera: str = ""
    evidence_invalid: float | None = None
    maps: NDArray[np.float32] | None = field(default=None, repr=False, compare=False)

    def to_dict(self) -> dict[str, Any]:
        """Its JSON object, without the maps. Times are rounded to microseconds; probabilities keep all digits."""
        values: dict[str, Any] = {
            **_about(self),
            "label": self.label,
            "probability": self.probability,
            "top": [{"label": label, "probability": probability} for label, probability in self.top],
            "ms": {stage: round(value, 3) for stage, value in self.ms.items()},
        }
        if self.evidence_invalid is not None:
            values["evidence_invalid"] = self.evidence_invalid
        if self.drift is not None:
            values["drift"] = dict(self.drift)
        if self.health:
            values["health"] = list(self.health)
        return values


@dataclass(frozen=True)
class BadFrame:
    """A frame that could not be classified: unreadable, of another format, without a valid pixel.

    Attributes:
        error: why. health, time, frame, source, lost, camera: see :class:`Decision`.
    """

    error: str
    health: tuple[str, ...] = ()
    time: float = 0.0
    frame: int = 0
    source: str = ""
    lost: int = 0
    camera: str = ""

    def to_dict(self) -> dict[str, Any]:
        """Its JSON object."""
        values = {**_about(self), "error": self.error}
        if self.health:
            values["health"] = list(self.health)
        return values


def _about(record: Decision | BadFrame) -> dict[str, Any]:
    """What every record of a frame begins with. ``lost``: once there are any."""
    about: dict[str, Any] = {"time": round(record.time, 6), **of_camera(record.camera)}
    about |= {"frame": record.frame, "source": record.source}
    return {**about, "lost": record.lost} if record.lost else about


Record = Decision | BadFrame | Event
"""Whatever a run puts out."""


def camera_of(record: Record) -> str:
    """Name of the camera that a record is of; empty: of none with a name, or of all of them."""
    if isinstance(record, Decision | BadFrame | StateEvent | HealthEvent):
        return record.camera
    return ""
