"""``tgkt-edge audit``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from tgkt_edge.api.audit import audit
from tgkt_edge.cli.flags import as_flags


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
    device: Annotated[str, typer.Option(help="Device that runs the models: auto, cpu, cuda.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier CSV and page.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")] = False,
) -> None:
    """Label a few frames by hand and get accuracy with an interval: first --frames N, then --answers CSV."""
    result = audit(
        run, frames=frames, out=out, answers=answers, seed=seed, device=device, overwrite=overwrite
    )
    if as_json:
        typer.echo(json.dumps(result))
        return
    for line in _measured(result) if answers is not None else _picked(run, result):
        typer.echo(as_flags(line), err=True)


def _measured(result: dict[str, Any]) -> list[str]:
    from tgkt_edge.train.audit.audit import describe

    return describe(result)


def _picked(run: Path, result: dict[str, Any]) -> list[str]:
    lost, known = len(result["unreadable"]), result["trained_on"]
    return [
        *([f"left out, the run was trained with their labels: {known} frames"] if known else []),
        *([f"skipped {lost} frames that cannot be read"] if lost else []),
        f"{result['frames']} of {result['of']} frames, drawn at random: {result['table']}",
        f"label them in a browser: {result['sheet']} (or fill the column 'label' by hand)",
        f"then: tgkt-edge audit {run} --answers {result['table']}",
    ]
