"""Progress of a TensorRT build on stderr: a bar in a terminal, a line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TaskID, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bar

from tgkt_edge.cli.log import is_quiet
from tgkt_edge.trt.monitor import Progress

EVERY = 10.0
"""Seconds between lines where there is no terminal."""


@contextmanager
def build_progress() -> Iterator[Progress]:
    """Yield what :func:`tgkt_edge.trt.write.build_plans` calls with a phase, steps done and steps in all."""
    if is_quiet():
        yield lambda phase, done, total: None
        return
    console = Console(stderr=True, highlight=False)
    if not console.is_terminal:
        printed = [time.monotonic()]

        def line(phase: str, done: int, total: int) -> None:
            if time.monotonic() - printed[0] >= EVERY:
                printed[0] = time.monotonic()
                typer.echo(f"{phase}: {done} of {total}", err=True)

        yield line
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bar(*columns, console=console, transient=True) as bar:
        tasks: dict[str, TaskID] = {}

        def show(phase: str, done: int, total: int) -> None:
            if phase not in tasks or done == 0:
                tasks[phase] = bar.add_task(phase, total=total)
            bar.update(tasks[phase], completed=done, total=total)
            if done == total:
                bar.remove_task(tasks.pop(phase))

        yield show
