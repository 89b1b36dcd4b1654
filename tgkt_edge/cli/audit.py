"""``tgkt-edge audit``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tgkt_edge.errors import UsageError
from tgkt_edge.optional_deps import require


def audit_command(
    run: Annotated[Path, typer.Argument(help="Run folder, as 'tgkt-edge adapt' writes it.")],
    frames: Annotated[
        int | None, typer.Option(help="Pick so many target frames, at random, for a person to label.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="CSV to write, with a page beside it [RUN/audit.csv].")
    ] = None,
    answers: Annotated[
        Path | None, typer.Option(help="The filled CSV: measure accuracy with it. '?': cannot tell.")
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of the draw; another one picks other frames.")] = 0,
    device: Annotated[str, typer.Option(help="Where the models answer: auto, cpu, cuda.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier CSV and page.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")] = False,
) -> None:
    """Label a few frames by hand and get accuracy with an interval: first --frames N, then --answers CSV."""
    if (frames is None) == (answers is None):
        raise UsageError(
            "give either --frames N (write a CSV to fill) or --answers CSV (measure with a filled one)"
        )
    require("torch", "train", "An audit")
    from tgkt_edge.train.audit.audit import describe, pick, score

    if answers is not None:
        result = score(run, answers, device)
        if as_json:
            typer.echo(json.dumps(result))
        else:
            for line in describe(result):
                typer.echo(line, err=True)
        return
    assert frames is not None
    picked = pick(run, frames, out, seed=seed, overwrite=overwrite)
    if picked.unreadable:
        typer.echo(f"skipped {len(picked.unreadable)} frames that cannot be read", err=True)
    if as_json:
        typer.echo(
            json.dumps({"table": str(picked.table), "sheet": str(picked.sheet), "frames": picked.frames})
        )
        return
    for line in (
        f"{picked.frames} of {picked.of} frames, drawn at random: {picked.table}",
        f"label them in a browser: {picked.sheet} (or fill the column 'label' by hand)",
        f"then: tgkt-edge audit {run} --answers {picked.table}",
    ):
        typer.echo(line, err=True)
