"""Frames in, one JSON line a frame out.

The capture thread opens the source, reads ahead and reconnects (``capture.py``); where every frame is answered it also
preprocesses, while the main thread infers. Of a camera that may drop frames the main thread preprocesses the one that
it takes, and no other (``worker.py``). Frames of files are inferred side by side, one on each core of a CPU: nobody
waits for a single one of them. Each sink writes in a thread of its own (``fanout.py``).
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import partial
from pathlib import Path
from typing import Any, TextIO

from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.errors import TgktEdgeError, UsageError
from tgkt_edge.io.addresses import redacted
from tgkt_edge.monitoring.reference_stats import Statistics as AdaptationStatistics
from tgkt_edge.monitoring.reference_stats import of_bundle
from tgkt_edge.runtime.capture.reader import Capture, Drop
from tgkt_edge.runtime.capture.retry import NEVER, Retry
from tgkt_edge.runtime.engines.base import Engine
from tgkt_edge.runtime.engines.onnxruntime import lanes_for_files
from tgkt_edge.runtime.engines.select import Rebuild, open_engine
from tgkt_edge.runtime.health.systemd import Notifier
from tgkt_edge.runtime.infer.processor import Worker
from tgkt_edge.runtime.infer.smoothing import UNKNOWN, Decider
from tgkt_edge.runtime.output.dispatcher import Fanout
from tgkt_edge.runtime.output.lines import JsonLines, ReaderGoneError
from tgkt_edge.runtime.output.metrics import Statistics
from tgkt_edge.runtime.output.nonblocking import PATIENCE
from tgkt_edge.runtime.output.records import LiveLine, RunSummary, Stopped
from tgkt_edge.runtime.output.shutdown import StopRequest
from tgkt_edge.runtime.sinks import Message, RunInfo, Sink, open_sink
from tgkt_edge.runtime.sources import is_files, open_source
from tgkt_edge.runtime.sources.base import FrameSource
from tgkt_edge.runtime.sources.stream_format import PinnedOpener
from tgkt_edge.sensor import SensorSpec, load_sensor

STDOUT = "jsonl:-"
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
        log: takes the live line and the summary; None: stderr.
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
    opened = Bundle.open(Path(bundle))
    spec = opened.sensor if sensor is None else load_sensor(sensor).with_range_of(opened.sensor)
    _check_numbers(top_k, max_frames, drop)
    decider = Decider(opened.classes, smooth, min_confidence)
    statistics = of_bundle(opened)
    say = LiveLine(sys.stderr if log is None else log).say
    others = [open_sink(uri, token=token) for uri in sinks if uri != STDOUT]
    with (
        StopRequest() as stop,
        closing(
            open_engine(opened, precision, engine, say=say, rebuild=rebuild, lanes=_lanes(camera, drop))
        ) as loaded,
    ):
        if statistics is None:
            say(
                f"{bundle} holds no statistics of its adaptation frames: no flags input_drift, upside_down, "
                "class_drift and wrong_scale. Exported again, it will."
            )
        elif statistics.scale is None:
            say(
                f"{bundle} holds no quantiles of its adaptation frames' values: no flag wrong_scale. Exported again "
                "from its run, or with --calibrate, it will."
            )
        return classify(
            PinnedOpener(partial(open_source, camera, spec, loop)),
            loaded,
            spec,
            opened.classes,
            opened.size,
            name=camera,
            top_k=top_k,
            max_frames=max_frames,
            drop=drop,
            retry=retry or Retry(),
            sinks=others,
            stdout=not sinks or STDOUT in sinks,
            decider=decider,
            statistics=statistics,
            out=out,
            log=log,
            live=live,
            stop=stop,
        )


def classify(
    source: Callable[[], FrameSource],
    engine: Engine,
    spec: SensorSpec,
    classes: Sequence[str],
    size: int,
    *,
    name: str = "source",
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
        decider: None: each frame's likeliest class. statistics: what is normal; None: no drift flags.
        sinks: not yet open; closed at the end. stdout: write JSON lines to ``out`` as well.
    """
    _check_numbers(top_k, max_frames, drop)
    name = redacted(name)
    stop = stop or StopRequest()
    records = None
    if stdout:
        target: TextIO | None = sys.stdout if out is None else out
        if target is None:
            raise UsageError("stdout is closed, where the decisions should go: open it, or give --sink")
        records = JsonLines(target, stop.asked)
    line = LiveLine(sys.stderr if log is None else log, enabled=live, stopping=stop.asked)
    worker = Worker(engine, spec, classes, size, top_k, decider or Decider(classes), statistics)
    fanout = Fanout(sinks, line.say)
    fanout.open(RunInfo(name, engine.name, classes, spec, size, time.time()))
    capture = Capture(source, drop, retry, worker.prepare, ahead=engine.lanes)
    begin = time.perf_counter()
    stopped: Stopped = "failed"
    try:
        with fanout, closing(worker), capture, Notifier() as notifier:
            try:
                stopped = _consume(capture, worker, records, fanout, line, notifier, max_frames, stop)
                if records is not None:
                    records.finish(PATIENCE)
            except ReaderGoneError:
                stopped = "broken-pipe"
            except Exception:
                if records is not None:
                    with suppress(ReaderGoneError, TgktEdgeError):
                        records.finish(PATIENCE)
                raise
            if stop.reason is not None:
                capture.patience = fanout.patience = _HURRY
        if stopped in ("end", "max-frames") and worker.stats.frames == worker.stats.bad:
            stopped = "failed"
            worker.refuse_run(name)
    finally:
        seconds = time.perf_counter() - begin
        stats = worker.stats
        summary = RunSummary(
            source=name,
            engine=engine.name,
            frames=stats.frames,
            bad=stats.bad,
            dropped=capture.dropped,
            seconds=seconds,
            fps=stats.frames / seconds,
            ms=stats.percentiles(),
            labels={name: stats.labels[name] for name in (*classes, UNKNOWN) if stats.labels[name]},
            stopped=stopped,
            reconnects=capture.lost,
            sinks={**({STDOUT: (records.lost, 0)} if records else {}), **fanout.counts()},
            undelivered=fanout.undelivered(),
            lost=capture.lost_frames,
            format=capture.format,
        )
        line.clear()
        if stats.frames or stopped != "failed":
            line.say(summary.text())
        line.finish(PATIENCE)
    return summary


