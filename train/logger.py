"""What training logs: metrics.jsonl, TensorBoard, and a progress bar (plain lines where there is no terminal)."""

from __future__ import annotations

import json
import logging
import math
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Protocol, TextIO

import torch
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    ProgressColumn,
    Task,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Column
from rich.text import Text
from torch import Tensor

from tgkt_edge.errors import TgktEdgeError
from tgkt_edge.io.atomic import write_text
from tgkt_edge.notes import LOGGER, phrase
from tgkt_edge.train.nn.checkpoint import save_tensors
from tgkt_edge.train.time_left import TimeLeft, in_words

PLAIN_LINE_EVERY_S = 10.0
_STEPS_A_RECORD = 10


class Advance(Protocol):
    """Tells a progress bar that ``count`` more are done. known: they were there already, and took no time."""

    def __call__(self, count: int, *, known: bool = False) -> None: ...


@contextmanager
def _writing(path: object) -> Iterator[None]:
    """Turn a disk's refusal into TgktEdgeError, which names ``path``."""
    try:
        yield
    except OSError as error:
        raise TgktEdgeError(
            f"cannot write {path}: {error.strerror or error}. Make room, then go on with `resume=True`."
        ) from error


class RunLog:
    """The log of one run folder. A context manager.

    ``metrics.jsonl`` holds one object a line: ``stage``, ``epoch`` (from 1), ``step`` (within the stage, from 1) and
    every loss term averaged over the steps since the line before; or ``event`` lines.

    Args:
        folder: the run folder; None logs to the terminal only. Nothing is shown there while the level of the logger
            ``tgkt_edge`` is above INFO.

    Attributes:
        time_left: of the whole run, which every line then shows; None: each stage shows its own.
    """

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder
        self.console = Console(stderr=True, highlight=False, quiet=LOGGER.level > logging.INFO)
        self.time_left: TimeLeft | None = None
        self._stage = ""
        self._metrics: TextIO | None = None
        self._board: Any = None
        if folder:
            from torch.utils.tensorboard.writer import SummaryWriter

            with _writing(folder / "metrics.jsonl"):
                self._metrics = (folder / "metrics.jsonl").open("a", encoding="utf-8")
            with _writing(folder / "tensorboard"):
                self._board = SummaryWriter(str(folder / "tensorboard"))

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        try:
            for file in (self._metrics, self._board):
                if file:
                    with _writing(self.folder):
                        file.close()
        except TgktEdgeError:
            if kind is None:  # else it is what could not be written before, which was raised already
                raise

    def say(self, text: str) -> None:
        """A line for the person watching, on stderr."""
        self.console.print(phrase(text), markup=False, soft_wrap=True)

    def record(self, values: Mapping[str, Any]) -> None:
        """One line of metrics.jsonl, on disk at once."""
        if self._metrics:
            with _writing(self._metrics.name):
                self._metrics.write(json.dumps(dict(values)) + "\n")
                self._metrics.flush()

    def scalars(self, stage: str, step: int, values: Mapping[str, float]) -> None:
        """The same numbers for TensorBoard."""
        if self._board:
            with _writing(self._board.log_dir):
                for name, value in values.items():
                    self._board.add_scalar(f"{stage}/{name}", value, step)

    def begin(self, stage: str) -> None:
        """A stage of the run begins, of which :meth:`progress` and :meth:`stage` then tell."""
        self._stage = stage
        if self.time_left is not None:
            self.time_left.begin(stage)

    def end(self, stage: str) -> None:
        """It is over."""
        self._stage = ""
        if self.time_left is not None:
            self.time_left.end(stage)

    @contextmanager
    def progress(self, name: str, total: int) -> Iterator[Advance]:
        """Show, and do not record, how far something is that has no losses; yields what is called with each advance."""
        title = f"{self._stage}: {name}" if self._stage else name
        start = last_line = time.monotonic()
        done = 0
        with _bar(self.console, self.time_left) as bar:
            task = bar.add_task(title, total=total, terms="")

            def advance(count: int, *, known: bool = False) -> None:
                nonlocal done, last_line
                done += count
                if self.time_left is not None:
                    self.time_left.advance(name, done / total, known=known)
                bar.update(task, completed=done)
                now = time.monotonic()
                if not self.console.is_terminal and (done == total or now - last_line >= PLAIN_LINE_EVERY_S):
                    last_line = now
                    self.say(f"{title} {done}/{total}{self.eta((now - start) / done * (total - done))}")

            yield advance

    def eta(self, of_stage: float) -> str:
        """`` ETA 12 min`` of the whole run where that is known, else of the stage; empty where it is too early."""
        left = of_stage if self.time_left is None else self.time_left.seconds()
        return "" if left is None else f" ETA {in_words(left)}"

    @contextmanager
    def stage(self, name: str, epochs: int, steps_per_epoch: int, done_epochs: int = 0) -> Iterator[StageLog]:
        """Show and record one stage of ``epochs`` times ``steps_per_epoch`` steps."""
        with StageLog(self, name, epochs, steps_per_epoch, done_epochs) as stage:
            yield stage


