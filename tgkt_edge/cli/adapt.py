"""``tgkt-edge adapt``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

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
    import_options,
)
from tgkt_edge.optional_deps import require


def adapt_command(
    target: Annotated[
        Path, typer.Option(help="Unlabelled frames of the task: a folder, or a CSV with 'frame'.")
    ],
    sensor: Annotated[
        str,
        typer.Option(help="A preset (depth, nir, nir8, nyuv2, sunrgbd: see 'data presets') or a YAML file."),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Run folder to write.")],
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
        typer.Option(help="Or labelled RGB to train one: a folder of class folders, or a CSV image,label."),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="Where training the source starts: imagenet, none, or a safetensors file."),
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
            help="features (default): a translation in closed form; pixels: the paper's T. Of tgkt."
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
    epochs: Annotated[int | None, typer.Option(help="Epochs of every stage.")] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Side of the network's input, pixels (default 224).")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Frames a step (default 32).")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random (default 0).")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, fp32 or bf16.")] = None,
    config: Annotated[str | None, typer.Option(help="YAML file of options, or 'paper'.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="One option, e.g. tgmb.epochs=30. Repeatable.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in -o.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is in -o.")] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Go on without frames that cannot be used.")
    ] = False,
) -> None:
    """Train source (unless given), TGMB and TGKT, or a baseline: a target network for the sensor, without labels."""
    from tgkt_edge.config import build_config
    from tgkt_edge.sensor import load_sensor

    flags = {
        "method": method,
        "translator": translator,
        "translation.prior": _prior(prior),
        **{f"{stage}.epochs": epochs for stage in ("source", "student", "tgmb", "tgkt", "shot", "socket")},
        "image_size": image_size,
        "batch": batch,
        "seed": seed,
        "device": device,
        "precision": precision,
        "weights": weights,
    }
    options, spec = build_config(config, set_ or (), flags), load_sensor(sensor)
    require("torch", "train", "Adapting")
    from tgkt_edge.train.adapt import adapt, describe
    from tgkt_edge.train.run_folder.folder import RunInputs

    inputs = RunInputs(
        target=str(target.resolve()),
        paired=str(paired.resolve()) if paired else None,
        source=str(source.resolve()) if source else None,
        source_model=str(source_model.resolve()) if source_model else None,
        labels=str(labels.resolve()) if labels else None,
    )
    about = import_options(source_classes, map_, arch, mean, std, bgr, size, origin, check_images)
    report = adapt(
        inputs,
        spec,
        out,
        options,
        resume=resume,
        overwrite=overwrite,
        skip_bad=skip_bad,
        source_options=about,
    )
    for line in describe(report, out):
        typer.echo(line, err=True)


def _prior(text: str | None) -> str | None:
    """A file as an absolute path, so that a run can be resumed from elsewhere; a name as it is."""
    return str(Path(text).resolve()) if text is not None and Path(text).is_file() else text
