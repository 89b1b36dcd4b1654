"""Records to sinks until there is a reason to stop; meanwhile the live line and the watchdog, then the summary."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from functools import partial
from typing import TextIO

from tgkt_edge.errors import SourceLostError, TgktEdgeError
from tgkt_edge.runtime.cameras.group import CameraGroup
from tgkt_edge.runtime.events import HealthEvent, NamedCamera, StateEvent
from tgkt_edge.runtime.health.systemd import Notifier
from tgkt_edge.runtime.infer.smoothing import UNKNOWN
from tgkt_edge.runtime.model import Model
from tgkt_edge.runtime.output.dispatcher import Fanout
from tgkt_edge.runtime.output.live_line import LiveLine
from tgkt_edge.runtime.output.metrics import Statistics
from tgkt_edge.runtime.output.nonblocking import PATIENCE
from tgkt_edge.runtime.output.shutdown import StopRequest
from tgkt_edge.runtime.output.summary import RunSummary, Stopped
from tgkt_edge.runtime.records import BadFrame, Decision, Record
from tgkt_edge.runtime.sinks import Message, RunInfo, Sink
from tgkt_edge.runtime.sinks.base import ReaderGoneError
from tgkt_edge.runtime.stream import RecordStream
from tgkt_edge.runtime.updates.updater import Updater

_HURRY = (
    0.7  # seconds for the source, then for the sinks, once a signal ended the run: it has two for everything
)
_POLL = 0.1  # seconds after which a wait for a frame looks at the stop request


def deliver(
    stream: RecordStream | CameraGroup,
    model: Model,
    name: str,
    *,
    cameras: Sequence[NamedCamera] = (),
    max_frames: int | None,
    sinks: Sequence[Sink],
    log: TextIO | None,
    live: bool,
    stop: StopRequest,
    updater: Updater | None = None,
) -> RunSummary:
    """Hand all records of a stream to the sinks; see :func:`tgkt_edge.runtime.pipeline.run`.

    Args:
        name: of the camera or recording, as the records and the summary show it: without passwords.
        cameras: where they have names.
        updater: looks for other bundles; entered, closed by the caller.
    """
    line = LiveLine(sys.stderr if log is None else log, enabled=live, stopping=stop.asked)
    fanout = Fanout(sinks, line.say, stop.asked)
    info = RunInfo.of_run(name, model.engine, model.classes, model.sensor, model.size, model.digest, cameras)
    fanout.open(info)
    begin = time.perf_counter()
    stopped: Stopped = "failed"
    try:
        with fanout, stream, Notifier() as notifier:
            try:
                stopped = _consume(stream, fanout, info, line, notifier, max_frames, stop, updater)
                fanout.finish(PATIENCE)
            except ReaderGoneError:
                stopped = "broken-pipe"
            except Exception:
                with suppress(ReaderGoneError, TgktEdgeError):
                    fanout.finish(PATIENCE)
                raise
            if stop.reason is not None:
                stream.hurry(_HURRY)
                fanout.patience = _HURRY
        if stopped in ("end", "max-frames"):
            try:
                stream.refuse_empty(name)
            except SourceLostError:
                stopped = "failed"
                raise
    finally:
        seconds = time.perf_counter() - begin
        stats = stream.stats
        summary = RunSummary(
            source=name,
            engine=(model if updater is None else updater.model).engine.name,
            frames=stats.frames,
            bad=stats.bad,
            dropped=stream.dropped,
            seconds=seconds,
            fps=stats.frames / seconds,
            ms=stats.percentiles(),
            labels={name: stats.labels[name] for name in (*model.classes, UNKNOWN) if stats.labels[name]},
            stopped=stopped,
            reconnects=stream.reconnects,
            lost=stream.lost_frames,
            format=stream.format,
            sinks=fanout.counts(),
            undelivered=fanout.undelivered(),
            cameras=stream.summaries(),
            updates=(0, 0) if updater is None else (updater.accepted, updater.refused),
        )
        line.clear()
        if stats.frames or stopped != "failed":
            line.inform(summary.text())
        if not line.informs:
            for loss in summary.losses():
                line.say(loss)
        line.finish(PATIENCE)
    return summary


def _consume(
    stream: RecordStream | CameraGroup,
    fanout: Fanout,
    info: RunInfo,
    line: LiveLine,
    notifier: Notifier,
    max_frames: int | None,
    stop: StopRequest,
    updater: Updater | None,
) -> Stopped:
    """Hand records to the sinks until there is a reason to stop; return it.

    The start event goes before the first, or when the source is open: one that cannot be opened is an error and no run.
    """
    display, started = _Display(stream, line, notifier), False
    while stop.reason is None:
        if max_frames is not None and stream.stats.frames >= max_frames:
            return "max-frames"
        messages = stream.take(_POLL)
        if not started and (messages or stream.opened):
            started = True
            fanout.write(Message(info.start_event()), patient=bool(messages) and not stream.live)
        if not messages:
            if stream.ended:
                return "end"
            notifier.waiting(display.waiting)
            fanout.flush()
            display.wait()
            _update(updater if started else None, messages, stream, fanout, line)
            continue
        if fanout.on_terminal:
            line.clear()
        for message in messages:
            # Files can wait for a reader, the world in front of a camera cannot.
            fanout.write(message, patient=not stream.live)
        _update(updater, messages, stream, fanout, line)
        for message in messages:
            display.show(message.record)
    return stop.reason


class _Display:
    """What people, and systemd, are told of the records: the live line, and lines about faults that come and go."""

    def __init__(self, stream: RecordStream | CameraGroup, line: LiveLine, notifier: Notifier) -> None:
        self._stream, self._line, self._notifier = stream, line, notifier
        self._boards: dict[str, str] = {}  # by name of a camera, what it shows

    def waiting(self) -> str:
        """The text while no frame comes."""
        rate = self._stream.stats.rate.rate(time.perf_counter())
        return f"{self._stream.state or 'waiting for a frame'} | {rate:.1f} fps"

    def wait(self) -> None:
        """No frame has come."""
        if self._line.due(waiting=True):
            self._line.show(self.waiting())

    def show(self, record: Record) -> None:
        """A record has gone to the sinks."""
        if isinstance(record, Decision | BadFrame):
            self._answered(record)
        elif isinstance(record, HealthEvent):
            why = f": {record.text}" if record.text else ""
            self._line.say(
                f"{_who(record)}{record.flag}: {'on' if record.active else 'off'} "
                f"({round(record.value, 4):g}){why}"
            )
        elif isinstance(record, StateEvent):
            self._changed(record)

    def _answered(self, record: Decision | BadFrame) -> None:
        if record.camera:
            self._boards[record.camera] = _board(record)
        state = partial(_state, record, self._stream.stats, self._stream.dropped, self._boards)
        self._notifier.answered(state)
        if self._line.due():
            self._line.show(state())

    def _changed(self, record: StateEvent) -> None:
        self._notifier.trying(self.waiting)
        if record.camera:
            self._boards[record.camera] = record.state
        if record.state in ("stalled", "lost"):
            self._line.say(f"{_who(record)}{record.state}: {record.detail}")
        elif record.format:
            say = self._line.say if self._stream.reconnects else self._line.inform
            say(f"{_who(record)}live: {record.detail} delivers {record.format}")


def _update(
    updater: Updater | None,
    messages: Sequence[Message],
    stream: RecordStream | CameraGroup,
    fanout: Fanout,
    line: LiveLine,
) -> None:
    """Between two frames: let another bundle take over that may."""
    if updater is None:
        return
    for message in messages:
        updater.see(message)
    change = updater.take()
    if change is not None:
        if change.model is not None:
            stream.use(change.model, change.sizes)
        fanout.write(Message(change.event), patient=not stream.live)
        line.say(change.event.text())


def _who(record: HealthEvent | StateEvent) -> str:
    return f"{record.camera}: " if record.camera else ""


def _board(record: Decision | BadFrame) -> str:
    return "bad frame" if isinstance(record, BadFrame) else f"{record.label} {record.probability:.2f}"


def _state(record: Decision | BadFrame, stats: Statistics, dropped: int, boards: Mapping[str, str]) -> str:
    """The live line's text: what counts first, since a narrow terminal cuts the end."""
    rate = f"{stats.rate.rate(time.perf_counter()):.1f} fps"
    counts = f"{stats.frames} frames, {stats.bad} bad, {dropped} dropped"
    if boards:
        return " | ".join([*(f"{name}: {text}" for name, text in sorted(boards.items())), rate, counts])
    if isinstance(record, BadFrame):
        return f"bad frame | {rate} | {counts} | {record.error}"
    return f"{record.label} {record.probability:.2f} | {rate} | {record.ms['total']:.1f} ms | {counts}"