def _consume(
    capture: Capture,
    worker: Worker,
    records: JsonLines | None,
    fanout: Fanout,
    line: LiveLine,
    notifier: Notifier,
    max_frames: int | None,
    stop: StopRequest,
) -> Stopped:
    """Answer frames until there is a reason to stop; return it."""
    stats = worker.stats

    def waiting() -> str:
        return f"{capture.state or 'waiting for a frame'} | {stats.rate.rate(time.perf_counter()):.1f} fps"

    while stop.reason is None:
        if max_frames is not None and stats.frames >= max_frames:
            return "max-frames"
        capture.check()
        item = capture.take(_POLL)
        if item is None:
            if capture.ended:
                return "end"
            notifier.waiting(waiting)
            if records is not None:
                records.flush()
            if line.due(waiting=True):
                line.show(waiting())
            continue
        if isinstance(item, dict):
            record, frame, events = item, None, []
            notifier.trying(waiting)
        else:
            record = worker.answer(item.captured, item.at, bool(capture.live), item.prepared)
            frame = item.captured.frame
            events, worker.events = worker.events, []
        if records is not None and records.on_terminal:
            line.clear()
        for message in (*(Message(event) for event in events), Message(record, frame)):
            if records is not None:
                # Files can wait for a reader, the world in front of a camera cannot.
                records.write(message.record, patient=not capture.live)
            fanout.write(message)
        for event in events:
            why = f": {event['text']}" if "text" in event else ""
            line.say(f"{event['flag']}: {'on' if event['active'] else 'off'} ({event['value']:g}){why}")
        if "event" in record:
            if record["state"] in ("stalled", "lost"):
                line.say(f"{record['state']}: {record['detail']}")
            elif "format" in record:
                line.say(f"live: {record['detail']} delivers {record['format']}")
            continue
        notifier.answered(partial(_state, record, stats, capture.dropped))
        if line.due():
            line.show(_state(record, stats, capture.dropped))
    return stop.reason


def _state(record: dict[str, Any], stats: Statistics, dropped: int) -> str:
    """The live line's text: what counts first, since a narrow terminal cuts the end."""
    rate = f"{stats.rate.rate(time.perf_counter()):.1f} fps"
    counts = f"{stats.frames} frames, {stats.bad} bad, {dropped} dropped"
    if "error" in record:
        return f"bad frame | {rate} | {counts} | {record['error']}"
    return (
        f"{record['label']} {record['probability']:.2f} | {rate} | {record['ms']['total']:.1f} ms | {counts}"
    )


def _lanes(camera: str, drop: Drop | None) -> int:
    """Inferences to run side by side."""
    return lanes_for_files() if drop != "latest" and is_files(camera) else 1


def _check_numbers(top_k: int, max_frames: int | None, drop: str | None) -> None:
    if top_k < 1:
        raise UsageError(f"--top-k {top_k}: expected at least 1")
    if max_frames is not None and max_frames < 1:
        raise UsageError(f"--max-frames {max_frames}: expected at least 1")
    if drop not in (None, "latest", "none"):
        raise UsageError(f"--drop {drop}: expected latest or none")
