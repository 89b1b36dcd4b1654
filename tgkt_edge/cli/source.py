"""``tgkt-edge source import``: a classifier that another program trained, as a source model."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from tgkt_edge.cli.flags import as_flags
from tgkt_edge.optional_deps import require

source_app = typer.Typer(help="Source models that another program trained.", no_args_is_help=True)

ClassesOption = Annotated[
    Path | None,
    typer.Option(
        help="Names of the outputs of a model of another program, in their order: text, JSON or CSV; a CSV's column "
        "images, how many each class was trained on, is worth some points."
    ),
]
MapOption = Annotated[
    Path | None, typer.Option("--map", help="CSV source_class,task_class: selects and merges its classes.")
]
ArchOption = Annotated[
    str | None,
    typer.Option(
        help="Its architecture, where the file does not tell: torchvision's name, timm:NAME, resnet50_v1."
    ),
]
MeanOption = Annotated[
    str | None,
    typer.Option(
        help="Mean of its channels, such as 0.485,0.456,0.406 (default: ImageNet's); or of 0 to 255."
    ),
]
StdOption = Annotated[str | None, typer.Option(help="Standard deviation of its channels, as --mean.")]
BgrOption = Annotated[bool, typer.Option("--bgr", help="Its first channel is blue.")]
SizeOption = Annotated[
    int | None, typer.Option(help="Side of the images it was trained on, pixels (default 224).")
]
OriginOption = Annotated[
    str | None, typer.Option(help="Its licence and origin, kept in the checkpoints and in the bundle.")
]
CheckOption = Annotated[
    Path | None,
    typer.Option(
        help="A few labelled RGB images: its accuracy, and whether other --mean, --std, --bgr fit better."
    ),
]


def import_options(
    classes: Path | None, map_: Path | None, arch: str | None, mean: str | None, std: str | None, bgr: bool,
    size: int | None, origin: str | None, check_images: Path | None,
) -> Any:  # fmt: skip
    """ImportOptions of what was typed. Raises UsageError."""
    from tgkt_edge.train.source_import.options import ImportOptions, three_numbers

    return ImportOptions(
        classes, map_, arch, three_numbers(mean, "mean"), three_numbers(std, "std"), bgr, size, origin,
        check_images,
    )  # fmt: skip


@source_app.callback()
def _sources() -> None:
    """Source models that another program trained."""


@source_app.command("import", short_help="Write such a model as a source checkpoint.")
def import_command(
    file: Annotated[
        Path,
        typer.Argument(help="PyTorch, safetensors, ONNX or TorchScript file; or a folder of SHOT's three."),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Source checkpoint to write: source.safetensors.")],
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
            help="The labelled images it was trained on, a folder of class folders or a CSV image,label: class shares "
            "and features of some are kept, no image. Worth more than anything else that can be given."
        ),
    ] = None,
    keep: Annotated[int, typer.Option(help="Images of --source whose features are kept at most.")] = 2000,
    weights: Annotated[
        str, typer.Option(help="Whose features these are, as for adapt: imagenet or a safetensors file.")
    ] = "imagenet",
    image_size: Annotated[
        int, typer.Option(help="Side of the views these are of, pixels, as for adapt.")
    ] = 224,
    device: Annotated[str, typer.Option(help="Where these are computed: auto, cpu, cuda, cuda:N.")] = "auto",
    precision: Annotated[str, typer.Option(help="And in what precision: auto, fp32 or bf16.")] = "auto",
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Go on without images of --source that cannot be read.")
    ] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace -o.")] = False,
) -> None:
    """Write an RGB classifier that another program trained as a source checkpoint, for adapt --source-model."""
    require("torch", "train", "Importing a source model")
    from tgkt_edge.api.import_source import import_source

    options = import_options(source_classes, map_, arch, mean, std, bgr, size, origin, check_images)
    lines = import_source(
        file, out, options, source=source, keep=keep, weights=weights, image_size=image_size, device=device,
        precision=precision, skip_bad=skip_bad, overwrite=overwrite,
    )  # fmt: skip
    for line in lines:
        typer.echo(as_flags(line), err=True)
