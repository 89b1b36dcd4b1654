"""``tgkt-edge compare``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tgkt_edge.cli.bundle import TrustOption
from tgkt_edge.cli.flags import as_flags


def compare_command(
    old: Annotated[Path, typer.Argument(help="Bundle that runs now.")],
    new: Annotated[Path, typer.Argument(help="Bundle that is to take its place.")],
    frames: Annotated[
        str, typer.Option(help="Recorded frames without labels: what 'tgkt-edge predict' takes as SRC.")
    ],
    precision: Annotated[str, typer.Option(help="Precision of both bundles, as for 'run'.")] = "fp32",
    engine: Annotated[str, typer.Option(help="As for 'run'.")] = "auto",
    sensor: Annotated[
        str | None, typer.Option(help="How these frames are written, if not as the adapted ones.")
    ] = None,
    min_agreement: Annotated[
        float | None,
        typer.Option(help="Exit 3 if a smaller share of the frames, 0 to 1, gets the same label from both."),
    ] = None,
    page: Annotated[
        Path | None, typer.Option(help="HTML file to write, with pictures of the frames that differ.")
    ] = None,
    trust: TrustOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")] = False,
) -> None:
    """Where two bundles answer differently. Exit 0, however much they differ, unless --min-agreement asks for more."""
    from tgkt_edge.evaluation.compare import check, compare, describe

    result = compare(
        old, new, frames, precision=precision, engine=engine, sensor=sensor, min_agreement=min_agreement, page=page,
        trust=trust or (),
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(result))
    for line in describe(result):
        typer.echo(as_flags(line), err=True)
    check(result)
