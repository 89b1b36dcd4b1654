"""``tgkt-edge source import``: somebody's RGB classifier as a source checkpoint."""

from __future__ import annotations

from pathlib import Path

from tgkt_edge.config import AdaptConfig, build_config
from tgkt_edge.config_sections import SourceConfig
from tgkt_edge.data.discovery import labelled
from tgkt_edge.errors import CheckpointError, UsageError
from tgkt_edge.io.atomic import refuse_existing
from tgkt_edge.train.nn.checkpoint import save_checkpoint
from tgkt_edge.train.source_import.options import ImportOptions
from tgkt_edge.train.source_import.own_images import keep_images_of
from tgkt_edge.train.source_import.read_source import read_source


def import_source(
    file: Path,
    out: Path,
    options: ImportOptions | None = None,
    *,
    source: Path | None = None,
    keep: int = SourceConfig.keep,
    weights: str = "imagenet",
    image_size: int = AdaptConfig.image_size,
    device: str = "auto",
    precision: str = "auto",
    skip_bad: bool = False,
    overwrite: bool = False,
) -> list[str]:
    """Write another program's classifier as a source checkpoint, for ``adapt --source-model``.

    Args:
        file: PyTorch, safetensors, ONNX or TorchScript; a folder of SHOT's three files; or a checkpoint that was
            imported without ``source``. out: checkpoint to write.
        options: what the file does not say, such as the names of the classes.
        source: the labelled images it was trained on, a folder of class folders or a CSV ``image,label``: the shares of
            the classes are counted, and features of up to ``keep`` images are stored in ``out``, never an image.
        keep: 1 or more. weights: whose features these are, as ``adapt`` is going to have them: "imagenet" or a
            safetensors file. image_size: as ``adapt`` is going to have it, pixels. device: "auto", "cpu", "cuda",
            "cuda:N". precision: "auto", "fp32" or "bf16". skip_bad: go on without images that cannot be read.
        overwrite: replace ``out``, which is none of the files that are read.

    Returns:
        What was found, as lines.

    Raises:
        UsageError: (exit 2) options that are missing or do not fit. DataError: (exit 2) ``source`` is not such images,
            or of other classes. CheckpointError: (exit 4) no such classifier.
        MissingDependency: timm or ONNX Runtime is needed and not installed.
    """
    file, out, options = Path(file), Path(out), options or ImportOptions()
    if out.suffix != ".safetensors":
        raise UsageError(f"`out={out}`: expected a file name that ends in .safetensors")
    refuse_existing(out, overwrite=overwrite)
    for name, read in (("the model", file), ("`source_classes`", options.classes), ("`map_`", options.map)):
        if read is not None and out.exists() and read.exists() and out.samefile(read):
            raise UsageError(f"`out={out}`: is {name} itself, which would be lost. Choose another file")
    if not file.exists():
        raise CheckpointError(f"{file}: no such file")
    config = None
    if source is not None:
        given = {"weights": weights, "image_size": image_size, "device": device, "precision": precision}
        # A bad value, and a list of images that is none, are refused before the model is read.
        config = build_config(None, (), {**given, "source.keep": keep})
        labelled(source, "`source`", "image")
    found = read_source(file, options, asks_shares=source is None)
    if config is not None and source is not None:
        found = keep_images_of(found, source, config, skip_bad=skip_bad)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UsageError(f"`out={out}`: {out.parent} cannot be made: {error.strerror or error}") from error
    save_checkpoint(out, found.model, found.header)
    return [
        *found.lines,
        f"{out}: {out.stat().st_size / 2**20:.1f} MiB. Next: tgkt-edge adapt --source-model {out}",
    ]
