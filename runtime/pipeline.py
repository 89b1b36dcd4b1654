"""Frames in, one JSON line a frame out.

The capture thread reads ahead; preprocessing and inference share the main thread. Preprocessing in a thread of its own
was tried: ONNX Runtime keeps every CPU core busy, so nothing is gained there and each frame waits longer.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any, TextIO

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.bundle import Bundle
from tgkt_edge.errors import FrameError, SourceLostError, UsageError
from tgkt_edge.preprocess import preprocess
from tgkt_edge.runtime.capture import Capture, Drop
from tgkt_edge.runtime.engine import Engine, open_engine
from tgkt_edge.runtime.notify import Notifier
from tgkt_edge.runtime.output import (
    JsonLines,
    LiveLine,
    RunSummary,
    Stopped,
    answer_record,
    error_record,
)
from tgkt_edge.runtime.sources import open_source
from tgkt_edge.runtime.sources.base import Captured, FrameSource
from tgkt_edge.runtime.stats import Statistics
from tgkt_edge.runtime.stop import StopRequest
from tgkt_edge.sensor import PRESETS, SensorSpec, load_sensor, unit_table

_POLL = 0.1  # seconds after which a wait for a frame looks at the stop request


def run(
    bundle: Path,
    camera: str,
    *,
    precision: str = "fp32",
    engine: str = "auto",
    sensor: str | None = None,
    top_k: int = 3,
    loop: bool = False,
    max_frames: int | None = None,
    drop: Drop | None = None,
    out: TextIO | None = None,
    log: TextIO | None = None,
    live: bool = True,
) -> RunSummary:
    """Classify every frame of a camera or recording until it ends, ``max_frames`` or a signal.

    Args:
        bundle: folder that ``tgkt-edge export`` wrote.
        camera: see :func:`tgkt_edge.runtime.sources.open_source`.
        precision: one of the bundle's, or "auto".
        engine: "auto" or "onnxruntime".
        sensor: preset or YAML file, if this camera writes its frames differently than the one that the bundle was
            adapted with. The range stays the bundle's.
        top_k: classes listed a frame; more than there are means all.
        loop: repeat a recording for ever.
        max_frames: stop after so many answers, bad frames included.
        drop: "latest": a frame that arrives while another waits replaces it; "none": every frame is answered.
            None: "latest" for cameras, "none" for recordings.
        out: takes the JSON lines; None: stdout.
        log: takes the live line and the summary; None: stderr.
        live: show the live line.

    Returns:
        What was done, also after SIGINT and SIGTERM; see ``stopped``.

    Raises:
        UsageError: (exit 2) a bad argument. ConfigError: ``sensor`` is none, or of another kind.
        IncompatibleError: (exit 4) the bundle or its model cannot be used.
        SourceLostError: (exit 5) the source is missing, was lost, contradicts the SensorSpec in its first frame, or
            gave not one frame that could be classified. The summary of what was answered until then is written.
        MissingDependency: (exit 6) OpenCV or ONNX Runtime is not installed.
    """
    opened = Bundle.open(Path(bundle))
    spec = opened.sensor if sensor is None else load_sensor(sensor).with_range_of(opened.sensor)
    _check_numbers(top_k, max_frames, drop)
    with StopRequest() as stop, closing(open_engine(opened, precision, engine)) as loaded:
        source = open_source(camera, spec, loop)
        return classify(
            source,
            loaded,
            spec,
            opened.classes,
            opened.size,
            name=camera,
            top_k=top_k,
            max_frames=max_frames,
            drop=drop,
            out=out,
            log=log,
            live=live,
            stop=stop,
        )


def classify(
    source: FrameSource,
    engine: Engine,
    spec: SensorSpec,
    classes: Sequence[str],
    size: int,
    *,
    name: str = "source",
    top_k: int = 3,
    max_frames: int | None = None,
    drop: Drop | None = None,
    out: TextIO | None = None,
    log: TextIO | None = None,
    live: bool = True,
    stop: StopRequest | None = None,
) -> RunSummary:
    """:func:`run` with a source and an engine that are already open. The source is closed, the engine is not."""
    _check_numbers(top_k, max_frames, drop)
    records = JsonLines(sys.stdout if out is None else out)
    line = LiveLine(sys.stderr if log is None else log, enabled=live)
    worker = _Worker(engine, spec, classes, size, top_k)
    capture = Capture(source, drop or ("latest" if source.live else "none"))
    begin = time.perf_counter()
    stopped: Stopped = "failed"
    try:
        with capture, Notifier() as notifier:
            stopped = _consume(capture, worker, records, line, notifier, max_frames, stop or StopRequest())
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
            labels={label: stats.labels[label] for label in classes if stats.labels[label]},
            stopped=stopped,
        )
        line.clear()
        if stats.frames or stopped != "failed":
            line.say(summary.text())
    return summary


def _consume(
    capture: Capture,
    worker: _Worker,
    records: JsonLines,
    line: LiveLine,
    notifier: Notifier,
    max_frames: int | None,
    stop: StopRequest,
) -> Stopped:
    """Answer frames until there is a reason to stop; return it."""
    stats = worker.stats
    while stop.reason is None:
        if max_frames is not None and stats.frames >= max_frames:
            return "max-frames"
        item = capture.take(_POLL)
        if item is None:
            if capture.ended:
                return "end"
            notifier.waiting(lambda: "waiting for a frame")
            if line.due():
                line.show(f"waiting for a frame | {stats.rate.rate(time.perf_counter()):.1f} fps")
            continue
        record = worker.answer(*item)
        if records.on_terminal:
            line.clear()
        try:
            records.write(record)
        except BrokenPipeError:
            return "broken-pipe"
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


class _Worker:
    """Turns one captured frame into one record, and counts."""

    def __init__(
        self, engine: Engine, spec: SensorSpec, classes: Sequence[str], size: int, top_k: int
    ) -> None:
        self.stats = Statistics()
        self._engine, self._spec, self._classes = engine, spec, classes
        self._size, self._top_k = size, top_k
        self._format: SensorSpec | None = None  # of the first frame; all others must have it
        self._last_error = ""
        unit_table(spec)  # made once and kept: no frame's latency

    def answer(self, captured: Captured, arrived: float) -> dict[str, Any]:
        """The record of one frame that was in memory at ``arrived`` (``time.perf_counter``).

        Raises:
            SourceLostError: (exit 5) it is the first readable frame and contradicts the SensorSpec.
        """
        if captured.frame is None:
            return self._bad(captured, captured.error or "the source gave no frame and no reason")
        if self._format is None:
            self._format = self._format_of_first(captured.frame, captured.name)
        began = time.perf_counter()
        try:
            self._format.check(captured.frame, captured.name)
            unit = preprocess(captured.frame, self._spec, self._size, captured.name)
        except FrameError as error:
            return self._bad(captured, str(error))
        ready = time.perf_counter()
        _, probabilities = self._engine.infer(unit[np.newaxis])  # (1, K)
        done = time.perf_counter()
        if not np.isfinite(probabilities).all():
            return self._bad(
                captured, f"{captured.name}: the model answered with numbers that are not finite"
            )
        ms = {
            "capture": captured.seconds * 1e3,
            "preprocess": (ready - began) * 1e3,
            "inference": (done - ready) * 1e3,
            "total": (captured.seconds + done - arrived) * 1e3,
        }
        record = answer_record(captured, probabilities[0], self._classes, self._top_k, ms)
        self.stats.count(record["label"], ms, done)
        return record

    def refuse_run(self, name: str) -> None:
        """Raise SourceLostError: not one frame could be classified."""
        if not self.stats.frames:
            raise SourceLostError(f"{name}: not a single frame came. Is the recording empty or damaged?")
        raise SourceLostError(
            f"{name}: none of {self.stats.frames} frames could be classified. The last one: {self._last_error} "
            f"{_sensor_hint()}"
        )

    def _format_of_first(self, frame: NDArray[Any], name: str) -> SensorSpec:
        """Refuse a source of another format; pin the size, so that a later frame of another one is a bad frame."""
        try:
            self._spec.check(frame, name)
        except FrameError as error:
            raise SourceLostError(f"{error} {_sensor_hint()}") from error
        if self._spec.size is not None:
            return self._spec
        height, width = frame.shape
        return self._spec.with_size(width, height)

    def _bad(self, captured: Captured, error: str) -> dict[str, Any]:
        self._last_error = error
        self.stats.count_bad(time.perf_counter())
        return error_record(captured, error)


def _sensor_hint() -> str:
    return (
        f"If this camera writes its frames differently than the one the bundle was adapted with, say how with "
        f"--sensor: a preset ({', '.join(PRESETS)}) or a YAML file."
    )


def _check_numbers(top_k: int, max_frames: int | None, drop: str | None) -> None:
    if top_k < 1:
        raise UsageError(f"--top-k {top_k}: wanted at least 1")
    if max_frames is not None and max_frames < 1:
        raise UsageError(f"--max-frames {max_frames}: wanted at least 1")
    if drop not in (None, "latest", "none"):
        raise UsageError(f"--drop {drop}: wanted latest or none")
