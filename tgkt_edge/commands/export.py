"""``tgkt-edge export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tgkt_edge.bundle import MANIFEST
from tgkt_edge.extras import require


def export_command(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN_OR_BUNDLE",
            help="Run folder, as 'tgkt-edge adapt' writes it; or a bundle, to add precisions without PyTorch.",
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Bundle folder to write.")],
    precision: Annotated[
        list[str] | None,
        typer.Option(
            help="fp16, int8 (for TensorRT) or int8-cpu (for ONNX Runtime on CPUs); repeatable. fp32, which they are "
            "compared with, is always there."
        ),
    ] = None,
    calibrate: Annotated[
        Path | None,
        typer.Option(
            help="Real target frames to calibrate INT8 and verify with: a folder, or a CSV frame. Default: the run's."
        ),
    ] = None,
    calibration_frames: Annotated[
        int, typer.Option(help="Frames that INT8 is calibrated with, spread evenly over all.")
    ] = 512,
    calibration_method: Annotated[str, typer.Option(help="percentile, entropy or minmax.")] = "percentile",
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Labelled frames (class folders, or a CSV frame,label): what a precision loses is then measured as "
            "accuracy on them, else as the share of target frames that get another class."
        ),
    ] = None,
    max_drop: Annotated[float, typer.Option(help="What a precision may lose against fp32, 0 to 1.")] = 0.01,
    verify: Annotated[
        bool, typer.Option(help="Compare with torch, and every precision with fp32, on real frames.")
    ] = True,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Go on without frames that cannot be used.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is in -o.")] = False,
) -> None:
    """Write the target network as a verified bundle for the device."""
    if not (run / MANIFEST).is_file():
        require("torch", "export", "Exporting a run")
        require("onnxscript", "export", "Exporting a run")
    require("onnx", "export", "Exporting")
    require("onnxruntime", "export", "Exporting")
    from tgkt_edge.export.export import describe, export

    bundle = export(
        run,
        out,
        precisions=precision or ("fp32",),
        calibrate=calibrate,
        calibration_frames=calibration_frames,
        calibration_method=calibration_method,
        labels=labels,
        max_drop=max_drop,
        verify=verify,
        skip_bad=skip_bad,
        overwrite=overwrite,
        say=lambda line: typer.echo(line, err=True),
    )
    for line in describe(bundle):
        typer.echo(line, err=True)
