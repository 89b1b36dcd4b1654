"""``tgkt_edge.import_source``: somebody's RGB classifier as a source checkpoint."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from tgkt_edge.config import AdaptConfig
from tgkt_edge.config_sections import SourceConfig
from tgkt_edge.optional_deps import require

if TYPE_CHECKING:
    from tgkt_edge.train.source_import.options import ImportOptions


def import_source(
    file: Path | str,
    out: Path | str,
    options: ImportOptions | None = None,
    *,
    source: Path | str | None = None,
    keep: int = SourceConfig.keep,
    weights: Path | str = "imagenet",
    image_size: int = AdaptConfig.image_size,
    device: str = "auto",
    precision: str = "auto",
    skip_bad: bool = False,
    overwrite: bool = False,
) -> list[str]:
    """Write another program's classifier as a source checkpoint, for ``adapt`` with ``source_model``.

    Args:
        file: PyTorch, safetensors, ONNX or TorchScript; a folder of SHOT's three files; or a checkpoint that was
            imported without ``source``. out: checkpoint to write.
        options: what the file does not say, such as the names of the classes; its files may be given as text, too.
        source: the labelled images it was trained on, a folder of class folders or a CSV ``image,label``: the shares of
            the classes are counted, and features of up to ``keep`` images are stored in ``out``, never an image.
        keep: 1 or more. weights: whose features these are, as ``adapt`` is going to have them: "imagenet" or a
            safetensors file. image_size: as ``adapt`` is going to have it, pixels. device: "auto", "cpu", "cuda",
            "cuda:N". precision: "auto", "fp32" or "bf16". skip_bad: go on without images that cannot be read.
        overwrite: replace ``out``.

    Returns:
        What was found, as lines.

    Raises:
        UsageError: (exit 2) options that are missing or do not fit. DataError: (exit 2) ``source`` is not such images,
            or of other classes. CheckpointError: (exit 4) no such classifier.
        MissingDependency: (exit 6) PyTorch, timm or ONNX Runtime is needed and not installed.
    """
    require("torch", "train", "Importing a source model")
    from tgkt_edge.train.source_import.import_source import import_source as write

    if options is not None:
        options = dataclasses.replace(
            options,
            classes=_path(options.classes),
            map=_path(options.map),
            check_images=_path(options.check_images),
        )
    return write(
        Path(file), Path(out), options, source=_path(source), keep=keep,
        weights=str(weights), image_size=image_size, device=device, precision=precision, skip_bad=skip_bad,
        overwrite=overwrite,
    )  # fmt: skip


def _path(path: Path | str | None) -> Path | None:
    return None if path is None else Path(path)
