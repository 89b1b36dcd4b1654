"""Several sources, one engine: the newest frames in turn, so that none waits for a camera that is slow or gone.

Each camera has a :class:`RecordStream` of its own: capture thread, SensorSpec, reconnects, smoothing, drift and health.
One thread takes their frames round robin and infers; what a camera's driver does, it does in the camera's own thread.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, replace
from types import TracebackType

from tgkt_edge.errors import SourceLostError, TgktEdgeError
from tgkt_edge.runtime.cameras.batches import infer_together
from tgkt_edge.runtime.cameras.names import for_camera
from tgkt_edge.runtime.engines.base import Engine
from tgkt_edge.runtime.engines.calibrated import uncalibrated
from tgkt_edge.runtime.events import HealthEvent, StateEvent
from tgkt_edge.runtime.infer.processor import Begun
from tgkt_edge.runtime.output.metrics import Statistics
from tgkt_edge.runtime.output.summary import CameraSummary
from tgkt_edge.runtime.records import BadFrame, Decision
from tgkt_edge.runtime.sinks.base import Message
from tgkt_edge.runtime.stream import Network, RecordStream

_LOOK = 0.1  # seconds between two looks after the capture threads


@dataclass
class Member:
    """One camera of a group.

    Attributes:
        error: why it was given up; None: it was not. done: it delivers no more.
    """

    name: str
    source: str
    stream: RecordStream
    error: TgktEdgeError | None = None
    done: bool = False

    def summary(self) -> CameraSummary:
        """What it did."""
        stream, stats = self.stream, self.stream.stats
        return CameraSummary(
            source=self.source,
            frames=stats.frames,
            bad=stats.bad,
            dropped=stream.dropped,
            lost=stream.lost_frames,
            reconnects=stream.reconnects,
            format=stream.format,
            ms=stats.percentiles(),
            labels=dict(stats.labels),
            failed="" if self.error is None else str(self.error),
        )


class CameraGroup:
    """The records of several cameras; a context manager that starts reading and ends it. See :class:`RecordStream`.

    A camera that is given up (never found, lost for good, frames that contradict its SensorSpec) ends alone, with a
    last event "lost"; the others go on.

    Args:
        members: their streams made with ``bell.set`` as their ``ring``.
        bell: rung by every capture thread.
        engine: answers all of them, its probabilities not calibrated; not closed.
        sizes: batch sizes that gain, largest first.
        max_wait: seconds that a frame waits at most for others to be answered with it.

    Attributes:
        stats: running totals of all cameras.
    """

    def __init__(
        self,
        members: Sequence[Member],
        bell: threading.Event,
        engine: Engine,
        sizes: Sequence[int] = (1,),
        max_wait: float = 0.0,
    ) -> None:
        self.members, self._bell, self._engine = tuple(members), bell, engine
        self._sizes, self._max_wait = tuple(sizes), max_wait
        self._next = 0  # whose turn it is
        self._waiting: deque[tuple[Member, Begun]] = deque()
        self._looked = float("-inf")
        self.stats = Statistics()

    def take(self, seconds: float) -> list[Message]:
        """What comes next within ``seconds``, of whichever camera: nothing, or the records of one inference.

        Raises:
            TgktEdgeError: a camera cannot be asked as it was: a wrong URI, a library that is missing. Names it.
        """
        self._look_after()
        self._bell.clear()
        messages = self._gather(self._sizes[0])
        if not messages and not self._waiting:
            self._bell.wait(seconds)
            messages = self._gather(self._sizes[0])
        if self._waiting and self._max_wait and self._sizes[0] > 1:
            messages += self._wait_for_more()
        messages += self._answer()
        for message in messages:
            record = message.record
            if isinstance(record, Decision):
                self.stats.count(record.label, dict(record.ms), time.perf_counter())
            elif isinstance(record, BadFrame):
                self.stats.count_bad(time.perf_counter())
        return messages

    def _gather(self, most: int) -> list[Message]:
        """Begin what waits, one frame a camera, until ``most`` are begun; the changes of state before them."""
        messages: list[Message] = []
        count = len(self.members)
        begun = {member.name for member, _ in self._waiting}
        for place in range(self._next, self._next + count):
            if len(self._waiting) >= most:
                break
            member = self.members[place % count]
            if member.done or member.name in begun:
                continue
            messages += self._begin_next(member)
            if self._waiting and self._waiting[-1][0] is member:
                self._next = (place + 1) % count
        return messages

    def _begin_next(self, member: Member) -> list[Message]:
        messages: list[Message] = []
        try:
            while (item := member.stream.take_item(0)) is not None:
                if not isinstance(item, StateEvent):
                    self._waiting.append((member, member.stream.begin(item)))
                    break
                messages.append(Message(replace(item, camera=member.name)))
            else:
                member.done = member.stream.ended
        except SourceLostError as error:
            messages += self._give_up(member, error)
        except TgktEdgeError as error:
            error.args = (f"camera {member.name}: {for_camera(str(error), member.name)}",)
            raise
        return messages

    def _give_up(self, member: Member, error: SourceLostError) -> list[Message]:
        error.args = (for_camera(str(error), member.name),)
        member.error, member.done = error, True
        member.stream.give_up()
        others = any(not one.done for one in self.members)
        words = f"{error} It is given up{'; the others go on' if others else ''}."
        return [Message(StateEvent(time.time(), "lost", words, camera=member.name))]

    def _wait_for_more(self) -> list[Message]:
        """Until a batch is full, every camera has a frame in it, or the first has waited long enough."""
        messages: list[Message] = []
        deadline = time.monotonic() + self._max_wait
        while len(self._waiting) < min(self._sizes[0], sum(not one.done for one in self.members)):
            left = deadline - time.monotonic()
            if left <= 0 or not self._bell.wait(left):
                break
            self._bell.clear()
            messages += self._gather(self._sizes[0])
        return messages

    def _answer(self) -> list[Message]:
        """One inference of as many of the begun frames as gain from it; the rest is next."""
        if not self._waiting:
            return []
        count = next(size for size in self._sizes if size <= len(self._waiting))
        batch = [self._waiting.popleft() for _ in range(count)]
        answered = infer_together([begun.ready for _, begun in batch], self._engine)
        messages: list[Message] = []
        for (member, begun), ready in zip(batch, answered, strict=True):
            for message in member.stream.finish(begun, ready):
                record = message.record
                if isinstance(record, HealthEvent):
                    message = Message(replace(record, camera=member.name), message.frame)
                messages.append(message)
        return messages

    def _look_after(self) -> None:
        now = time.monotonic()
        if now - self._looked >= _LOOK:
            self._looked = now
            for member in self.members:
                if not member.done:
                    member.stream.check()

    def use(self, model: Network, sizes: Sequence[int] = (1,)) -> None:
        """Decide with another bundle's network from the next frame on.

        Args:
            sizes: batch sizes that gain with it, largest first.
        """
        for member in self.members:
            member.stream.use(model)
        self._engine, self._sizes = uncalibrated(model.engine), tuple(sizes)
        self._waiting = deque((member, member.stream.refit(begun)) for member, begun in self._waiting)

    @property
    def live(self) -> bool:
        """Whether one of the sources is a camera: nothing waits for a reader then."""
        return any(member.stream.live for member in self.members)

    @property
    def opened(self) -> bool:
        """Whether one of the sources was open at least once."""
        return any(member.stream.opened for member in self.members)

    @property
    def state(self) -> str | None:
        """The states of the cameras, for people; None: there is none that has one."""
        words = [f"{one.name} {one.stream.state}" for one in self.members if one.stream.state]
        return ", ".join(words) or None

    @property
    def ended(self) -> bool:
        """No source delivers more, and everything they delivered was taken."""
        return not self._waiting and all(member.done for member in self.members)

    @property
    def dropped(self) -> int:
        """Frames that were replaced by a newer one before anybody took them."""
        return sum(member.stream.dropped for member in self.members)

    @property
    def reconnects(self) -> int:
        """How often a live source was lost after it had been opened."""
        return sum(member.stream.reconnects for member in self.members)

    @property
    def lost_frames(self) -> int:
        """Frames that the cameras' drivers took and could not deliver."""
        return sum(member.stream.lost_frames for member in self.members)

    @property
    def format(self) -> str:
        """Empty: each camera has its own."""
        return ""

    def summaries(self) -> dict[str, CameraSummary]:
        """By name, what each camera did."""
        return {member.name: member.summary() for member in self.members}

    def refuse_empty(self, name: str) -> None:
        """Raise SourceLostError if a camera was given up, or gave not one frame that could be classified."""
        wrong: list[str] = []
        for member in self.members:
            stats = member.stream.stats
            if member.error is not None:
                wrong.append(f"camera {member.name}: {member.error}")
            elif stats.frames == stats.bad and (member.done or self.stats.frames == self.stats.bad):
                try:
                    member.stream.refuse_empty(member.source)
                except SourceLostError as error:
                    wrong.append(f"camera {member.name}: {for_camera(str(error), member.name)}")
        if wrong:
            raise SourceLostError(" ".join(wrong))

    def hurry(self, seconds: float) -> None:
        """Leaving waits at most so long for all drivers together."""
        for member in self.members:
            member.stream.hurry(seconds)

    def __enter__(self) -> CameraGroup:
        for member in self.members:
            member.stream.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for member in self.members:
            member.stream.give_up()
        begin = time.monotonic()
        for member in self.members:
            member.stream.hurry(max(0.0, member.stream.patience - (time.monotonic() - begin)))
            member.stream.__exit__(kind, error, trace)