class StageLog:
    """Progress of one stage; call :meth:`step` after each step."""

    def __init__(self, log: RunLog, name: str, epochs: int, steps_per_epoch: int, done_epochs: int) -> None:
        self._log, self.name, self._epochs, self._per_epoch = log, name, epochs, steps_per_epoch
        self._step = done_epochs * steps_per_epoch
        self._start_step, self._start = self._step, time.monotonic()
        self._sums: dict[str, Tensor] = {}
        self._count = 0
        self._last_line = -PLAIN_LINE_EVERY_S
        self._means: dict[str, float] = {}
        self._bar = _bar(log.console, log.time_left)
        self._task = self._bar.add_task(name, total=epochs * steps_per_epoch, completed=self._step, terms="")

    def __enter__(self) -> StageLog:
        if self._log.time_left is not None and self._step:  # of a run that goes on
            self._log.time_left.advance(self.name, self._step / (self._epochs * self._per_epoch), known=True)
        self._bar.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, value: object, trace: TracebackType | None) -> None:
        try:
            if self._count and kind is None:
                self._flush()
        finally:
            self._bar.stop()

    def step(self, terms: Mapping[str, Tensor]) -> None:
        """Add one step's loss terms, scalars; read from the device every ten steps and at epochs' ends only."""
        for name, value in terms.items():
            value = value.detach()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._count += 1
        self._step += 1
        if self._log.time_left is not None:
            self._log.time_left.advance(self.name, self._step / (self._epochs * self._per_epoch))
        if self._count == _STEPS_A_RECORD or self._step % self._per_epoch == 0:
            self._flush()
        self._bar.update(self._task, completed=self._step)

    def note(self, epoch: int, values: Mapping[str, Any]) -> None:
        """Record values of an epoch (from 0) that are no loss terms."""
        self._log.record({"stage": self.name, "epoch": epoch + 1, "event": "epoch", **values})

    def answers(self, epochs_done: int, probabilities: Tensor) -> None:
        """Keep what the network answers on all target frames after ``epochs_done`` epochs, for the report.

        Args:
            probabilities: (N, K) float32, rows of sum 1, in the order of the target frames. Written to
                ``epochs/<stage>-<epochs_done>.safetensors``; a resumed run writes the same again.
        """
        if self._log.folder is not None:
            path = self._log.folder / "epochs" / f"{self.name}-{epochs_done}.safetensors"
            about = {"kind": "answers", "stage": self.name, "epochs": epochs_done}
            save_tensors(path, {"probabilities": probabilities.float().cpu().contiguous()}, about)

    def _flush(self) -> None:
        epoch = (self._step - 1) // self._per_epoch + 1
        means = torch.stack([value.float() for value in self._sums.values()]).div(self._count).tolist()
        self._means = dict(zip(self._sums, means, strict=True))
        lost = [name for name, value in self._means.items() if not math.isfinite(value)]
        if lost:
            raise TgktEdgeError(
                f"{self.name}: {', '.join(lost)} became infinite or not a number by step {self._step}: it diverged. "
                f"Lower the learning rate (`set_={self.name.partition('-')[0]}.lr=...`), or try `precision=fp32`."
            )
        self._log.record({"stage": self.name, "epoch": epoch, "step": self._step, **self._means})
        self._log.scalars(self.name, self._step, self._means)
        self._sums, self._count = {}, 0
        terms = " ".join(f"{name} {value:.3f}" for name, value in self._means.items())
        self._bar.update(self._task, terms=terms)
        now = time.monotonic()
        last = self._step == self._epochs * self._per_epoch
        if not self._log.console.is_terminal and (last or now - self._last_line >= PLAIN_LINE_EVERY_S):
            self._last_line = now
            rate = (now - self._start) / (self._step - self._start_step)
            left = rate * (self._epochs * self._per_epoch - self._step)
            line = (
                f"{self.name}: epoch {epoch}/{self._epochs} step {self._step}/{self._epochs * self._per_epoch}"
                f"{self._log.eta(left)} "
            )
            self._log.say(fit(line, [f"{name} {value:.3f}" for name, value in self._means.items()]))


def fit(line: str, terms: list[str], width: int = 79) -> str:
    """``line`` with as many of ``terms`` after it as fit into ``width`` columns; all are in metrics.jsonl."""
    for term in terms:
        if len(line) + 1 + len(term) > width:
            return f"{line} ..." if len(line) + 4 <= width else line
        line += f" {term}"
    return line


class _Eta(ProgressColumn):
    """The time that is left of the whole run, else of the bar's own task."""

    def __init__(self, time_left: TimeLeft | None) -> None:
        super().__init__(Column(no_wrap=True))
        self._time_left = time_left

    def render(self, task: Task) -> Text:
        left = task.time_remaining if self._time_left is None else self._time_left.seconds()
        return Text("" if left is None else f"ETA {in_words(left)}")


def _bar(console: Console, time_left: TimeLeft | None) -> Progress:
    """A progress bar with the time that is left; nothing is drawn where there is no terminal."""
    return Progress(
        TextColumn("{task.description}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=2)),
        BarColumn(bar_width=12),
        MofNCompleteColumn(table_column=Column(no_wrap=True)),
        TimeElapsedColumn(table_column=Column(no_wrap=True)),
        _Eta(time_left),
        TextColumn("{task.fields[terms]}", table_column=Column(no_wrap=True, overflow="ellipsis", ratio=1)),
        console=console,
        disable=not console.is_terminal,
        expand=True,
    )


def truncate_metrics(path: Path, stage: str, epochs: int, order: tuple[str, ...]) -> None:
    """Drop lines of a resumed run that will be written again: of ``stage`` after ``epochs``, and of later stages."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            entry = json.loads(line)
        except ValueError:
            continue  # the line that the kill cut short
        name = entry.get("stage")
        if (
            name not in order
            or order.index(name) < order.index(stage)
            or (name == stage and entry.get("epoch", epochs + 1) <= epochs)
        ):
            kept.append(line)
    write_text(path, "".join(line + "\n" for line in kept))
