"""``tgkt-edge export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tgkt_edge.extras import require


def export_command(
    run: Annotated[Path, typer.Argument(help="Run folder, as 'tgkt-edge adapt' writes it.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Bundle folder to write.")],
    precision: Annotated[list[str] | None, typer.Option(help="fp32; repeatable.")] = None,
    calibrate: Annotated[
        Path | None, typer.Option(help="Real frames to verify with. Default: the run's target frames.")
    ] = None,
    verify: Annotated[bool, typer.Option(help="Compare ONNX Runtime with torch on real frames.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is in -o.")] = False,
) -> None:
    """Write the target network as a verified bundle for the device."""
    require("torch", "export", "Exporting a run")
    require("onnxscript", "export", "Exporting a run")
    from tgkt_edge.export.export import describe, export

    bundle = export(
        run, out, precisions=precision or ("fp32",), frames=calibrate, verify=verify, overwrite=overwrite
    )
    for line in describe(bundle):
        typer.echo(line, err=True)
