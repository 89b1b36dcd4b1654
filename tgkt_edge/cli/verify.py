"""``tgkt-edge verify``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tgkt_edge.cli.bundle import TrustOption
from tgkt_edge.cli.flags import as_flags


def verify_command(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder, as 'tgkt-edge export' writes it.")],
    frames: Annotated[
        Path | None, typer.Option(help="Real frames of the sensor: a folder, or a CSV frame.")
    ] = None,
    labels: Annotated[
        Path | None, typer.Option(help="Labelled frames instead: class folders, or a CSV frame,label.")
    ] = None,
    precision: Annotated[
        list[str] | None, typer.Option(help="What to compare with fp32; repeatable. Default: all it holds.")
    ] = None,
    engine: Annotated[str, typer.Option(help="As for 'run'.")] = "auto",
    max_drop: Annotated[float, typer.Option(help="What a precision may lose against fp32, 0 to 1.")] = 0.01,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Go on without frames that cannot be used.")
    ] = False,
    trust: TrustOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")] = False,
) -> None:
    """Check a bundle's files, and compare its precisions with fp32 on this machine. Exit 3: one loses too much."""
    from tgkt_edge.evaluation.verify import check, describe, verify

    result = verify(
        bundle, frames=frames, labels=labels, precisions=precision, engine=engine, max_drop=max_drop,
        skip_bad=skip_bad, trust=trust or (),
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(result))
    for line in describe(result):
        typer.echo(as_flags(line), err=True)
    check(result)
