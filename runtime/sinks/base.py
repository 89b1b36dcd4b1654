"""The interface between the pipeline and whatever takes its decisions."""

from __future__ import annotations

import secrets
import socket
import time
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timezone
from functools import cached_property
from typing import Any

from numpy.typing import NDArray

from tgkt_edge import __version__
from tgkt_edge.runtime.engines.base import Engine, Grid, grid_of
from tgkt_edge.runtime.events import NamedCamera, StartEvent, UpdateEvent
from tgkt_edge.runtime.records import Record
from tgkt_edge.runtime.sinks.json_encoding import encode
from tgkt_edge.sensor import SensorSpec


@dataclass(frozen=True)
class RunInfo:
    """What a sink may want to know before the first message.

    Attributes:
        source: the camera's URI as given, without any password in it; where cameras have names, all of them.
        engine: library and device, for people.
        classes: names in the order of the logits.
        sensor: what a raw frame means.
        size: side of the network's input, pixels.
        maps: rows and columns of its maps of evidence; None: it has none.
        started: Unix seconds, UTC.
        run, bundle, device, precision, cameras: see :class:`tgkt_edge.runtime.events.StartEvent`.
    """

    source: str
    engine: str
    classes: Sequence[str]
    sensor: SensorSpec
    size: int
    started: float
    run: str = ""
    bundle: str | None = None
    device: str = ""
    precision: str | None = None
    maps: Grid | None = None
    cameras: tuple[NamedCamera, ...] = ()

    @classmethod
    def of_run(
        cls,
        source: str,
        engine: Engine,
        classes: Sequence[str],
        sensor: SensorSpec,
        size: int,
        bundle: str | None,
        cameras: Sequence[NamedCamera] = (),
    ) -> RunInfo:
        """Of a run that begins now."""
        now = time.time()
        run = f"{datetime.fromtimestamp(now, timezone.utc):%Y%m%dT%H%M%SZ}-{secrets.token_hex(4)}"
        precision = getattr(engine, "precision", None)
        device = socket.gethostname()
        return cls(
            source, engine.name, classes, sensor, size, now, run, bundle, device, precision, grid_of(engine),
            tuple(cameras),
        )  # fmt: skip

    def of_camera(self, camera: NamedCamera) -> RunInfo:
        """The same run as if ``camera`` were its only one."""
        return replace(self, source=camera.source, sensor=camera.sensor, cameras=())

    def after(self, event: UpdateEvent) -> RunInfo:
        """The same run once a bundle was offered: with it, if it was accepted."""
        if event.state != "accepted":
            return self
        return replace(self, bundle=event.bundle, engine=event.engine, precision=event.precision)

    def start_event(self) -> StartEvent:
        """The run's first record."""
        return StartEvent(
            time=self.started,
            run=self.run,
            bundle=self.bundle,
            device=self.device,
            camera=self.source,
            engine=self.engine,
            precision=self.precision,
            classes=tuple(self.classes),
            sensor=self.sensor.to_dict(),
            size=self.size,
            version=__version__,
            cameras=self.cameras,
        )


@dataclass(frozen=True)
class Message:
    """One line of the output, and the frame that it is about.

    Attributes:
        record: a decision, a frame that could not be used, or an event.
        frame: (H, W) raw counts as captured, never written to; None for events and unreadable frames.
    """

    record: Record
    frame: NDArray[Any] | None = None

    @cached_property
    def text(self) -> str:
        """The record's JSON object, one line without its end: made once for all sinks. Raises as :func:`encode`."""
        return encode(self.record.to_dict())


class Sink(ABC):
    """Takes messages, in order, from one thread of its own: it may block without delaying a decision.

    Attributes:
        name: its URI without any password in it, for messages.
        lossless: every message counts (a log). False: only the newest matter, so messages may be dropped while it is
            busy (a page, a video).
        dropped: messages that it had taken and lost after all, e.g. because its own buffer was full.
        page: address that a person may open in a browser, once it is open.
        trouble: why what it takes is not delivered at present, where it takes it all the same.
    """

    name: str = "sink"
    lossless: bool = True
    dropped: int = 0
    trouble: str = ""
    page: str = ""

    @property
    def wants_maps(self) -> bool:
        """Whether the next decisions should come with their maps of evidence."""
        return False

    @abstractmethod
    def open(self, info: RunInfo) -> None:
        """Called once, before the run starts, in the main thread.

        Raises:
            UsageError: (exit 2) the place cannot be written, the port is in use, a certificate is bad.
        """

    @abstractmethod
    def write(self, message: Message) -> None:
        """Take one message.

        Raises:
            OSError: it could not be written now. The message is lost unless the sink keeps it; the run goes on and the
                failure is counted and said once.
        """

    @abstractmethod
    def close(self) -> None:
        """Flush and release, within two seconds. Closing twice is harmless."""


class DirectSink(Sink):
    """A sink that the thread which decides writes to: one thread more would cost each decision its latency.

    So its ``write`` must not wait for a slow taker, except where it is told that the frames can wait.

    Attributes:
        on_terminal: it writes where a person may be looking.
    """

    on_terminal: bool = False

    @property
    @abstractmethod
    def lost(self) -> int:
        """Messages that nobody took in time."""

    @abstractmethod
    def write(self, message: Message, *, patient: bool = False) -> None:
        """Take one message.

        Args:
            patient: the source can wait: return when the message is taken, or the run is told to end.

        Raises:
            ReaderGoneError: nobody reads any more.
            TgktEdgeError: (exit 1) it cannot be written, e.g. the disk is full.
        """

    @abstractmethod
    def flush(self) -> None:
        """Write what is taken now. Raises as :meth:`write`."""

    @abstractmethod
    def finish(self, seconds: float) -> None:
        """Write what waits, within ``seconds``; what is not taken by then is lost. Raises as :meth:`write`."""

    def close(self) -> None:
        """Nothing to do: :meth:`finish` has written."""


class ReaderGoneError(Exception):
    """Nobody reads a sink's output any more: the end of a run like any other."""
