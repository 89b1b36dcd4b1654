"""``tgkt-edge benchmark``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tgkt_edge.api.benchmark import benchmark
from tgkt_edge.benchmark import ROUNDS, SECONDS
from tgkt_edge.cli.bundle import TrustOption
from tgkt_edge.cli.flags import as_flags
from tgkt_edge.errors import EXIT_INTERRUPTED, UsageError


def benchmark_command(
    bundles: Annotated[
        list[Path],
        typer.Argument(
            help="Bundle folder, as 'tgkt-edge export' writes it; several of one task to compare their networks.",
        ),
    ],
    precision: Annotated[
        list[str] | None,
        typer.Option(help="In addition to fp32; repeatable. Default: all that the bundle holds."),
    ] = None,
    engine: Annotated[
        list[str] | None, typer.Option(help="As for 'run'; repeatable. Default: every engine.")
    ] = None,
    batch: Annotated[list[int] | None, typer.Option(help="Frames per call; repeatable. Default: 1.")] = None,
    frames: Annotated[
        Path | None,
        typer.Option(
            help="Real frames of the sensor, to measure agreement with fp32: a folder, or a CSV frame."
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Labelled frames instead, to measure accuracy, too: class folders, or a CSV frame,label."
        ),
    ] = None,
    rounds: Annotated[int, typer.Option(help="How many times each row is measured, in turns.")] = ROUNDS,
    seconds: Annotated[
        float, typer.Option(help="How long each row is timed, in all its rounds together.")
    ] = SECONDS,
    threads: Annotated[
        int | None, typer.Option(help="CPU threads of one inference. Default: the engine's choice.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Go on without frames that cannot be used.")
    ] = False,
    trust: TrustOption = None,
    json_path: Annotated[
        Path | None,
        typer.Option("--json", metavar="PATH", help="The result as JSON to this file; -: to stdout."),
    ] = None,
) -> None:
    """Time all precisions of one bundle or several on all engines of this machine, in turns: one table."""
    from tgkt_edge.benchmark.report import check, describe
    from tgkt_edge.io.atomic import write_json

    to_file = json_path if json_path != Path("-") else None
    if to_file is not None and (to_file.is_dir() or not to_file.absolute().parent.is_dir()):
        raise UsageError(f"--json {to_file}: expected a file in a folder that exists, or - for stdout")
    result = benchmark(
        bundles, precisions=precision, engines=engine, batches=batch, frames=frames, labels=labels, rounds=rounds,
        seconds=seconds, threads=threads, skip_bad=skip_bad, trust=trust or (),
    )  # fmt: skip
    for line in describe(result):
        typer.echo(as_flags(line), err=True)
    if to_file is not None:
        write_json(to_file, result)
    elif json_path is not None:
        typer.echo(json.dumps(result, allow_nan=False))
    if result["interrupted"]:
        raise typer.Exit(EXIT_INTERRUPTED)
    check(result)
