"""``tgkt_edge.predict``: recorded frames to a table that can be continued after an interruption."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TextIO

from tgkt_edge import __version__
from tgkt_edge.bundle.signature import open_trusted
from tgkt_edge.errors import SourceLostError, TgktEdgeError, UsageError
from tgkt_edge.io.addresses import redacted
from tgkt_edge.runtime.engines.base import Engine, on_cpu
from tgkt_edge.runtime.engines.onnxruntime import lanes_for_files
from tgkt_edge.runtime.infer.preprocess_stage import FormatCheck, sensor_hint
from tgkt_edge.runtime.model import Model, load
from tgkt_edge.runtime.output.live_line import LiveLine
from tgkt_edge.runtime.output.nonblocking import PATIENCE
from tgkt_edge.runtime.output.shutdown import StopRequest
from tgkt_edge.runtime.predict.answers import Answers
from tgkt_edge.runtime.predict.frames import RecordedFrames
from tgkt_edge.runtime.predict.journal import Format, Journal
from tgkt_edge.runtime.predict.parquet import check_pyarrow, write_parquet
from tgkt_edge.runtime.predict.rows import Csv, JsonLines, columns

FORMATS = (".parquet", ".csv", ".jsonl")
"""What a table's name may end in."""

GPU_BATCH = 32
"""Frames in one call where ONNX Runtime answers on a GPU. On a CPU one a call in each lane is as fast as several."""


@dataclass(frozen=True)
class PredictSummary:
    """What was written.

    Attributes:
        out: the table. frames: its rows. bad: those of frames that could not be used.
        resumed: rows that were there already. batch: frames in one call. engine: library and device.
        seconds, fps: of this call: how long, and rows that it added a second.
        stopped: "end", or by a signal: then the rows so far wait in ``OUT.partial``.
    """

    out: str
    frames: int
    bad: int
    resumed: int
    batch: int
    engine: str
    seconds: float
    fps: float
    stopped: Literal["end", "interrupted", "terminated"]

    def text(self) -> str:
        """One line for people."""
        before = f", {self.resumed} of them from before" if self.resumed else ""
        what = f"{self.out}: {self.frames} rows ({self.bad} without an answer{before})"
        if self.stopped == "end" and self.frames == self.resumed:
            return what
        rate = f" in {self.seconds:.1f} s: {self.fps:.1f} frames/s, {self.engine}, batch {self.batch}"
        if self.stopped != "end":
            return f"{what}{rate}; {self.stopped}: the same command continues at frame {self.frames}"
        return what + rate


def predict(
    bundle: Path | str,
    source: str,
    out: Path | str,
    *,
    precision: str = "fp32",
    engine: str = "auto",
    batch: int | None = None,
    sensor: str | None = None,
    overwrite: bool = False,
    trust: Sequence[Path | str] = (),
    live: bool = True,
    log: TextIO | None = None,
) -> PredictSummary:
    """Classify recorded frames into a table: every class's probability of each, in the frames' order.

    After an interruption the same call continues at the frame after the last complete row.

    Args:
        bundle: folder written by ``export``.
        source: a folder, glob, image, video, recording, or a CSV with a column ``frame``.
        out: ``.parquet``, ``.csv`` or ``.jsonl``. Beside it, ``OUT.job.json`` records its origin, and until it is
            complete ``OUT.partial`` holds its rows.
        precision, engine, sensor: as for :func:`tgkt_edge.run`.
        batch: frames in one call of the engine; None: on a GPU many, on a CPU one on each core. With 1 every
            probability is exactly that of ``run``.
        overwrite: replace a table that is there; one that the same call left unfinished goes on.
        trust: public keys; given some, a bundle is refused unless it is signed with one of them.
        live: show progress. log: where that and the summary go instead of stderr.

    Returns:
        What was written; see ``stopped``.

    Raises:
        UsageError: (exit 2) a bad argument; ``out`` exists and was made of something else.
        IncompatibleError: (exit 4) the bundle or its model cannot be used.
        SourceLostError: (exit 5) no frames, the first one contradicts the SensorSpec, or not one could be classified.
        MissingDependency: (exit 6) a library is not installed, pyarrow for ``.parquet``.
        TgktEdgeError: (exit 1) the disk is full: what is written stays, and the same call continues.
    """
    out, source = Path(out), os.fspath(source)
    if out.suffix.lower() not in FORMATS:
        raise UsageError(f"`out={out}`: expected a name that ends in {', '.join(FORMATS)}")
    if out.is_dir():
        raise UsageError(f"`out={out}`: a folder; expected the name of a file")
    if Path(source).exists() and out.exists() and os.path.samefile(source, out):
        raise UsageError(f"`out={out}`: lists the frames. Choose another name.")
    if batch is not None and batch < 1:
        raise UsageError(f"`batch={batch}`: expected at least 1")
    if out.suffix.lower() == ".parquet":
        check_pyarrow()
    line = LiveLine(sys.stderr if log is None else log, enabled=live)
    with (
        StopRequest() as stop,
        load(
            open_trusted(Path(bundle), trust),
            engine=engine,
            precision=precision,
            sensor=sensor,
            lanes=lanes_for_files(),
            say=line.inform,
            warn=line.say,
        ) as model,
        RecordedFrames(source, model.sensor) as frames,
    ):
        size = batch_size(model.engine, batch)
        job = {
            "bundle": model.digest,
            "source": redacted(source),
            "files": frames.fingerprint(),
            "columns": columns(model.classes),
            "precision": precision,
            "engine": model.engine.name,
            "batch": size,
            "sensor": model.sensor.to_dict(),
            "version": __version__,
        }
        form: Format = Csv(model.classes) if out.suffix.lower() == ".csv" else JsonLines(model.classes)
        with Journal(out, form, job, overwrite=overwrite) as journal:
            if journal.complete:
                line.inform(f"{out} is complete already: {journal.rows} rows")
            summary = _write(journal, frames, model, size, line, stop)
            if summary.stopped == "end" and not journal.complete:
                _publish(journal, model, job)
    line.clear()
    line.inform(summary.text())
    line.finish(PATIENCE)
    if summary.stopped == "end" and summary.frames == summary.bad:
        raise SourceLostError(
            f"{redacted(source)}: none of {summary.frames} frames could be classified; {out} says why of each. "
            f"{sensor_hint()}"
        )
    return summary


