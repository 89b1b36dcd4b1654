"""``tgkt-edge adapt``."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from tgkt_edge.api.adapt import adapt
from tgkt_edge.cli.bundle import TrustOption
from tgkt_edge.cli.flags import as_flags
from tgkt_edge.cli.source import (
    ArchOption,
    BgrOption,
    CheckOption,
    ClassesOption,
    MapOption,
    MeanOption,
    OriginOption,
    SizeOption,
    StdOption,
)


def adapt_command(
    target: Annotated[
        Path, typer.Option(help="Unlabelled frames of the task: a folder, or a CSV with 'frame'.")
    ],
    sensor: Annotated[
        str | None,
        typer.Option(
            help="A preset (depth, nir, nir8, nyuv2, sunrgbd: see 'data presets') or a YAML file; needed except with "
            "--continue."
        ),
    ] = None,
    out: Annotated[Path | None, typer.Option("-o", "--out", help="Run folder to write. Required.")] = None,
    paired: Annotated[
        Path | None,
        typer.Option(
            help="Other scenes: a folder with rgb/ and frame/, or a CSV rgb,frame. shot and source-only need none."
        ),
    ] = None,
    source_model: Annotated[
        Path | None,
        typer.Option(
            help="RGB classifier: a source checkpoint, a run with one, or a model of another program "
            "(.pth, .pt, .safetensors, .onnx), which 'source import' takes as well."
        ),
    ] = None,
    source_classes: ClassesOption = None,
    map_: MapOption = None,
    arch: ArchOption = None,
    mean: MeanOption = None,
    std: StdOption = None,
    bgr: BgrOption = False,
    size: SizeOption = None,
    origin: OriginOption = None,
    check_images: CheckOption = None,
    source: Annotated[
        Path | None,
        typer.Option(
            help="Or labelled RGB to train one: a folder of class folders, or a CSV image,label. Beside a model of "
            "another program: the images that it was trained on, as for 'source import'."
        ),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(
            help="ImageNet's weights, which describe the frames, and which a source model starts from: imagenet, none, "
            "or a safetensors file."
        ),
    ] = None,
    student: Annotated[
        str | None,
        typer.Option(
            help="Target network: resnet50 (default), resnet18, mobilenet_v3_large, efficientnet_b0, convnext_tiny, "
            "any other of torchvision's, or timm:NAME."
        ),
    ] = None,
    student_weights: Annotated[
        str | None,
        typer.Option(help="Where another target network starts: imagenet (default), none, or a file."),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help="tgkt (default); translate: no training, an answer in minutes; to compare with: tgmb, socket, shot, "
            "source-only."
        ),
    ] = None,
    translator: Annotated[
        str | None,
        typer.Option(
            help="features (default): a translation in closed form; pixels: the paper's T. Only for tgkt."
        ),
    ] = None,
    prior: Annotated[
        str | None,
        typer.Option(
            help="Expected class shares: estimated (default), shares (the source's), half (of them, half uniform), "
            "between, uniform, or a CSV class,share."
        ),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            help="CSV frame,label of a few target frames, as 'audit' writes it: they correct the translation."
        ),
    ] = None,
    continue_: Annotated[
        Path | None,
        typer.Option(
            "--continue",
            help="A shipped bundle, or the run it came from: continue with its target network on the new frames of "
            "--target, without pairs or a source; the verdict compares with it.",
        ),
    ] = None,
    old_frames: Annotated[
        Path | None,
        typer.Option(
            help="Frames that the network of --continue knew: trained on again, a fifth left out to measure what it "
            "still knows. Default: those of the run, if they are still there."
        ),
    ] = None,
    epochs: Annotated[
        int | None,
        typer.Option(help="Epochs of every stage; with --continue of the whole network (default none)."),
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Side of the network's input, pixels (default 224).")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Frames per training step (default 32).")] = None,
    accumulate: Annotated[
        int | None,
        typer.Option(
            help="Compute each batch in so many parts, one after the other, where a GPU's memory is too small for it."
        ),
    ] = None,
    compile_: Annotated[
        bool, typer.Option("--compile", help="Use torch.compile for the networks that are trained.")
    ] = False,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random (default 0).")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, fp32 or bf16.")] = None,
    config: Annotated[str | None, typer.Option(help="YAML file of options, or 'paper'.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="One option, e.g. tgmb.epochs=30. Repeatable.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in -o.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is in -o.")] = False,
    max_skew_ms: Annotated[
        float | None,
        typer.Option(
            help="Match the pairs of a folder by the times in their names, at most so many ms apart, not by names."
        ),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Go on without frames that cannot be used.")
    ] = False,
    cache: Annotated[
        Path | None,
        typer.Option(
            help="Folder that keeps decoded images and features, for this run and others. Default: a folder beside the "
            "run, only where memory is not enough."
        ),
    ] = None,
    trust: TrustOption = None,
) -> None:
    """Train source (unless given), TGMB and TGKT, or a baseline: a target network for the sensor, without labels; or
    go on with one that was shipped (--continue)."""
    report = adapt(
        target,
        sensor,
        out,
        paired=paired,
        source_model=source_model,
        source_classes=source_classes,
        map_=map_,
        arch=arch,
        mean=mean,
        std=std,
        bgr=bgr,
        size=size,
        origin=origin,
        check_images=check_images,
        source=source,
        weights=weights,
        student=student,
        student_weights=student_weights,
        method=method,
        translator=translator,
        prior=prior,
        labels=labels,
        continue_=continue_,
        old_frames=old_frames,
        epochs=epochs,
        image_size=image_size,
        batch=batch,
        accumulate=accumulate,
        compile_=compile_,
        seed=seed,
        device=device,
        precision=precision,
        config=config,
        set_=set_ or (),
        resume=resume,
        overwrite=overwrite,
        skip_bad=skip_bad,
        max_skew_ms=max_skew_ms,
        cache=cache,
        trust=trust or (),
    )
    if os.environ.get("RANK", "0") != "0":
        return  # of several processes that train together the first one reports
    from tgkt_edge.train.adapt import describe

    assert out is not None
    for line in describe(report, out):
        typer.echo(as_flags(line), err=True)
