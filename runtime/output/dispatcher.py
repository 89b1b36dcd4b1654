"""From one run to several sinks: each has its own thread and queue, so none delays a decision or another sink.

Only a direct sink (stdout) is written at once, by the thread that decides.
"""

from __future__ import annotations

import contextlib
import dataclasses
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from types import TracebackType

from tgkt_edge.runtime.events import Event
from tgkt_edge.runtime.records import Decision
from tgkt_edge.runtime.sinks.base import DirectSink, Message, RunInfo, Sink

QUEUE = 10_000
"""Messages that wait at most for a lossless sink: ten minutes of a 15 fps camera. With more the oldest are lost."""

FRAMES = 4
"""Of the messages that wait, so many of the newest keep their picture: what bounds the memory of a sink that hangs."""

_GRACE = 2.0
"""Seconds in which a sink that is waited for has to take a message: one that does not hangs, and is waited for
again once it takes one."""

_LOOK = 0.1  # seconds between two looks at whether to stop

Say = Callable[[str], None]


class Fanout:
    """Opens sinks and hands them messages; a context manager.

    Args:
        sinks: not yet open.
        say: tells a person one line; called from the sinks' threads.
        stopping: whether the run was told to end; then no sink is waited for.

    Attributes:
        patience: seconds that leaving waits for what is still queued. A run that is not stopped loses nothing to a slow
            disk; one that is told to end must be quick, so its owner lowers this first.
    """

    def __init__(self, sinks: Sequence[Sink], say: Say, stopping: Callable[[], bool] = lambda: False) -> None:
        self._direct = [sink for sink in sinks if isinstance(sink, DirectSink)]
        self._say = say
        self._workers = [_Worker(sink, say, stopping) for sink in sinks if not isinstance(sink, DirectSink)]
        self.patience = 30.0

    def open(self, info: RunInfo) -> None:
        """Open every sink. If one refuses, those before it are closed again.

        Raises:
            UsageError: (exit 2) what :meth:`Sink.open` says.
        """
        opened: list[_Worker] = []
        try:
            for worker in self._workers:
                worker.sink.open(info)
                opened.append(worker)
        except BaseException:
            for worker in opened:
                worker.sink.close()
            raise
        for worker in opened:
            worker.start()
            if worker.sink.page:
                self._say(f"page: {worker.sink.page}")

    @property
    def on_terminal(self) -> bool:
        """Whether a direct sink writes where a person may be looking."""
        return any(sink.on_terminal for sink in self._direct)

    def write(self, message: Message, *, patient: bool = False) -> None:
        """Hand one message to every sink.

        Args:
            patient: the source can wait: no sink loses a message for being slow, unless it hangs. Without, nothing is
                waited for.

        Raises:
            ReaderGoneError, TgktEdgeError: a direct sink's.
        """
        for sink in self._direct:
            sink.write(message, patient=patient)
        for worker in self._workers:
            if patient:
                worker.wait_for_room()
            worker.put(message)

    def flush(self) -> None:
        """Let direct sinks write what is taken now. Raises as :meth:`write`."""
        for sink in self._direct:
            sink.flush()

    def finish(self, seconds: float) -> None:
        """Let direct sinks write what waits, within ``seconds``. Raises as :meth:`write`."""
        for sink in self._direct:
            sink.finish(seconds)

    def close(self) -> None:
        """Let the sinks finish within ``patience`` seconds, and close them. A sink that hangs is left behind."""
        deadline = time.monotonic() + self.patience
        for worker in self._workers:
            worker.finish(deadline)
        for worker in self._workers:
            worker.join(deadline)

    def counts(self) -> dict[str, tuple[int, int]]:
        """By sink: messages that were lost, here or in it, and that it did not write when it got them."""
        direct = {sink.name: (sink.lost, 0) for sink in self._direct}
        return direct | {
            worker.sink.name: (worker.lost + worker.sink.dropped, worker.failed) for worker in self._workers
        }

    def undelivered(self) -> dict[str, str]:
        """By sink that should have kept everything and delivered nothing at all: why."""
        return {
            worker.sink.name: worker.sink.trouble.rstrip(".") or worker.why or "it was too slow"
            for worker in self._workers
            if worker.sink.lossless and 0 < worker.taken <= worker.lost + worker.sink.dropped
        }

    def __enter__(self) -> Fanout:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Worker:
    """One sink, its queue and its thread."""

    def __init__(self, sink: Sink, say: Say, stopping: Callable[[], bool]) -> None:
        self.sink, self._say, self._stopping = sink, say, stopping
        self.taken = self.lost = self.failed = 0
        self.why = ""  # of the last message that could not be written
        self._queue: deque[Message] = deque()
        self._changed = threading.Condition()
        self._deadline: float | None = None  # set once no more messages come
        self._failing = False
        self._most = QUEUE if sink.lossless else FRAMES  # messages that wait
        self._hangs = False  # waited for in vain
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        self._thread = threading.Thread(target=self._work, name=f"tgkt-edge {self.sink.name}", daemon=True)
        self._thread.start()

    def wait_for_room(self) -> None:
        """Until a message more can wait without one being lost; not for a sink that takes nothing."""
        with self._changed:
            left, until = len(self._queue), time.monotonic() + _GRACE
            while len(self._queue) >= self._most and not self._hangs and not self._stopping():
                self._changed.wait(_LOOK)
                if len(self._queue) < left:
                    left, until = len(self._queue), time.monotonic() + _GRACE
                self._hangs = time.monotonic() > until

    def put(self, message: Message) -> None:
        first_loss = False
        with self._changed:
            self.taken += 1
            if len(self._queue) >= self._most:
                self._drop_oldest()
                first_loss = self.sink.lossless and not self.lost
                self.lost += 1
            if len(self._queue) >= FRAMES:
                old = len(self._queue) - FRAMES
                self._queue[old] = without_pictures(self._queue[old])
            self._queue.append(message)
            self._changed.notify()
        if first_loss:
            self._say(
                f"{self.sink.name}: too slow: {QUEUE} messages wait, and the oldest are lost from now on"
            )

    def _drop_oldest(self) -> None:
        """Of a sink that needs only the newest frames the oldest frame: events say what the frames after them mean."""
        if not self.sink.lossless:
            for place, waiting in enumerate(self._queue):
                if not isinstance(waiting.record, Event):
                    del self._queue[place]
                    return
        self._queue.popleft()

    def finish(self, deadline: float) -> None:
        with self._changed:
            self._deadline = deadline
            self._changed.notify()

    def join(self, deadline: float) -> None:
        if self._thread is None:
            return
        self._thread.join(max(0.0, deadline - time.monotonic()))
        with self._changed:
            left, self.lost = len(self._queue), self.lost + len(self._queue)
            self._queue.clear()
        if self._thread.is_alive() or left:
            self._say(f"{self.sink.name}: did not finish in time; {left} messages lost")

    def _work(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._queue or self._deadline is not None)
                if not self._queue or (self._deadline is not None and time.monotonic() > self._deadline):
                    break
                message = self._queue.popleft()
                self._hangs = False
                self._changed.notify_all()
            self._write(message)
        with contextlib.suppress(Exception):  # nobody is left to whom it would matter
            self.sink.close()

    def _write(self, message: Message) -> None:
        try:
            self.sink.write(message)
        except Exception as error:  # noqa: BLE001 - a fault of one sink must not end the run or another sink
            self.failed += 1
            self.why = reason(error, self.sink.name)
            if not self._failing:
                self._failing = True
                self._say(
                    f"{self.sink.name}: {self.why}. The run continues; this is printed once until it works again."
                )
        else:
            if self._failing:
                self._failing = False
                self._say(
                    f"{self.sink.name}: works again, after {self.failed} messages that it could not write at once"
                )


def without_pictures(message: Message) -> Message:
    """A message without its frame and its maps, which take memory."""
    record = message.record
    if isinstance(record, Decision) and record.maps is not None:
        record = dataclasses.replace(record, maps=None)
    return dataclasses.replace(message, record=record, frame=None)


def reason(error: Exception, name: str) -> str:
    """What went wrong, without the sink's name or path in front, the number of the error or a full stop behind."""
    text = str(getattr(error, "strerror", None) or error)
    for known in (name, name.partition(":")[2]):
        text = text.removeprefix(f"{known}: ")
    return text.rstrip(".")
