"""What a model of another program lacks beside its weights, from the labelled images that it was trained on.

The shares of its classes, mean and spread of its features, and generic features of some of the images, from which a
translation the other way learns. Whoever owns the model has these images at hand once; they need not leave the place.
"""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tgkt_edge.config import AdaptConfig
from tgkt_edge.data.bad_files import Progress
from tgkt_edge.data.cache.cache import Cache
from tgkt_edge.data.digests import FileDigests
from tgkt_edge.data.discovery import labelled
from tgkt_edge.data.loading import Images, load_images, spread
from tgkt_edge.data.names import abbreviate, class_index, clean
from tgkt_edge.errors import DataError, UsageError
from tgkt_edge.preprocess import resize_side
from tgkt_edge.train.batches import Store
from tgkt_edge.train.cache_choice import read_progress
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods.make_source import kept_features
from tgkt_edge.train.methods.source import load_pretrained
from tgkt_edge.train.methods.translation.features import FRAME_LAYERS, Features, Kind, extract
from tgkt_edge.train.methods.translation.source_features import (
    FEATURES,
    MEAN,
    SHARES,
    SPREAD,
    kind_of,
)
from tgkt_edge.train.nn.checkpoint import Header, digest, pretrained_backbone
from tgkt_edge.train.nn.device import Compute, open_compute
from tgkt_edge.train.nn.imported import ImportedClassifier
from tgkt_edge.train.nn.model import Classifier, SceneClassifier, frozen
from tgkt_edge.train.nn.unfilled import unless_random
from tgkt_edge.train.source_import.header_keys import IMPORT, KEPT, LEFT_OUT
from tgkt_edge.train.source_import.read_source import Imported
from tgkt_edge.train.source_import.scale import fit_scale
from tgkt_edge.train.time_left import GENERIC, OF_MODEL


@dataclass(frozen=True)
class OwnImages:
    """Some of a model's labelled images, and how many there are.

    Attributes:
        images: those that features are computed of; labels are numbers of the task's classes.
        counts: (K,) of all images, by class of the task. left_out: how many more there are of classes without use.
    """

    images: Images
    counts: NDArray[np.int64]
    left_out: int


def load_own_images(
    path: Path,
    header: Header,
    side: int,
    keep: int,
    *,
    skip_bad: bool = False,
    progress: Progress | None = None,
    digests: FileDigests | None = None,
    cache: Cache | None = None,
) -> OwnImages:
    """List the images, and read up to ``keep`` of them, evenly spread, at least one of each class.

    Args:
        path: a folder of class folders, or a CSV ``image,label``. Classes are the model's own, or the task's.
        header: of the imported model.

    Raises:
        UsageError: ``keep`` is zero. DataError: as :func:`load_images`; a class that the model does not have, or a
            class of the task without an image.
    """
    numbers: list[int | None] = []

    def choose(labels: Sequence[str]) -> list[int]:
        found, rows = _chosen(path, header, labels, keep)
        numbers.extend(found)
        return rows

    images = load_images(
        path, side, skip_bad=skip_bad, progress=progress, digests=digests, cache=cache, choose=choose
    )
    meant = meaning(header)
    places = np.array([meant[clean(name)] for name in images.classes], np.int64)
    images = dataclasses.replace(images, labels=places[images.labels], classes=header.classes)
    known = [number for number in numbers if number is not None]
    counts = np.bincount(np.array(known, np.int64), minlength=len(header.classes))
    return OwnImages(images, counts, len(numbers) - len(known))


