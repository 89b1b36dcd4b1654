"""Several cameras in memory, and an engine that notes when it is asked."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import SourceLostError
from tgkt_edge.runtime import Captured, FrameSource
from tgkt_edge.runtime.cameras.group import CameraGroup, Member
from tgkt_edge.runtime.capture.retry import Backoff, Retry
from tgkt_edge.runtime.events import Event
from tgkt_edge.runtime.infer.smoothing import Decider
from tgkt_edge.runtime.model import Model
from tgkt_edge.runtime.records import BadFrame, Decision
from tgkt_edge.sensor import PRESETS, SensorSpec

CLASSES = ("a", "b")
SOON = Retry(backoff=Backoff(first=0.01, most=0.02))
SPEC = PRESETS["depth"]


class NotedEngine:
    """Answers by the frame's mean (above 0.5: the second class) after ``seconds``, and notes each inference.

    Attributes:
        asked: when each inference began (``time.perf_counter``), and of how many frames it was.
    """

    name = "noted"
    lanes = 1

    def __init__(self, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self.asked: list[tuple[float, int]] = []

    def infer(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        self.asked.append((time.perf_counter(), len(batch)))
        time.sleep(self.seconds)
        means = batch.mean(axis=(1, 2, 3))
        probabilities = np.stack([1 - means, means], 1).astype(np.float32)
        return np.log(np.maximum(probabilities, 1e-6)), probabilities

    def close(self) -> None:
        """Nothing is held."""


class Ticking(FrameSource):
    """Frames of one value at a pace of their own.

    Args:
        seconds: between two frames. count: frames until the end, or until it is lost if ``lost``. shape: of a frame.

    Attributes:
        arrived: by number of the frame, when it was there.
    """

    live = True

    def __init__(
        self,
        seconds: float = 0.0,
        count: int = 1_000_000,
        value: int = 4000,
        *,
        lost: bool = False,
        live: bool = True,
        shape: tuple[int, int] = (8, 8),
        dtype: Any = np.uint16,
    ) -> None:
        self.seconds, self.count, self.lost, self.live = seconds, count, lost, live
        self.frame = np.full(shape, value, dtype)
        self.arrived: dict[int, float] = {}
        self.number = 0

    def __call__(self) -> FrameSource:
        """Opened: as a new session of the same camera."""
        self.number = 0
        return self

    def read(self) -> Captured | None:
        time.sleep(self.seconds)
        if self.number == self.count:
            if self.lost:
                raise SourceLostError("/dev/video9: unplugged.")
            return None
        self.number += 1
        self.arrived[self.number - 1] = time.perf_counter()
        return Captured(self.frame, self.number - 1, time.time(), "/dev/video9")

    def close(self) -> None:
        """Nothing is held."""


class Hanging(Ticking):
    """A driver that does not come back from its third frame."""

    def read(self) -> Captured | None:
        if self.number == 3:
            time.sleep(60)
        return super().read()


def never_opens() -> FrameSource:
    """A driver that does not come back from opening."""
    time.sleep(60)
    raise AssertionError


def missing() -> FrameSource:
    """A camera that is not there."""
    raise SourceLostError("/dev/video9: no such device.")


def group_of(
    engine: Any,
    sources: Mapping[str, Callable[[], FrameSource]],
    *,
    sensors: Mapping[str, SensorSpec] | None = None,
    retry: Retry = SOON,
    sizes: Sequence[int] = (1,),
    max_wait: float = 0.0,
    smooth: float = 0.0,
    **more: Any,
) -> CameraGroup:
    """The records of sources by name, not yet entered."""
    model, bell = Model(engine, SPEC, CLASSES, 8), threading.Event()
    members = [
        Member(
            name,
            f"memory of {name}",
            model.records(
                source,
                retry=retry,
                decider=Decider(CLASSES, smooth),
                sensor=(sensors or {}).get(name),
                camera=name,
                ring=bell.set,
                **more,
            ),
        )
        for name, source in sources.items()
    ]
    return CameraGroup(members, bell, engine, sizes, max_wait)


def records_of(group: CameraGroup, seconds: float = 20.0) -> list[Decision | BadFrame | Event]:
    """All records until every camera has ended, or for so long."""
    found: list[Decision | BadFrame | Event] = []
    end = time.monotonic() + seconds
    with group:
        while not group.ended and time.monotonic() < end:
            found += [message.record for message in group.take(0.05)]
    return found
