"""A source that is opened and read in a thread of its own while its frames are written."""

from __future__ import annotations

import queue
import threading
from collections.abc import Callable

from tgkt_edge.alignment.rig import Rig
from tgkt_edge.runtime.output.shutdown import StopRequest
from tgkt_edge.runtime.sources.base import Captured, FrameSource, StreamFormat

_AHEAD = 32  # frames that may wait for the disk
_POLL = 0.1  # seconds after which a wait for a frame looks at the stop request
_CLOSE = 2.0  # seconds that leaving waits for the source to be closed
_HURRY = 0.7  # the same once a signal ended the recording: two sources have two seconds


class SourceReader:
    """Opens and reads a source in a thread of its own; a context manager.

    A slow disk then does not hold up the camera, and a camera that is silent or slow to open holds up no signal. As in
    the pipeline, the source belongs to the thread, which closes it; one that hangs in its driver is left behind.

    Args:
        open_source: opens the source.
        stop: whether the recording is told to end.

    Attributes:
        live, format, rig: the source's, once it is open.
        lost: frames that its driver lost, so far.
        over: it has no more frames.
    """

    def __init__(self, open_source: Callable[[], FrameSource], stop: StopRequest) -> None:
        self._open, self._stop = open_source, stop
        self._queue: queue.Queue[Captured | BaseException | None] = queue.Queue(_AHEAD)
        self._ready, self._stopping = threading.Event(), threading.Event()
        self._refused: Exception | None = None
        self.live = False
        self.format: StreamFormat | None = None
        self.rig: Rig | None = None
        self.lost = 0
        self.over = False
        self._thread = threading.Thread(target=self._work, name="tgkt-edge record", daemon=True)

    def __enter__(self) -> SourceReader:
        self._thread.start()
        return self

    def __exit__(self, *rest: object) -> None:
        self._stopping.set()
        self._thread.join(_HURRY if self._stop.asked() else _CLOSE)

    def wait_open(self) -> bool:
        """Wait until the source is open. False: the recording is told to end before that.

        Raises:
            Exception: whatever opening raised.
        """
        while not self._ready.wait(_POLL):
            if self._stop.asked():
                return False
        if self._refused is not None:
            raise self._refused
        return True

    def take(self, timeout: float = _POLL) -> Captured | None:
        """The next frame; None after ``timeout`` seconds without one, or at the end: then ``over`` is true.

        Raises:
            Exception: whatever reading raised, once the frames before it are taken.
        """
        try:
            item = self._queue.get(timeout=timeout) if timeout else self._queue.get_nowait()
        except queue.Empty:
            return None
        if isinstance(item, BaseException):
            raise item
        self.over = item is None
        if item is not None:
            self.lost = item.lost
        return item

    def _work(self) -> None:
        try:
            source = self._open()
        except Exception as error:  # noqa: BLE001 - raised again by wait_open(), in the main thread
            self._refused = error
            self._ready.set()
            return
        last: BaseException | None = None
        try:
            with source:
                self.live, self.format = source.live, source.format if source.live else None
                self.rig = source.rig
                self._ready.set()
                while not self._stopping.is_set():
                    captured = source.read()
                    if captured is None or not self._put(captured):
                        break
        except Exception as error:  # noqa: BLE001 - raised again by take(), in the main thread
            last = error
        self._put(last)

    def _put(self, item: Captured | BaseException | None) -> bool:
        while not self._stopping.is_set():
            try:
                self._queue.put(item, timeout=_POLL)
            except queue.Full:
                continue
            return True
        return False