def _chosen(
    path: Path, header: Header, labels: Sequence[str], keep: int
) -> tuple[list[int | None], list[int]]:
    """Number of the task's class of each image that is listed, and which of them are to be read.

    Raises:
        UsageError, DataError: as :func:`load_own_images`, as far as no image need be opened for it.
    """
    if keep < 1:
        raise UsageError(
            f"`source={path}`: {keep} of its images would be kept: expected 1 or more (`keep`, or `set_=source.keep`). "
            f"For the class shares alone give `source_classes` as a CSV class,images."
        )
    meant = meaning(header)
    unknown = sorted({name for name in labels if clean(name) not in meant})
    if unknown:
        raise DataError(
            f"`source={path}`: classes that the source model does not have: {abbreviate(unknown)}. It has "
            f"{abbreviate(sorted(meant))}. Rename the folders or labels, or leave those images out."
        )
    numbers = [meant[clean(name)] for name in labels]
    present = {*numbers}
    missing = [name for k, name in enumerate(header.classes) if k not in present]
    if missing:
        raise DataError(
            f"`source={path}`: no image of {abbreviate(missing)}. Give images of every class, as the model was "
            f"trained on, or leave `source` out."
        )
    used = [row for row, number in enumerate(numbers) if number is not None]
    first = {numbers[row]: row for row in reversed(used)}  # which even steps may pass over
    some = [used[i] for i in spread(len(used), keep)]
    absent = {*first} - {numbers[row] for row in some}
    return numbers, sorted([*some, *(first[number] for number in absent)])


def meaning(header: Header) -> dict[str, int | None]:
    """The number of the task's class that a name stands for: a class of the model, or one of the task; None: unused."""
    about = header.extra[IMPORT]
    found: dict[str, int | None] = dict(class_index(header.classes))
    for number, name in enumerate(header.classes):
        found |= {clean(member): number for member in (about["merged"] or {}).get(name, ())}
    return found | {clean(name): None for name in about.get(LEFT_OUT, ())}


def keep_images(
    model: ImportedClassifier,
    header: Header,
    own: OwnImages,
    config: AdaptConfig,
    compute: Compute,
    log: RunLog,
    folder: Path,
) -> Header:
    """Bring ``model`` to the scale of its own images, in place, and store beside it what a translation needs of them.

    Args:
        model: frozen, on the device. folder: where features are kept while they are computed.

    Returns:
        The header with class shares (those of ``source_classes`` where it gave some), mean and spread of the features,
        generic features of the images, and which weights, side and images these are of.
    """
    with unless_random(config.weights):  # of the head nothing is used
        generic = SceneClassifier(2)
    load_pretrained(generic, config, log)
    generic = frozen(compute.place(generic))
    store, views = Store(own.images.rgb, compute.device), config.translation.views

    def features(name: str, network: nn.Module, kind: Kind) -> Features:
        return extract(name, network, store, kind, config.image_size, config.batch, compute, log, folder)

    raw = features(OF_MODEL, model.backbone, kind_of(model, views))
    whole = features(GENERIC, generic.backbone, Kind(FRAME_LAYERS, True, "plain", views))
    header = fit_scale(model, header, raw, "its labelled images")
    compute.ranks.copy_from_first(model.state_dict().values())
    beside = kept_features(whole, own.images.labels, len(own.images))
    about = {
        "listed": int(own.counts.sum()),
        "kept": len(own.images),
        "left_out": own.left_out,
        "image_size": config.image_size,
        "weights": weights_digest(generic.backbone),
        "sha256": digest(beside),
    }
    beside |= {MEAN: model.standard.mean.double(), SPREAD: model.standard.scale.double()}
    if SHARES not in header.beside:
        beside[SHARES] = torch.from_numpy(own.counts / own.counts.sum())
    return dataclasses.replace(
        header,
        extra={**header.extra, IMPORT: {**header.extra[IMPORT], KEPT: about}},
        beside={**header.beside, **beside},
    )


def keep_images_of(found: Imported, source: Path, config: AdaptConfig, *, skip_bad: bool = False) -> Imported:
    """The same model with what :func:`keep_images` stores of its images in ``source``, and lines that say so.

    Raises:
        UsageError: a checkpoint of this program's own training, or one that has such features; or a bad device or
            ``weights``. DataError: as :func:`load_own_images`.
    """
    model, header = found.model, found.header
    refuse_unneeded(model, header, source)
    refuse_images(source, config)
    assert isinstance(model, ImportedClassifier)
    compute = open_compute(config)
    # What the list of the images tells comes before a download, and a download before minutes of reading images.
    _chosen(source, header, labelled(source, "`source`", "image")[1], config.source.keep)
    pretrained_backbone(config.weights, required=True)
    log = RunLog(None)
    side = resize_side(config.image_size)
    own = load_own_images(
        source, header, side, config.source.keep, skip_bad=skip_bad, progress=read_progress(log.say)
    )
    with tempfile.TemporaryDirectory() as folder:
        model = frozen(compute.place(model))
        header = keep_images(model, header, own, config, compute, log, Path(folder))
    lines = kept_lines(header)
    return Imported(model, header, [*found.lines, *(lines[:1] if SHARES in found.header.beside else lines)])


