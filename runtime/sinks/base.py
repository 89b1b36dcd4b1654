"""The interface between the pipeline and whatever takes its decisions."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from tgkt_edge.sensor import SensorSpec


@dataclass(frozen=True)
class RunInfo:
    """What a sink may want to know before the first message.

    Attributes:
        source: the camera's URI as given, without any password in it.
        engine: library and device, for people.
        classes: names in the order of the logits.
        sensor: what a raw frame means.
        size: side of the network's input, pixels.
        started: Unix seconds, UTC.
    """

    source: str
    engine: str
    classes: Sequence[str]
    sensor: SensorSpec
    size: int
    started: float


@dataclass(frozen=True)
class Message:
    """One line of the output, and the frame it speaks of.

    Attributes:
        record: a JSON object. With ``"event"`` it is an event (a change of state or of a health flag); otherwise the
            decision on one frame, or with ``"error"`` a frame that could not be used. See
            ``runtime/output/records.py``.
        frame: (H, W) raw counts as captured, never written to; None for events and unreadable frames.
    """

    record: dict[str, Any]
    frame: NDArray[Any] | None = None


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