def batch_size(engine: Engine, asked: int | None) -> int:
    """Frames in one call. Raises UsageError (exit 2) for more than the engine takes."""
    inner: Any = getattr(engine, "engine", engine)  # without its calibration
    most: int | None = getattr(inner, "max_batch", None)
    if asked is None:
        return most or (1 if on_cpu(engine) else GPU_BATCH)
    if most is not None and asked > most:
        raise UsageError(
            f"`batch={asked}`: this plan takes at most {most}. Build one with 'tgkt-edge export BUNDLE --trt "
            f"--max-batch {asked}', or leave `batch` out."
        )
    return asked


def _write(
    journal: Journal, frames: RecordedFrames, model: Model, batch: int, line: LiveLine, stop: StopRequest
) -> PredictSummary:
    """Add the rows that are missing."""
    resumed, begin = journal.rows, time.perf_counter()
    if not journal.complete:
        if resumed:
            line.inform(f"{journal.out}: {resumed} rows are there; going on at frame {resumed}")
        check = FormatCheck(model.sensor, journal.size)
        with Answers(model.engine, model.sensor, model.size, batch, check) as answers:
            for rows in answers.rows(frames.jobs(resumed)):
                if check.pinned is not None and isinstance(check.pinned.size, tuple):
                    journal.pin(check.pinned.size)
                journal.add(rows)
                if stop.reason is not None:
                    break
                if line.due():
                    line.show(_state(journal, frames.count, resumed, time.perf_counter() - begin))
    seconds = time.perf_counter() - begin
    return PredictSummary(
        out=str(journal.out),
        frames=journal.rows,
        bad=journal.bad,
        resumed=resumed,
        batch=batch,
        engine=model.engine.name,
        seconds=seconds,
        fps=(journal.rows - resumed) / seconds,
        stopped=stop.reason or "end",
    )


def _publish(journal: Journal, model: Model, job: dict[str, Any]) -> None:
    """Give the complete table its name."""
    journal.finish()
    publish: Callable[[], None] = partial(os.replace, journal.partial, journal.out)
    if journal.out.suffix.lower() == ".parquet":
        try:
            write_parquet(journal.partial, journal.out, model.classes, job)
        except TgktEdgeError as error:
            raise TgktEdgeError(
                f"{error} All {journal.rows} rows are in {journal.partial.name}: make room, then the same command "
                f"makes the table of them."
            ) from error
        publish = partial(journal.partial.unlink, missing_ok=True)
    try:
        publish()
    except OSError as error:
        raise journal.refused(error) from error


def _state(journal: Journal, count: int | None, resumed: int, seconds: float) -> str:
    """The live line's text."""
    rate = (journal.rows - resumed) / seconds
    left = f" | {_duration((count - journal.rows) / rate)} left" if count is not None and rate else ""
    of = f" of {count}" if count is not None else ""
    return f"{journal.rows}{of} frames | {rate:.1f} frames/s{left} | {journal.bad} bad"


def _duration(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return (
        f"{hours} h {minutes} min" if hours else f"{minutes} min {seconds} s" if minutes else f"{seconds} s"
    )
