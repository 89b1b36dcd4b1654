"""From the cameras that were asked for to one stream of their records."""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from typing import Protocol

from tgkt_edge.errors import UsageError
from tgkt_edge.io.addresses import redacted
from tgkt_edge.notes import LOGGER
from tgkt_edge.runtime.cameras.batches import describe_batches, measure_batches, worth_it
from tgkt_edge.runtime.cameras.group import CameraGroup, Member
from tgkt_edge.runtime.cameras.names import Camera
from tgkt_edge.runtime.capture.reader import Drop
from tgkt_edge.runtime.capture.retry import Retry
from tgkt_edge.runtime.engines.base import Engine
from tgkt_edge.runtime.engines.calibrated import uncalibrated
from tgkt_edge.runtime.infer.evidence import never
from tgkt_edge.runtime.infer.smoothing import Decider
from tgkt_edge.runtime.sources import is_files
from tgkt_edge.runtime.stream import RecordStream
from tgkt_edge.sensor import SensorSpec

_LONGEST = 10_000.0  # milliseconds: a camera that waits longer for others is taken for stalled


class Classifier(Protocol):
    """What is needed of a :class:`tgkt_edge.runtime.model.Model`."""

    @property
    def engine(self) -> Engine:
        """What answers."""

    @property
    def sensor(self) -> SensorSpec:
        """What a raw frame means, where a camera has no sensor of its own."""

    @property
    def size(self) -> int:
        """Side of the network's input, pixels."""

    def records(
        self,
        source: str,
        *,
        top_k: int,
        loop: bool,
        drop: Drop | None,
        retry: Retry | None,
        decider: Decider,
        evidence: bool,
        maps: Callable[[], bool],
        sensor: SensorSpec,
        camera: str,
        ring: Callable[[], None],
    ) -> RecordStream:
        """All records of a source."""


def open_records(
    model: Classifier,
    cameras: Sequence[Camera],
    *,
    top_k: int = 3,
    loop: bool = False,
    drop: Drop | None = None,
    retry: Retry | None = None,
    decider: Callable[[], Decider],
    max_wait_ms: float = 0.0,
    evidence: bool = False,
    maps: Callable[[], bool] = never,
    say: Callable[[str], None] = LOGGER.info,
) -> RecordStream | CameraGroup:
    """The records of one camera without a name, or of those with names; not yet entered.

    Where several cameras are live, this measures which batches gain: some inferences.

    Args:
        decider: makes one for each camera.
        max_wait_ms: milliseconds that a frame waits at most to be answered with those of other cameras.
        evidence, maps: see :meth:`tgkt_edge.runtime.model.Model.records`.
        say: takes a line on the batches.

    Raises:
        UsageError, ConfigError: (exit 2) a bad argument; a SensorSpec that does not fit the bundle.
    """
    if not (math.isfinite(max_wait_ms) and 0 <= max_wait_ms <= _LONGEST):
        raise UsageError(f"`max_wait_ms={max_wait_ms:g}`: expected 0 to {_LONGEST:g} milliseconds")
    if max_wait_ms and len(cameras) < 2:
        raise UsageError(
            f"`max_wait_ms={max_wait_ms:g}` waits for frames of other cameras, and there is one camera only"
        )
    bell = threading.Event()
    streams = [
        model.records(
            camera.uri,
            top_k=top_k,
            loop=loop,
            drop=drop,
            retry=retry,
            decider=decider(),
            evidence=evidence,
            maps=maps,
            sensor=camera.spec(model.sensor),
            camera=camera.name,
            ring=bell.set,
        )
        for camera in cameras
    ]
    if not cameras[0].name:
        return streams[0]
    engine = uncalibrated(model.engine)
    sizes: tuple[int, ...] = (1,)
    if len(cameras) > 1 and engine.lanes == 1 and not all(is_files(camera.uri) for camera in cameras):
        seconds = measure_batches(engine, model.size, len(cameras))
        sizes = worth_it(seconds)
        say(describe_batches(seconds, sizes))
    members = [
        Member(camera.name, redacted(camera.uri), stream)
        for camera, stream in zip(cameras, streams, strict=True)
    ]
    return CameraGroup(members, bell, engine, sizes, max_wait_ms / 1e3)
