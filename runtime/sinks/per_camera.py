"""A sink of its own for every camera that has a name, where one file or folder cannot hold several cameras."""

from __future__ import annotations

from collections.abc import Callable, Collection

from tgkt_edge.runtime.records import camera_of
from tgkt_edge.runtime.sinks.base import Message, RunInfo, Sink


class SinkPerCamera(Sink):
    """``run.mkv`` of one camera without a name; ``run-door.mkv`` and ``run-hall.mkv`` of two with names.

    Args:
        make: the sink of one camera by its name, of so many in all; ("", 1): there is one without.
        look: given the names before any is opened; raises UsageError where what is there does not belong to them.

    Attributes:
        sinks: by camera.
    """

    def __init__(
        self,
        make: Callable[[str, int], Sink],
        look: Callable[[Collection[str]], None] = lambda names: None,
    ) -> None:
        self._make, self._look = make, look
        first = make("", 1)
        self.name, self.lossless = first.name, first.lossless
        self.sinks = {"": first}

    def open(self, info: RunInfo) -> None:
        """Open one for each camera; if one refuses, those before it are closed again. Raises as they do."""
        infos = {camera.name: info.of_camera(camera) for camera in info.cameras} or {"": info}
        self._look(infos)
        opened: list[Sink] = []
        try:
            for name, own in infos.items():
                sink = self.sinks.setdefault(name, self._make(name, len(infos)))
                sink.open(own)
                opened.append(sink)
        except BaseException:
            for sink in opened:
                sink.close()
            raise
        self.sinks = {name: self.sinks[name] for name in infos}

    def write(self, message: Message) -> None:
        """Hand it to the camera's; what concerns all cameras to each. Raises OSError as they do."""
        name = camera_of(message.record)
        for sink in [self.sinks[name]] if name in self.sinks else list(self.sinks.values()):
            sink.write(message)

    def close(self) -> None:
        """Close all of them."""
        for sink in self.sinks.values():
            sink.close()
