"""``tgkt-edge predict``."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from tgkt_edge.cli.bundle import TrustOption
from tgkt_edge.cli.log import is_quiet
from tgkt_edge.errors import EXIT_INTERRUPTED


def predict_command(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder, as 'tgkt-edge export' writes it.")],
    source: Annotated[
        str,
        typer.Argument(
            metavar="SRC",
            help="Recorded frames: a folder (searched recursively), a glob, an image or a video file, what 'tgkt-edge "
            "record' wrote, or a CSV with a column frame.",
        ),
    ],
    out: Annotated[
        Path, typer.Option("--out", "-o", help="The table: a name that ends in .parquet, .csv or .jsonl.")
    ],
    precision: Annotated[
        str, typer.Option(help="fp32, fp16, int8, int8-cpu (what the bundle holds), or auto.")
    ] = "fp32",
    engine: Annotated[str, typer.Option(help="As for 'run'.")] = "auto",
    batch: Annotated[
        int | None,
        typer.Option(
            help="Frames in one call of the engine. Default: on a GPU 32, or what the plan takes; on a CPU one on each "
            "core. With 1 the probabilities are exactly those of 'run'."
        ),
    ] = None,
    sensor: Annotated[
        str | None, typer.Option(help="How these frames are written, if not as the adapted ones.")
    ] = None,
    overwrite: Annotated[
        bool,
        typer.Option(
            "--overwrite",
            help="Replace a table that is there. What this very command left unfinished goes on.",
        ),
    ] = False,
    trust: TrustOption = None,
    live: Annotated[bool, typer.Option(help="Show progress and the time left on stderr.")] = True,
    as_json: Annotated[bool, typer.Option("--json", help="The summary as JSON on stdout.")] = False,
) -> None:
    """Classify recorded frames into a table: every class's probability of each. A call that was killed goes on."""
    from tgkt_edge.runtime.predict.predict import predict

    summary = predict(
        bundle, source, out, precision=precision, engine=engine, batch=batch, sensor=sensor, overwrite=overwrite,
        trust=trust or (),
        live=live and not is_quiet(),
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(asdict(summary)))
    if summary.stopped != "end":
        raise typer.Exit(EXIT_INTERRUPTED)