def refuse_unneeded(model: Classifier, header: Header, source: Path | str) -> None:
    """Refuse labelled images beside a model that has what they would give. Raises UsageError."""
    if not isinstance(model, ImportedClassifier):
        raise UsageError(
            f"`source={source}`: `source_model` was trained by this program, which stored what it needs of its images. "
            f"Leave `source` out; beside `source_model` it is for a model that another program trained."
        )
    if KEPT in header.extra[IMPORT]:
        raise UsageError(
            f"`source={source}`: `source_model` holds features of {header.extra[IMPORT][KEPT]['kept']} of its images "
            f"already. Leave `source` out, or give the file that it was imported from."
        )


def refuse_images(source: Path | str, config: AdaptConfig) -> None:
    """Refuse a model's labelled images where nothing would be learnt from them. Raises UsageError."""
    if not config.by_features:
        raise UsageError(
            f"`source={source}`: beside `source_model` only a translation of features learns from it (`method=tgkt` or "
            f"`method=translate`, `translator=features`), and this is `method={config.method}`. Leave it out."
        )
    if config.weights == "none":
        raise UsageError(
            f"`source={source}`: beside `source_model` its features are computed by ImageNet weights, and there are "
            f"none (`weights=none`). Give `weights=imagenet` or `weights=FILE`, or leave `source` out."
        )


def kept_lines(header: Header) -> list[str]:
    """For the person: what of the images is now in the checkpoint."""
    about, shares = header.extra[IMPORT][KEPT], header.beside[SHARES]
    left = f"; {about['left_out']} more are of classes that are not used" if about["left_out"] else ""
    some = f"{about['kept']} of {about['listed']} labelled images"
    return [
        f"  images: features of {some} are kept, at {about['image_size']} pixels, and no image{left}",
        f"  class shares of its training images: {float(shares.min()):.1%} to {float(shares.max()):.1%}",
    ]


def weights_digest(backbone: nn.Module) -> str:
    """SHA-256 of a backbone's weights in half precision: the same of a file in float32 and of one rounded to float16.

    Without counters of batches, which converted files lack.
    """
    tensors: dict[str, Tensor] = backbone.state_dict()
    return digest(
        {name: tensor.half() for name, tensor in tensors.items() if not name.endswith("num_batches_tracked")}
    )


def refuse_other_features(header: Header, config: AdaptConfig, backbone: nn.Module) -> None:
    """Refuse to compare kept features with those of other weights, or of images of another size. Raises UsageError.

    Args:
        backbone: of ``config.weights``.
    """
    about: Mapping[str, Any] | None = header.extra.get(IMPORT, {}).get(KEPT)
    if about is None or not config.translation.reverse or FEATURES not in header.beside:
        return
    held = f"`source_model` holds features of {about['kept']} of its labelled images"
    way_out = "or give `set_=translation.reverse=0` to leave them out, which costs accuracy."
    if config.image_size != about["image_size"]:
        raise UsageError(
            f"`image_size={config.image_size}`: {held} at {about['image_size']} pixels. Give that size, import the "
            f"model again with `image_size={config.image_size}`, {way_out}"
        )
    found = None if config.weights == "none" else weights_digest(backbone)
    if found != about["weights"]:
        shown = "now there are none" if found is None else f"these have {found[:12]}..."
        raise UsageError(
            f"`weights={config.weights}`: {held} by weights with sha256 {about['weights'][:12]}..., and {shown}. Give "
            f"the `weights` that it was imported with, {way_out}"
        )
