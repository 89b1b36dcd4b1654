"""What every kind of recording gives: topics, and messages in the order in which they were written."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, Literal

from tgkt_edge.alignment.rig import Rig

MAX_BYTES = 1 << 30
"""Of one record: a damaged length would ask for all memory."""


@dataclass(frozen=True)
class Topic:
    """A topic of a recording: its message type in ROS's words ("sensor_msgs/msg/Image"), how its messages are written,
    how many there are (None: not known), what reads a picture of it, where that is not ROS's way, Foxglove's or
    depthai's schema, where ``type`` is what that stands for, and seconds to add to the times of its headers to make
    them Unix time."""

    name: str
    type: str
    encoding: Literal["ros1", "cdr"] | str
    count: int | None = None
    read: Callable[[Message], Any] | None = field(default=None, compare=False)
    schema: str = ""
    shift: float = field(default=0.0, compare=False)


@dataclass(frozen=True)
class Message:
    """One message: its topic, nanoseconds since 1970 when it was recorded, and its bytes as they were sent."""

    topic: Topic
    received: int
    data: bytes | memoryview


class Bag(ABC):
    """One recording.

    Attributes:
        problem: after :meth:`messages` ended: why it could not be read to its end; empty: it could.
        unopened: of several files those that cannot be read, and why.
        unread: topics of pictures of which the first is not read, and why: known after
            :func:`tgkt_edge.io.bags.open_bag.streams`.
        silent: topics of pictures that had no message as far as that looked. searched: it looked at all messages.
    """

    problem: str = ""
    unopened: Mapping[str, str] = MappingProxyType({})
    unread: Mapping[str, str] = MappingProxyType({})
    silent: Collection[str] = ()
    searched: bool = False

    @abstractmethod
    def topics(self) -> dict[str, Topic]:
        """All topics by their names. Raises DataError if there is nothing that can be read."""

    def rig(self) -> Rig | None:
        """What the recording itself knows of a depth and a color camera; None: nothing, but in messages."""
        return None

    def unit_m(self) -> float | None:
        """Metres a count of depth, where the recording itself says it."""
        return None

    @abstractmethod
    def messages(self, names: Collection[str]) -> Iterator[Message]:
        """The messages of these topics, up to damage or a cut-off end; :attr:`problem` then describes it."""


def ros_type(name: str) -> str:
    """ROS 1's "sensor_msgs/Image" as ROS 2 has it."""
    package, slash, kind = name.rpartition("/")
    return name if "/msg" in package or not slash else f"{package}/msg/{kind}"
