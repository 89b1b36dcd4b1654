"""The source model that a person gives: a checkpoint, a run, or a model that another program trained."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from torch import nn

from tgkt_edge.bundle.file_kinds import file_kind
from tgkt_edge.config import AdaptConfig
from tgkt_edge.errors import CheckpointError, ConfigError, UsageError
from tgkt_edge.notes import note
from tgkt_edge.train.nn.checkpoint import Header, digest, load_classifier
from tgkt_edge.train.nn.imported import ImportedClassifier, resnet50_in
from tgkt_edge.train.nn.model import Classifier
from tgkt_edge.train.run_folder.folder import Run
from tgkt_edge.train.source_import.files import PARTS
from tgkt_edge.train.source_import.header_keys import DIGEST, IMPORT, KEPT
from tgkt_edge.train.source_import.options import ImportOptions
from tgkt_edge.train.source_import.read_source import read_source


def source_checkpoint(path: Path) -> Path:
    """The source model that a path means: itself, or that of a run folder. Raises CheckpointError."""
    found = file_kind(path)
    if found.name == "run":
        return Run(path).source
    if path.is_dir() and not (path / PARTS[0]).is_file():
        raise CheckpointError(
            f"`source_model={path}`: expected a source checkpoint, the run folder that it lies in, or a classifier of "
            f"another program; this {found} A bundle holds no source model."
        )
    return path


def source_model(
    file: Path, kept: Path | None, options: ImportOptions, *, asks_shares: bool = True
) -> tuple[Classifier, Header]:
    """The person's source model, or the copy that the run began with, which has to be the same if both are there.

    Args:
        kept: where a run that goes on has its copy, if it has one already. options: of a model of another program.
        asks_shares: as of :func:`read_source`.

    Raises:
        ConfigError: (exit 2) another model than the run began with, or the same weights read with other options.
        UsageError, CheckpointError, MissingDependency: as :func:`read_source`.
    """
    if kept is None or not kept.is_file():
        given = read_source(file, options, asks_shares=asks_shares)
        for line in given.lines:
            note(line)
        return given.model, given.header
    begun = load_classifier(kept, "source")
    if file.exists():
        now = read_source(file, options)
        one, other = _named(*begun), _named(now.model, now.header)
        changed = _differing_options(begun[0], now.model) + _differing_images(begun[1], now.header)
        if changed or (one, begun[1].classes) != (other, now.header.classes):
            raise ConfigError(
                f"`source_model={file}`: holds another model than the run was started with, which lies in {kept}, or "
                f"is read with other options: {'; '.join([f'then {one}, now {other}', *changed])}. Give the same, or "
                f"another `out`."
            )
    return begun


_OPTIONS = {"arch": "`arch`", "groups": "`map_`", "pixels": "`mean`, `std`, `bgr`, `size`"}
"""What a checkpoint keeps of an imported model beside its weights, and the arguments that it comes from."""


def _differing_options(begun: Classifier, now: Classifier) -> list[str]:
    """The same weights, read as another network: other strides, classes merged otherwise, or other pixels."""
    if not (isinstance(begun, ImportedClassifier) and isinstance(now, ImportedClassifier)):
        return []
    then, given = (json.loads(json.dumps(model.about)) for model in (begun, now))  # one was JSON already
    return [
        f"{name}: then {then.get(key)}, now {given.get(key)}"
        for key, name in _OPTIONS.items()
        if then.get(key) != given.get(key)
    ]


def _differing_images(begun: Header, now: Header) -> list[str]:
    """Imported with other labelled images; where the run was given them itself, their files are compared instead."""
    then, given = (header.extra.get(IMPORT, {}).get(KEPT) for header in (begun, now))
    if given is None or given == then:
        return []
    return [f"`source` of its import: then {_images(then)}, now {_images(given)}"]


def _images(kept: dict[str, Any] | None) -> str:
    return "none" if kept is None else f"{kept['kept']} images with sha256 {kept['sha256'][:12]}..."


def _named(model: Classifier, header: Header) -> str:
    """What tells one model from another; of an imported one as it was before a run brought it to its scale."""
    known = header.extra.get(IMPORT, {}).get(DIGEST) or digest(model.state_dict())
    return f"{model.num_classes} classes, sha256 {known[:12]}..."


def refuse_unfit(model: Classifier, config: AdaptConfig) -> None:
    """Refuse a method that cannot work with an imported model, before anything is written. Raises UsageError."""
    if not isinstance(model, ImportedClassifier):
        return
    arch = model.backbone.network.kind if model.teacher_only else model.about["arch"]
    if config.by_features:
        if config.weights == "none" and resnet50_in(model) is None:
            raise UsageError(
                f"`weights=none`: the source model is a network of another kind ({arch}), and the target network, a "
                f"ResNet-50, has nothing to start from. Give `weights=imagenet` or `weights=FILE`."
            )
        return
    name = f"`method={config.method}`" + (" `translator=pixels`" if config.method == "tgkt" else "")
    if model.teacher_only:
        raise UsageError(
            f"{name}: needs the gradients or a copy of the source model, and this one is a program ({arch}) that only "
            f"answers. Give `method=tgkt` or `method=translate` with `translator=features`, or the model's weights."
        )
    matched = {"shot": config.shot.bns, "socket": config.socket.bns}.get(config.method, 0)
    if matched and not any(isinstance(module, nn.BatchNorm2d) for module in model.modules()):
        raise UsageError(
            f"{name}: matches statistics of BatchNorm layers, and the source model ({arch}) has none. Give "
            f"`set_={config.method}.bns=0`."
        )
