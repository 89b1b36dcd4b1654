"""capture -> preprocess -> infer -> decide: a camera's records, one after the other, for whoever takes them.

The capture thread opens the source, reads ahead and reconnects (``capture/``); where every frame is answered it also
preprocesses, while the thread that takes records infers. Of a camera that may drop frames the taking thread
preprocesses the one that it takes, and no other. Frames of files are inferred side by side, one on each core of a CPU:
nobody waits for a single one of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Protocol

from tgkt_edge.monitoring.reference_stats import Statistics as AdaptationStatistics
from tgkt_edge.runtime.capture.frame import Frame
from tgkt_edge.runtime.capture.reader import Capture, Drop
from tgkt_edge.runtime.capture.retry import Retry
from tgkt_edge.runtime.engines.base import Engine
from tgkt_edge.runtime.events import State, StateEvent
from tgkt_edge.runtime.infer.preprocess_stage import Prepared
from tgkt_edge.runtime.infer.processor import Begun, Processor
from tgkt_edge.runtime.output.metrics import Statistics
from tgkt_edge.runtime.output.summary import CameraSummary
from tgkt_edge.runtime.sinks.base import Message
from tgkt_edge.runtime.sources.base import FrameSource


class Network(Protocol):
    """What decides: a :class:`tgkt_edge.runtime.model.Model`."""

    engine: Engine
    size: int
    statistics: AdaptationStatistics | None


class RecordStream:
    """The records of one source; a context manager that starts reading and ends it.

    Args:
        source: opens the source; called in the capture thread, again after each loss as ``retry`` allows.
        engine: whose lanes say how many frames are begun ahead; not closed.
        processor: of this engine; closed on leaving.
        drop, ring: see :class:`Capture`.
    """

    def __init__(
        self,
        source: Callable[[], FrameSource],
        engine: Engine,
        processor: Processor,
        drop: Drop | None,
        retry: Retry,
        ring: Callable[[], None] | None = None,
    ) -> None:
        self._processor = processor
        self._capture = Capture(source, drop, retry, processor.prepare, ahead=engine.lanes, ring=ring)

    def take(self, seconds: float) -> list[Message]:
        """What comes next within ``seconds``: nothing, a change of state, or a frame's record after its events.

        To be called a few times a second, since it also looks after the capture thread.

        Raises:
            Exception: whatever opening or reading the source raised, once the frames before it are taken.
            SourceLostError: (exit 5) the first readable frame contradicts the SensorSpec.
        """
        self.check()
        item = self.take_item(seconds)
        if item is None:
            return []
        if isinstance(item, StateEvent):
            return [Message(item)]
        events, record = self._processor.decide(item, self.live)
        return [*map(Message, events), Message(record, item.captured.frame)]

    # The steps of `take`, for who takes frames of several sources.

    def check(self) -> None:
        """Look after the capture thread; a few times a second."""
        self._capture.check()

    def take_item(self, seconds: float) -> Frame | StateEvent | None:
        """The next frame or change of state within ``seconds``. Raises as :meth:`take`."""
        return self._capture.take(seconds)

    def begin(self, frame: Frame) -> Begun:
        """All that is done with a frame before its inference. Raises SourceLostError as :meth:`take`."""
        return self._processor.begin(frame, self.live)

    def finish(self, begun: Begun, ready: Prepared) -> list[Message]:
        """The frame's record, after its events."""
        events, record = self._processor.finish(begun, ready)
        return [*map(Message, events), Message(record, begun.frame.captured.frame)]

    def use(self, model: Network, sizes: Sequence[int] = (1,)) -> None:
        """Decide with another bundle's network from the next frame on; see :meth:`Processor.use`."""
        self._processor.use(model.engine, model.size, model.statistics)

    def refit(self, begun: Begun) -> Begun:
        """See :meth:`Processor.refit`."""
        return self._processor.refit(begun)

    def give_up(self) -> None:
        """End the capture thread without waiting for it; what it had read is forgotten."""
        self._capture.request_stop()

    @property
    def stats(self) -> Statistics:
        """Running totals."""
        return self._processor.stats

    @property
    def live(self) -> bool:
        """Whether the source is a camera; False while it was not open yet."""
        return bool(self._capture.live)

    @property
    def opened(self) -> bool:
        """Whether the source was open at least once."""
        return self._capture.live is not None

    @property
    def state(self) -> State | None:
        """Its latest state; None for recordings."""
        return self._capture.state

    @property
    def ended(self) -> bool:
        """The source delivers no more, and everything it delivered was taken."""
        return self._capture.ended

    @property
    def dropped(self) -> int:
        """Frames that were replaced by a newer one before anybody took them."""
        return self._capture.dropped

    @property
    def reconnects(self) -> int:
        """How often a live source was lost after it had been opened."""
        return self._capture.lost

    @property
    def lost_frames(self) -> int:
        """Frames that the camera's driver took and could not deliver."""
        return self._capture.lost_frames

    @property
    def format(self) -> str:
        """What a camera delivers: "Z16 640x480"; empty: not known."""
        return self._capture.format

    def refuse_empty(self, name: str) -> None:
        """Raise SourceLostError if the source, called ``name``, gave not one frame that could be classified."""
        if self.stats.frames == self.stats.bad:
            self._processor.refuse_run(name)

    @property
    def patience(self) -> float:
        """Seconds that leaving waits at most for the driver to close the source."""
        return self._capture.patience

    def hurry(self, seconds: float) -> None:
        """Leaving waits at most so long for the driver to close the source."""
        self._capture.patience = seconds

    def summaries(self) -> dict[str, CameraSummary]:
        """Nothing: the only camera's figures are the run's."""
        return {}

    def __enter__(self) -> RecordStream:
        self._capture.__enter__()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self._capture.__exit__(kind, error, trace)
        finally:
            self._processor.close()
