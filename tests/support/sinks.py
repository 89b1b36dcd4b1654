"""A sink that is open, and what is written to it."""

from __future__ import annotations

import threading
from typing import Any

from tgkt_edge.runtime.records import Decision
from tgkt_edge.runtime.sinks import Message, RunInfo, Sink, open_sink
from tgkt_edge.sensor import PRESETS

INFO = RunInfo("v4l2:///dev/video0", "onnxruntime cpu", ("a", "b"), PRESETS["depth"], 32, 1.0)


class Kept(Sink):
    """Keeps what it is given; waits for ``gate`` first, and fails while ``broken``."""

    def __init__(
        self, name: str = "kept", *, lossless: bool = True, gate: threading.Event | None = None
    ) -> None:
        self.name, self.lossless, self.gate = name, lossless, gate
        self.messages: list[Message] = []
        self.state = "new"
        self.broken = False

    def open(self, info: RunInfo) -> None:
        self.state = "open"

    def write(self, message: Message) -> None:
        if self.gate is not None:
            self.gate.wait(60)
        if self.broken:
            raise OSError("no space left.")
        self.messages.append(message)

    def close(self) -> None:
        self.state = "closed"


def decision(number: int) -> Message:
    return Message(Decision("a", 0.5, time=1.0, frame=number, source="0"))


def opened(uri: str) -> Sink:
    sink = open_sink(uri)
    sink.open(INFO)
    return sink


def inside(sink: Sink) -> Any:
    """The sink with its private parts, for what cannot be seen from outside at a given moment."""
    return sink


def write(sink: Sink, message: Message) -> str:
    """What was said about trouble, or nothing."""
    try:
        sink.write(message)
    except OSError as error:
        return str(error)
    return ""
