"""``tgkt-edge evaluate``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tgkt_edge.cli.bundle import TrustOption
from tgkt_edge.cli.flags import as_flags


def evaluate_command(
    path: Annotated[Path, typer.Argument(metavar="RUN_OR_BUNDLE", help="Run folder or bundle.")],
    data: Annotated[
        Path, typer.Option(help="Labelled frames: a folder of class folders, or a CSV frame,label.")
    ],
    model: Annotated[
        list[str] | None,
        typer.Option(help="source-only, shipped, tgmb, translate or target; repeatable. Default: all."),
    ] = None,
    sensor: Annotated[
        str | None, typer.Option(help="How these frames are written, if not as the adapted ones.")
    ] = None,
    precision: Annotated[str, typer.Option(help="Precision of a bundle's model.")] = "fp32",
    device: Annotated[
        str, typer.Option(help="Device that runs the models of a run: auto, cpu, cuda.")
    ] = "auto",
    predictions: Annotated[
        Path | None, typer.Option(help="Write every frame's probabilities to this JSONL file.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Go on without frames that cannot be used.")
    ] = False,
    trust: TrustOption = None,
    as_json: Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")] = False,
) -> None:
    """Accuracy, balanced accuracy, recall and confusion on labelled frames."""
    from tgkt_edge.evaluation.evaluate import describe, evaluate

    result = evaluate(
        path, data, models=model, sensor=sensor, precision=precision, device=device,
        skip_bad=skip_bad, predictions=predictions, trust=trust or (),
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(result))
    else:
        for line in describe(result):
            typer.echo(as_flags(line), err=True)
