"""``tgkt-edge export``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from tgkt_edge.api.export import PLANS, export
from tgkt_edge.cli.build_progress import build_progress
from tgkt_edge.cli.bundle import TrustOption
from tgkt_edge.cli.choices import Precision, words
from tgkt_edge.cli.flags import as_flags
from tgkt_edge.export_options import DEFAULTS, CalibrationMethod, RawInputType


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
        list[Precision] | None,
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
        int, typer.Option(min=1, help="Frames that INT8 is calibrated with, spread evenly over all.")
    ] = DEFAULTS.calibration_frames,
    calibration_method: Annotated[
        CalibrationMethod, typer.Option(help="How INT8 ranges are found.")
    ] = "percentile",
    labels: Annotated[
        Path | None,
        typer.Option(
            help="Labelled frames (class folders, or a CSV frame,label): probabilities are calibrated on them, and "
            "what a precision loses is measured as accuracy, else as the share of target frames that get another class."
        ),
    ] = None,
    max_drop: Annotated[
        float, typer.Option(min=0, max=1, help="What a precision may lose against fp32.")
    ] = DEFAULTS.max_drop,
    verify: Annotated[
        bool, typer.Option(help="Compare with torch, and every precision with fp32, on real frames.")
    ] = True,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Go on without frames that cannot be used.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is in -o.")] = False,
    maps: Annotated[
        bool,
        typer.Option(
            help="Give the graphs the output maps: each class's evidence by place, at no cost in time."
        ),
    ] = True,
    raw: Annotated[
        bool,
        typer.Option(
            "--raw",
            help="Write model.raw.onnx, too, and one of every other precision: raw counts in, preprocessing inside.",
        ),
    ] = False,
    raw_input: Annotated[
        RawInputType,
        typer.Option(help="--raw: elements of the counts: as the sensor gives them, or int32, for TensorRT."),
    ] = "sensor",
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
    min_batch: Annotated[int, typer.Option(min=1, help="--trt: smallest batch.")] = PLANS.profile.min,
    opt_batch: Annotated[
        int, typer.Option(min=1, help="--trt: batch that the plan is made fastest for.")
    ] = PLANS.profile.opt,
    max_batch: Annotated[int, typer.Option(min=1, help="--trt: largest batch.")] = PLANS.profile.max,
    workspace: Annotated[
        int | None,
        typer.Option(min=1, help="--trt: scratch memory the builder may use, MiB. Default: all there is."),
    ] = None,
    optimisation: Annotated[
        int,
        typer.Option(
            "--optimisation",
            "--optimization",
            min=0,
            max=5,
            help="--trt: 0 (quick to build) to 5 (slow to build).",
        ),
    ] = PLANS.level,
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
    trust: TrustOption = None,
) -> None:
    """Write the target network as a verified bundle for the device, or build the TensorRT plans of one."""
    bundle = export(
        run,
        out,
        precisions=words(precision),
        calibrate=calibrate,
        calibration_frames=calibration_frames,
        calibration_method=calibration_method,
        labels=labels,
        max_drop=max_drop,
        verify=verify,
        skip_bad=skip_bad,
        overwrite=overwrite,
        maps=maps,
        raw=raw,
        raw_input=raw_input,
        trt=trt,
        target_sm=target_sm or (),
        min_batch=min_batch,
        opt_batch=opt_batch,
        max_batch=max_batch,
        workspace=workspace,
        optimisation=optimisation,
        timing_cache=timing_cache,
        version_compatible=version_compatible,
        hardware_compatible=hardware_compatible,
        trust=trust or (),
        progress=build_progress,
    )
    if out is not None and not trt:
        from tgkt_edge.export.export import describe

        for line in describe(bundle):
            typer.echo(as_flags(line), err=True)
