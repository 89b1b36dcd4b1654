"""A thread that reads a source, and opens it again when it is lost."""

from __future__ import annotations

import dataclasses
import threading
import time
from collections.abc import Callable
from types import TracebackType
from typing import Literal

from tgkt_edge.errors import SourceLostError
from tgkt_edge.runtime.capture.buffer import Mailbox
from tgkt_edge.runtime.capture.call_watch import Watched
from tgkt_edge.runtime.capture.frame import Frame
from tgkt_edge.runtime.capture.retry import Retry
from tgkt_edge.runtime.events import State, StateEvent
from tgkt_edge.runtime.infer.preprocess_stage import Pending
from tgkt_edge.runtime.sources.base import Captured, FrameSource

Drop = Literal["latest", "none"]


Item = Frame | StateEvent
"""A frame, or a change of the source's state between two."""


class Capture:
    """Opens a source and reads it, in a thread of its own; a context manager that starts and stops it.

    The source belongs to that thread: it opens, reads and closes it. A camera's driver may hang inside any of these;
    closing it from another thread would crash the process, so a hung thread is left behind (it is a daemon and does
    not keep the program alive) and, for a live source, another one opens the source again.

    A live source that is lost is opened again as ``retry`` says. Only frames that the source delivered come out, in
    order; their numbers go on where those before the loss ended. Changes of state of a live source come out as
    events, between the frames where they happened.

    Args:
        open_source: opens the source; called again after each loss.
        drop: "latest": a new frame replaces one that nobody has taken yet, which counts as dropped; "none": reading
            waits until there is room; None: "latest" for live sources, "none" for recordings.
        retry: how patient to be.
        prepare: called in the reading thread, beside the inference of earlier frames. Only where every frame is
            answered (drop "none"): one that may still be replaced is not worth the work.
        ahead: frames that wait at most where every frame is answered.
        ring: see :class:`Mailbox`.

    Attributes:
        lost: how often a live source was lost after it had been opened.
        lost_frames: frames that its driver took and did not deliver.
        format: of a live source that was opened, what it delivers: "Z16 640x480".
        patience: seconds that leaving waits for the thread to close the source; then it is left behind.
    """

    def __init__(
        self,
        open_source: Callable[[], FrameSource],
        drop: Drop | None,
        retry: Retry | None = None,
        prepare: Callable[[Captured], Pending] | None = None,
        ahead: int = 1,
        ring: Callable[[], None] | None = None,
    ) -> None:
        self._prepare = prepare
        self._open, self._drop, self._retry = open_source, drop, retry or Retry()
        self._box: Mailbox[Item] = Mailbox(ahead, ring=ring)
        self._lock = threading.Lock()
        self._stopping = threading.Event()
        self._begin = time.monotonic()
        self._reader = Watched()
        self._hung: list[Watched] = []
        self._live: bool | None = None  # unknown until the source was opened once
        self._state: State | None = None
        self._failures = 0  # in a row, without a frame between them
        self._hung_since: float | None = None  # the newest of them; None: a frame came since
        self._next_number = 0
        self._lost_before = 0  # frames that the driver lost, until the source was opened last
        self.lost_frames = 0
        self.format = ""
        self.lost = 0
        self.patience = 1.0

    def __enter__(self) -> Capture:
        self._start(delay=0.0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop(self.patience)

    @property
    def dropped(self) -> int:
        """Frames that were replaced before anybody took them."""
        return self._box.dropped

    @property
    def live(self) -> bool | None:
        """Whether the source is live; None: it was not open yet."""
        return self._live

    @property
    def drop(self) -> Drop:
        """What is done with frames that nobody takes in time; "none" while the source was not open yet."""
        return self._drop or ("latest" if self._live else "none")

    @property
    def state(self) -> State | None:
        """The latest state; None for recordings."""
        return self._state

    @property
    def ended(self) -> bool:
        """The source delivers no more, and everything it delivered was taken."""
        return self._box.ended

    def take(self, timeout: float | None = None) -> Item | None:
        """The next frame or event; None after ``timeout`` seconds, at the end, or once stopped.

        Raises:
            Exception: whatever opening or reading raised, once the frames before it are taken.
        """
        return self._box.take(timeout)

    def check(self) -> None:
        """Look after the reading thread; to be called a few times a second, by a thread that cannot hang.

        The very first opening is waited for without limit unless ``retry.wait`` says that it is a camera's: to list a
        large folder takes its time.
        """
        with self._lock:
            if self._stopping.is_set() or self._live is False:
                return
            reader, inside = self._reader, self._reader.inside()
            if inside is None:
                return  # between two attempts, or waiting for room: no driver's fault
            call, seconds = inside
            limit = self._retry.hung_read if call == "read" else self._retry.hung_open
            if seconds > limit and (self._live or self._retry.wait > 0):
                self._leave_behind(reader, f"the driver has not come back from '{call}' for {limit:g} s")
            elif seconds > self._retry.stall and call == "read" and self._state == "live":
                self._say("stalled", f"no frame for {self._retry.stall:g} s")

    def request_stop(self) -> None:
        """Ask the thread to end, without waiting for it."""
        self._stopping.set()
        self._box.stop()

    def stop(self, timeout: float = 1.0) -> bool:
        """End the thread and close the source. False: it hangs inside the driver and was left behind."""
        self.request_stop()
        thread = self._reader.thread
        if thread is not None:
            thread.join(timeout)
        return not self._reader.alive

    # Everything below runs in the reading thread, except for what takes the lock.

    def _start(self, delay: float) -> None:
        reader = Watched()
        reader.thread = threading.Thread(
            target=self._work, args=(reader, delay), name="tgkt-edge capture", daemon=True
        )
        self._reader = reader
        reader.thread.start()

    def _leave_behind(self, reader: Watched, why: str) -> None:
        """Give a hung thread up and start another; the lock is held."""
        reader.abandoned = True
        self._hung = [*(hung for hung in self._hung if hung.alive), reader]
        self._hung_since = time.monotonic()
        self._failures += 1
        if self._state != "connecting":
            self.lost += 1
        if len(self._hung) > self._retry.most_hung or self._exhausted():
            self._box.finish(
                SourceLostError(
                    f"{why}, and {len(self._hung)} of its threads hang. Unplug the camera or restart the program; "
                    f"'dmesg' may say more."
                )
            )
            return
        delay = self._retry.delay(self._failures)
        self._say("lost", f"{why}; it is left behind and the source opened again in {delay:.1f} s")
        self._start(delay)

    def _work(self, reader: Watched, delay: float) -> None:
        error: Exception | None = None
        try:
            self._stopping.wait(delay)
            while not self._gone(reader):
                try:
                    self._session(reader)
                    break  # a recording's end
                except SourceLostError as lost:
                    delay = self._patience(reader, lost)
                self._stopping.wait(delay)
        except Exception as failed:  # noqa: BLE001 - raised again by take(), in the pipeline's thread
            error = failed
        if not reader.abandoned:
            self._box.finish(error)

    def _session(self, reader: Watched) -> None:
        """Open the source and read it until its end. Raises SourceLostError when it is lost."""
        if self._live or self._retry.wait > 0:
            self._tell(reader, "connecting", f"attempt {self._failures + 1}" if self._failures else "")
        with reader.calling("open"):
            source = self._open()
        try:
            with self._lock:
                if not self._gone(reader):
                    if source.live and self._state is None:
                        self._say("connecting", "")  # only now known to be live
                    self._live = source.live
                    self._box.latest = self.drop == "latest"
                    self.format = str(source.format or "")
                    self._lost_before = self.lost_frames
            first = self._next_number
            while not self._gone(reader):
                with reader.calling("read"):
                    captured = source.read()
                arrived = time.perf_counter()
                if captured is None or not self._deliver(reader, captured, arrived, first):
                    return
        finally:
            with reader.calling("close"):
                source.close()

    def _deliver(self, reader: Watched, captured: Captured, arrived: float, first: int) -> bool:
        with self._lock:
            if self._gone(reader):
                return False
            self._failures, self._hung_since = 0, None
            if self._live and self._state != "live":
                self._say("live", captured.name, self.format)
            self.lost_frames = self._lost_before + captured.lost
            if first:
                captured = dataclasses.replace(
                    captured, number=first + captured.number, lost=self.lost_frames
                )
            self._next_number = captured.number + 1
        # Outside the lock: with drop "none" this takes its time, and waits until there is room.
        ahead = self._prepare(captured) if self._prepare is not None and self.drop == "none" else None
        return self._box.put(Frame(captured, arrived, ahead))

    def _patience(self, reader: Watched, lost: SourceLostError) -> float:
        """Seconds to wait before the next attempt. Raises ``lost`` if there is to be none."""
        with self._lock:
            if self._gone(reader):
                return 0.0
            never_open = self._live is None
            self._failures += 1
            delay = self._retry.delay(self._failures)
            if never_open:
                left = self._retry.wait - (time.monotonic() - self._begin)
                if left <= 0:
                    raise lost
                delay = min(delay, left)
            elif not self._live or self._exhausted():
                raise lost
            elif self._held():
                raise SourceLostError(
                    f"{lost} A thread still hangs in the driver and may hold the device, which only the end of the "
                    f"program releases. 'dmesg' may say more."
                )
            elif self._state != "connecting":  # else it is still the loss before
                self.lost += 1
            self._say("lost", f"{lost} Trying again in {delay:.1f} s.")
        return delay

    def _exhausted(self) -> bool:
        return self._retry.limit is not None and self._failures > self._retry.limit

    def _held(self) -> bool:
        """Whether it is to be given up beside a thread that hangs; the lock is held."""
        since = self._hung_since
        return since is not None and time.monotonic() - since > self._retry.held and self._hung[-1].alive

    def _gone(self, reader: Watched) -> bool:
        return reader.abandoned or self._stopping.is_set()

    def _tell(self, reader: Watched, state: State, detail: str) -> None:
        with self._lock:
            if not self._gone(reader):
                self._say(state, detail)

    def _say(self, state: State, detail: str, stream_format: str = "") -> None:
        """Make a change of state an event; the lock is held."""
        self._state = state
        self._box.put(StateEvent(time.time(), state, detail, stream_format), keep=True)
