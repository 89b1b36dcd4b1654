"""``tgkt-edge export``."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from tgkt_edge.bundle.bundle import MANIFEST
from tgkt_edge.bundle.engine_metadata import Profile
from tgkt_edge.bundle.engines import PRECISIONS
from tgkt_edge.cli.log import log_progress
from tgkt_edge.errors import UsageError
from tgkt_edge.optional_deps import require
from tgkt_edge.trt.options import BuildOptions, check_library, refuse_without_trt
from tgkt_edge.trt.write import build_plans


def export_command(
    run: Annotated[
        Path,
        typer.Argument(
            metavar="RUN_OR_BUNDLE",
            help="Run folder, as 'tgkt-edge adapt' writes it; or a bundle, to add precisions without PyTorch.",
        ),
    ],
    out: Annotated[
        Path | None,
        typer.Option(
            "-o",
            "--out",
            help="Bundle folder to write. With --trt and a bundle: default, that bundle itself.",
        ),
    ] = None,
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
            help="Labelled frames (class folders, or a CSV frame,label): probabilities are calibrated on them, and "
            "what a precision loses is measured as accuracy, else as the share of target frames that get another class."
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
    trt: Annotated[
        bool,
        typer.Option(
            "--trt",
            help="Build TensorRT plans of fp32, fp16 and int8 (those of --precision, or all there are), on the machine "
            "that will run them. From a bundle it needs neither PyTorch nor onnx.",
        ),
    ] = False,
    target_sm: Annotated[
        list[str] | None,
        typer.Option(
            help="--trt with TensorRT-RTX: build for GPUs of this compute capability, 89 for 8.9, with or without one "
            "here; repeatable."
        ),
    ] = None,
    min_batch: Annotated[int, typer.Option(help="--trt: smallest batch.")] = 1,
    opt_batch: Annotated[int, typer.Option(help="--trt: batch that the plan is made fastest for.")] = 1,
    max_batch: Annotated[int, typer.Option(help="--trt: largest batch.")] = 8,
    workspace: Annotated[
        int | None,
        typer.Option(help="--trt: scratch memory the builder may use, MiB. Default: all there is."),
    ] = None,
    optimisation: Annotated[
        int,
        typer.Option(
            "--optimisation", "--optimization", help="--trt: 0 (quick to build) to 5 (slow to build)."
        ),
    ] = 3,
    timing_cache: Annotated[
        Path | None,
        typer.Option(
            help="--trt: file that keeps the builder's timings for the next build. Default: in ~/.cache."
        ),
    ] = None,
    version_compatible: Annotated[
        bool,
        typer.Option(
            "--version-compatible",
            help="--trt: newer TensorRT of the same major version may load the plan, too.",
        ),
    ] = False,
    hardware_compatible: Annotated[
        bool,
        typer.Option("--hardware-compatible", help="--trt: other GPUs from Ampere on may run the plan, too."),
    ] = False,
) -> None:
    """Write the target network as a verified bundle for the device, or build the TensorRT plans of one."""
    options = BuildOptions(
        profile=Profile(min_batch, opt_batch, max_batch),
        workspace_mib=workspace,
        level=optimisation,
        timing_cache=timing_cache,
        version_compatible=version_compatible,
        hardware_compatible=hardware_compatible,
        target_sm=tuple(target_sm or ()),
    )
    if not trt:
        refuse_without_trt(options)
    if out is None:
        if not trt or not (run / MANIFEST).is_file():
            raise UsageError(
                f"-o BUNDLE is missing: where is the bundle of {run} to be written? Only --trt of a bundle needs none."
            )
        without_effect = {
            "--calibrate": calibrate is not None,
            "--calibration-frames": calibration_frames != 512,
            "--calibration-method": calibration_method != "percentile",
            "--labels": labels is not None,
            "--max-drop": max_drop != 0.01,
            "--no-verify": not verify,
            "--skip-bad": skip_bad,
            "--overwrite": overwrite,
        }
        if any(without_effect.values()):
            flags = ", ".join(flag for flag, given in without_effect.items() if given)
            raise UsageError(
                f"{flags}: without effect where --trt builds plans of the ONNX files that {run} holds. Leave out what "
                f"is named, or give -o BUNDLE to make those files again."
            )
        _only_plans(run, precision or (), options)
        return
    if trt:
        check_library(options)
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
        say=log_progress,
    )
    for line in describe(bundle):
        _say(line)
    if trt:
        asked = [name for name in precision or () if name in PRECISIONS and name in bundle.precisions]
        _only_plans(out, asked, options)


def _only_plans(bundle: Path, precisions: Sequence[str], options: BuildOptions) -> None:
    from tgkt_edge.cli.build_progress import build_progress

    with build_progress() as progress:
        build_plans(bundle, precisions, options, say=log_progress, progress=progress)


def _say(line: str) -> None:
    typer.echo(line, err=True)
