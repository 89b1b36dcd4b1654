"""``tgkt-edge run``: a bundle, a camera and sinks; stop requests, the live line, the summary.

What comes from the camera goes through ``stream.py``. Each sink writes in a thread of its own, except stdout, which the
deciding thread writes (``output/dispatcher.py``).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TextIO

from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.errors import TgktEdgeError, UsageError
from tgkt_edge.io.addresses import redacted
from tgkt_edge.monitoring.reference_stats import Statistics as AdaptationStatistics
from tgkt_edge.runtime.capture.reader import Drop
from tgkt_edge.runtime.capture.retry import NEVER, Retry
from tgkt_edge.runtime.engines.base import Engine
from tgkt_edge.runtime.engines.onnxruntime import lanes_for_files
from tgkt_edge.runtime.engines.select import Rebuild
from tgkt_edge.runtime.health.systemd import Notifier
from tgkt_edge.runtime.infer.smoothing import UNKNOWN, Decider
from tgkt_edge.runtime.model import Model, check_choices, load
from tgkt_edge.runtime.output.dispatcher import Fanout
from tgkt_edge.runtime.output.live_line import LiveLine
from tgkt_edge.runtime.output.metrics import Statistics
from tgkt_edge.runtime.output.nonblocking import PATIENCE
from tgkt_edge.runtime.output.shutdown import StopRequest
from tgkt_edge.runtime.output.summary import RunSummary, Stopped
from tgkt_edge.runtime.records import BadFrame, Decision, HealthEvent, StateEvent
from tgkt_edge.runtime.sinks import STDOUT, Message, RunInfo, Sink, open_sink
from tgkt_edge.runtime.sinks.base import ReaderGoneError
from tgkt_edge.runtime.sources import is_files
from tgkt_edge.runtime.sources.base import FrameSource
from tgkt_edge.runtime.stream import RecordStream
from tgkt_edge.sensor import SensorSpec

_HURRY = (
    0.7  # seconds for the source, then for the sinks, once a signal ended the run: it has two for everything
)
_POLL = 0.1  # seconds after which a wait for a frame looks at the stop request


def run(
    bundle: Path,
    camera: str,
    *,
    precision: str = "fp32",
    engine: str = "auto",
    rebuild: Rebuild | None = None,
    sensor: str | None = None,
    top_k: int = 3,
    loop: bool = False,
    max_frames: int | None = None,
    drop: Drop | None = None,
    retry: Retry | None = None,
    sinks: Sequence[str] = (),
    token: str | None = None,
    smooth: float = 0.0,
    min_confidence: float = 0.0,
    out: TextIO | None = None,
    log: TextIO | None = None,
    live: bool = True,
) -> RunSummary:
    """Classify every frame of a camera or recording until it ends, ``max_frames`` or a signal.

    Args:
        bundle: folder that ``tgkt-edge export`` wrote.
        camera: see :func:`tgkt_edge.runtime.sources.open_source`.
        precision: one of the bundle's, or "auto".
        engine, rebuild: see :func:`tgkt_edge.runtime.engines.select.open_engine`. What was chosen and why goes to
        ``log``.
        sensor: preset or YAML file, if this camera writes its frames differently than the one that the bundle was
            adapted with. The range stays the bundle's.
        top_k: classes listed a frame; more than there are means all.
        loop: repeat a recording indefinitely.
        max_frames: stop after so many answers, bad frames included.
        drop: "latest": a frame that arrives while another waits replaces it; "none": every frame is answered.
            None: "latest" for cameras, "none" for recordings.
        retry: what happens when a camera is lost; None: it is opened again indefinitely.
        sinks: URIs for :func:`tgkt_edge.runtime.sinks.open_sink`. None given, or ``jsonl:-`` among them: JSON lines on
            stdout. token: what viewers of an ``http://`` sink must present.
        smooth, min_confidence: see :class:`tgkt_edge.runtime.infer.smoothing.Decider`.
        out: takes the JSON lines instead of stdout.
        log: takes the live line and the summary; None: stderr. While the logger ``tgkt_edge`` is above INFO, it
            takes only what a person should know: losses, flags, sinks that fail.
        live: show the live line.

    Returns:
        What was done, also after SIGINT and SIGTERM; see ``stopped``.

    Raises:
        UsageError: (exit 2) a bad argument. ConfigError: ``sensor`` is none, or of another kind.
        IncompatibleError: (exit 4) the bundle or its model cannot be used.
        SourceLostError: (exit 5) the source is missing, was lost, contradicts the SensorSpec in its first frame, or
            gave not one frame that could be classified. The summary of what was answered until then is written.
        MissingDependency: (exit 6) OpenCV or the engine's library is not installed.
    """
    _check_max(max_frames)
    check_choices(top_k, drop)
    found = Bundle.open(Path(bundle))
    decider = Decider(found.classes, smooth, min_confidence)
    line = LiveLine(sys.stderr if log is None else log)
    with StopRequest() as stop:
        # A name twice is one sink: lines must not come twice.
        opened = [
            open_sink(uri, token=token, out=out, stopping=stop.asked)
            for uri in dict.fromkeys(sinks or (STDOUT,))
        ]
        with load(
            found,
            engine=engine,
            precision=precision,
            sensor=sensor,
            lanes=_lanes(camera, drop),
            rebuild=rebuild,
            say=line.inform,
            warn=line.say,
        ) as model:
            stream = model.records(
                camera,
                top_k=top_k,
                loop=loop,
                drop=drop,
                retry=retry,
                decider=decider,
            )
            if model.statistics is None:
                line.say(
                    f"{bundle} holds no statistics of its adaptation frames: no flags input_drift, upside_down, "
                    "class_drift and wrong_scale. Exported again, it will."
                )
            elif model.statistics.scale is None:
                line.say(
                    f"{bundle} holds no quantiles of its adaptation frames' values: no flag wrong_scale. Exported "
                    "again from its run, or with --calibrate, it will."
                )
            return _answer(
                stream, model, camera, max_frames=max_frames, sinks=opened, log=log, live=live, stop=stop
            )


def classify(
    source: Callable[[], FrameSource],
    engine: Engine,
    spec: SensorSpec,
    classes: Sequence[str],
    size: int,
    *,
    name: str = "source",
    digest: str | None = None,
    top_k: int = 3,
    max_frames: int | None = None,
    drop: Drop | None = None,
    retry: Retry = NEVER,
    sinks: Sequence[Sink] = (),
    stdout: bool = True,
    decider: Decider | None = None,
    statistics: AdaptationStatistics | None = None,
    out: TextIO | None = None,
    log: TextIO | None = None,
    live: bool = True,
    stop: StopRequest | None = None,
) -> RunSummary:
    """:func:`run` with an engine that is already open and is not closed, and something that opens the source.

    Args:
        source: called in the capture thread; again after each loss, as ``retry`` allows.
        digest: the bundle's, for the records; None: the engine is of none.
        decider: None: each frame's likeliest class. statistics: what is normal; None: no drift flags.
        sinks: not yet open; closed at the end. stdout: write JSON lines to ``out`` as well.
    """
    _check_max(max_frames)
    stop = stop or StopRequest()
    if stdout:
        sinks = [open_sink(STDOUT, out=out, stopping=stop.asked), *sinks]
    model = Model(engine, spec, classes, size, statistics, digest)
    stream = model.records(source, top_k=top_k, drop=drop, retry=retry, decider=decider)
    return _answer(stream, model, name, max_frames=max_frames, sinks=sinks, log=log, live=live, stop=stop)


def _answer(
    stream: RecordStream,
    model: Model,
    name: str,
    *,
    max_frames: int | None,
    sinks: Sequence[Sink],
    log: TextIO | None,
    live: bool,
    stop: StopRequest,
) -> RunSummary:
    """Hand all records to the sinks; see :func:`run`."""
    name = redacted(name)
    line = LiveLine(sys.stderr if log is None else log, enabled=live, stopping=stop.asked)
    fanout = Fanout(sinks, line.say)
    info = RunInfo.of_run(name, model.engine, model.classes, model.sensor, model.size, model.digest)
    fanout.open(info)
    begin = time.perf_counter()
    stopped: Stopped = "failed"
    try:
        with fanout, stream, Notifier() as notifier:
            try:
                stopped = _consume(stream, fanout, info, line, notifier, max_frames, stop)
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
        if stopped in ("end", "max-frames") and stream.stats.frames == stream.stats.bad:
            stopped = "failed"
            stream.refuse_empty(name)
    finally:
        seconds = time.perf_counter() - begin
        stats = stream.stats
        summary = RunSummary(
            source=name,
            engine=model.engine.name,
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
        )
        line.clear()
        if stats.frames or stopped != "failed":
            line.inform(summary.text())
        line.finish(PATIENCE)
    return summary


def _consume(
    stream: RecordStream,
    fanout: Fanout,
    info: RunInfo,
    line: LiveLine,
    notifier: Notifier,
    max_frames: int | None,
    stop: StopRequest,
) -> Stopped:
    """Hand records to the sinks until there is a reason to stop; return it.

    The start event goes before the first, or when the source is open: one that cannot be opened is an error and no run.
    """
    stats, started = stream.stats, False

    def waiting() -> str:
        return f"{stream.state or 'waiting for a frame'} | {stats.rate.rate(time.perf_counter()):.1f} fps"

    while stop.reason is None:
        if max_frames is not None and stats.frames >= max_frames:
            return "max-frames"
        messages = stream.take(_POLL)
        if not started and (messages or stream.opened):
            started = True
            fanout.write(Message(info.start_event()), patient=bool(messages) and not stream.live)
        if not messages:
            if stream.ended:
                return "end"
            notifier.waiting(waiting)
            fanout.flush()
            if line.due(waiting=True):
                line.show(waiting())
            continue
        if fanout.on_terminal:
            line.clear()
        for message in messages:
            # Files can wait for a reader, the world in front of a camera cannot.
            fanout.write(message, patient=not stream.live)
        for message in messages:
            record = message.record
            if isinstance(record, Decision | BadFrame):
                notifier.answered(partial(_state, record, stats, stream.dropped))
                if line.due():
                    line.show(_state(record, stats, stream.dropped))
            elif isinstance(record, HealthEvent):
                why = f": {record.text}" if record.text else ""
                line.say(
                    f"{record.flag}: {'on' if record.active else 'off'} ({round(record.value, 4):g}){why}"
                )
            elif isinstance(record, StateEvent):
                notifier.trying(waiting)
                if record.state in ("stalled", "lost"):
                    line.say(f"{record.state}: {record.detail}")
                elif record.format:
                    say = line.say if stream.reconnects else line.inform
                    say(f"live: {record.detail} delivers {record.format}")
    return stop.reason


def _state(record: Decision | BadFrame, stats: Statistics, dropped: int) -> str:
    """The live line's text: what counts first, since a narrow terminal cuts the end."""
    rate = f"{stats.rate.rate(time.perf_counter()):.1f} fps"
    counts = f"{stats.frames} frames, {stats.bad} bad, {dropped} dropped"
    if isinstance(record, BadFrame):
        return f"bad frame | {rate} | {counts} | {record.error}"
    return f"{record.label} {record.probability:.2f} | {rate} | {record.ms['total']:.1f} ms | {counts}"


def _lanes(camera: str, drop: Drop | None) -> int:
    """Inferences to run side by side."""
    return lanes_for_files() if drop != "latest" and is_files(camera) else 1


def _check_max(max_frames: int | None) -> None:
    if max_frames is not None and max_frames < 1:
        raise UsageError(f"--max-frames {max_frames}: expected at least 1")
