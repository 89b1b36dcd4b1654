"""Frames of a recording of ROS 1, ROS 2 or MCAP: ``FILE.mcap?topic=/camera/depth/image_raw``."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import parse_qsl

from tgkt_edge.errors import DataError, SourceLostError
from tgkt_edge.io.bags.message import Bag, Message
from tgkt_edge.io.bags.open_bag import Role, Stream, choose, is_bag, is_realsense, open_bag, streams
from tgkt_edge.io.bags.pictures import read_picture
from tgkt_edge.notes import note
from tgkt_edge.runtime.sources.base import Captured, FrameSource, opencv
from tgkt_edge.runtime.sources.realsense import SUFFIXES as REALSENSE_SUFFIXES
from tgkt_edge.sensor import SensorSpec

ROLES: dict[str, tuple[Role, ...]] = {
    "depth": ("depth",),
    "nir": ("infrared",),
    "thermal": ("infrared", "depth"),
}
"""What a topic that nobody named must show, by the kind of the sensor."""

_SUFFIXES = frozenset({".bag", ".db3", ".mcap", ".sens"})


def names_bag(uri: str) -> bool:
    """Whether ``uri`` is a recording of ROS or MCAP, with or without a topic."""
    path, _ = split_topic(uri)
    return (path.is_file() or path.is_dir()) and is_bag(path)


def of_realsense(uri: str) -> bool:
    """Whether ``uri`` is librealsense's recording, and no topic of it is named. One without a topic that is whole is
    not: librealsense does not say what is wrong with it."""
    path, topic = split_topic(uri)
    if topic is not None or path.suffix not in REALSENSE_SUFFIXES or not path.is_file():
        return False
    try:
        return is_realsense(open_bag(path))
    except DataError:
        return False


def split_topic(uri: str) -> tuple[Path, str | None]:
    """The file and the topic that ``uri`` names; None: no topic."""
    whole = Path(uri)
    if whole.exists():
        return whole, None
    name, _, query = uri.rpartition("?")
    words = dict(parse_qsl(query))
    if name and len(words) == 1 and words.keys() <= {"topic", "track"}:
        return Path(name), next(iter(words.values()))
    return whole, None


def refuse_damaged(path: Path) -> None:
    """Raise SourceLostError for a file that is named as a recording and holds none."""
    if path.suffix.lower() in _SUFFIXES:
        try:
            open_bag(path)
        except DataError as error:
            raise SourceLostError(str(error)) from error


class BagSource(FrameSource):
    """The pictures of one topic in the order in which they were recorded, with the times of their headers.

    A message that is no picture is a :class:`Captured` with ``error``; the next one follows. A recording that was cut
    off gives what is whole, and why it ends is noted.

    Args:
        uri: the recording, with ``?topic=NAME`` where it holds several that fit the sensor.
        loop: start again at its end.

    Raises:
        SourceLostError: (exit 5) it holds no such topic, or several; they are listed.
        MissingDependency: (exit 6) the library that reads this kind of recording is not installed.
    """

    live = False

    def __init__(self, uri: str, spec: SensorSpec, *, loop: bool = False) -> None:
        opencv()
        path, topic = split_topic(uri)
        try:
            self._bag: Bag = open_bag(path)
            self._stream: Stream = choose(
                self._bag, streams(self._bag), topic, ROLES[spec.kind], f"'{path}?topic=NAME'", str(path)
            )
        except DataError as error:
            raise SourceLostError(str(error)) from error
        self._name = f"{path}?topic={self._stream.topic.name}"
        self._loop, self._number, self._readable = loop, 0, 0
        self._messages: Iterator[Message] = self._bag.messages([self._stream.topic.name])

    def read(self) -> Captured | None:
        """The next frame; see :meth:`FrameSource.read`."""
        message = next(self._messages, None)
        if message is None:
            if self._bag.problem:
                note(self._bag.problem)
            if not self._loop or not self._readable:
                return None
            self._readable = 0
            self._messages = self._bag.messages([self._stream.topic.name])
            return self.read()
        number, began = self._number, time.perf_counter()
        self._number += 1
        name = f"{self._name}:{number}"
        try:
            picture = read_picture(message)
        except DataError as error:
            return Captured(None, number, message.received / 1e9, name, f"{name}: {error}")
        self._readable += 1
        taken = picture.stamp if picture.stamp > 0 else picture.received
        return Captured(picture.pixels, number, taken, name, None, time.perf_counter() - began)

    def close(self) -> None:
        """Close the file."""
        close = getattr(self._messages, "close", None)
        if close is not None:
            close()
