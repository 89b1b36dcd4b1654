"""A source model of any kind, read: somebody's RGB classifier, or a checkpoint; and what was found of it."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import torch

from tgkt_edge.bundle.file_kinds import file_kind
from tgkt_edge.data.loading import Images, load_images, spread
from tgkt_edge.errors import CheckpointError, UsageError
from tgkt_edge.io.atomic import sha256_of
from tgkt_edge.preprocess import resize_side
from tgkt_edge.train.methods.translation.source_features import SHARES
from tgkt_edge.train.nn.architectures import ANY_SIDE, V1_STRIDES
from tgkt_edge.train.nn.checkpoint import Header, digest, load_classifier
from tgkt_edge.train.nn.imported import ImportedClassifier, Pixels
from tgkt_edge.train.nn.model import Classifier
from tgkt_edge.train.source_import.assemble import Model, Whole, assemble, model_of
from tgkt_edge.train.source_import.check_images import Checked, check, check_as_it_is, task_labels
from tgkt_edge.train.source_import.class_names import (
    Classes,
    all_classes,
    read_map,
    read_names,
    read_shares,
    unnamed,
)
from tgkt_edge.train.source_import.files import read_model
from tgkt_edge.train.source_import.header_keys import DIGEST, IMPORT, LEFT_OUT
from tgkt_edge.train.source_import.options import OWN_PIXELS, ImportOptions, pixels_of
from tgkt_edge.train.source_import.proof import generated_images, prove

USUAL_SIZE = 224


@dataclasses.dataclass(frozen=True)
class Imported:
    """A source model that was brought, its header, and what the person should read."""

    model: Classifier
    header: Header
    lines: list[str]


def read_source(file: Path, options: ImportOptions, *, asks_shares: bool = True) -> Imported:
    """Read a source model of any kind; a checkpoint of this program as it is.

    Args:
        asks_shares: whether the lines ask for class shares where there are none: not if its images are at hand.

    Raises:
        UsageError: (exit 2) options that are missing or do not fit. CheckpointError: (exit 4) no such classifier.
        MissingDependency: timm or ONNX Runtime is needed and not installed.
    """
    if not file.exists():
        raise CheckpointError(f"`source_model={file}`: no such file")
    if not file.is_dir() and file_kind(file).name == "checkpoint":
        return _own(file, options)
    found = read_model(file)
    model = model_of(found, options.arch, options.size)
    if options.classes is None:
        raise unnamed(f"{file}: {model.what}", model.outputs)
    names = read_names(options.classes, model.outputs)
    classes = read_map(options.map, names) if options.map is not None else all_classes(names)
    mean, std = pixels_of(options, model.arch, found.config)
    side = model.side
    pixels = Pixels(mean, std, options.bgr, side)
    size = options.size or side or _size_beside(found.config) or USUAL_SIZE
    if side is not None and options.size not in (None, side):
        raise UsageError(f"`size={options.size}`: {model.arch} takes images of {side} pixels, and no others")
    refused = model.refuses(size)
    if refused is not None:
        raise UsageError(
            f"`size={size}`: {model.arch} does not work on images of {size} pixels ({refused}). Give the side that it "
            f"was trained on; it takes {ANY_SIDE}."
        )
    images = None
    if options.check_images is not None:
        images = load_images(options.check_images, resize_side(size), flag="`check_images`")
    network = assemble(model, classes, pixels)
    rgb = generated_images(size) if images is None else images.rgb[spread(len(images), 8)]
    of = "generated" if images is None else "check images"
    try:
        proof = prove(network, model.whole, classes, pixels, rgb, size, of)
    except CheckpointError as error:
        raise CheckpointError(f"{file}: {error}") from error
    checked = _checked(model, network, images, classes, pixels, size)
    about: dict[str, Any] = {
        "file": file.name,
        "sha256": [sha256_of(one) for one in found.files],
        DIGEST: digest(network.state_dict()),
        "container": found.container,
        "arch": model.arch,
        "outputs": model.outputs,
        "merged": None if options.map is None else dict(zip(classes.names, map(list, classes.members), strict=True)),
        LEFT_OUT: [names[i] for i in sorted({*range(len(names))} - {*classes.outputs})],
        "mean": list(mean),
        "std": list(std),
        "bgr": options.bgr,
        "size": size,
        "origin": options.origin,
        "proof": proof,
        "check_images": None if checked is None else checked.to_dict(),
    }  # fmt: skip
    beside = {}
    shares = read_shares(options.classes, classes)
    if shares is not None:
        beside[SHARES] = torch.tensor(shares, dtype=torch.float64)
    header = Header("source", classes.names, size, extra={IMPORT: about}, beside=beside)
    lines = _lines(file, model, classes, pixels, about, checked, options, shares, asks_shares)
    return Imported(network, header, lines)


def _own(file: Path, options: ImportOptions) -> Imported:
    """A checkpoint of this program says all of itself."""
    wrong = [flag for flag in options.given if flag != "`check_images`"]
    if wrong:
        raise UsageError(
            f"{', '.join(wrong)}: {file} is a source checkpoint of tgkt-edge, which holds classes, input and "
            f"origin itself. "
            f"Leave {'it' if len(wrong) == 1 else 'them'} out, or give the file that it was imported from."
        )
    model, header = load_classifier(file, "source")
    lines: list[str] = []
    if options.check_images is not None:
        images = load_images(options.check_images, resize_side(header.image_size), flag="`check_images`")
        labels = task_labels(images, header.classes, "`check_images`")
        lines = check_as_it_is(model, images, labels, header.image_size).lines("`check_images`")
    return Imported(model, header, lines)


def _size_beside(config: dict[str, Any]) -> int | None:
    """The side that a timm config.json gives, pixels."""
    size = (config.get("pretrained_cfg") or {}).get("input_size")
    return int(size[-1]) if isinstance(size, list) and len(size) == 3 else None


def _checked(
    model: Model,
    network: ImportedClassifier,
    images: Images | None,
    classes: Classes,
    pixels: Pixels,
    size: int,
) -> Checked | None:
    if images is None:
        return None
    labels = task_labels(images, classes.names, "`check_images`")
    rows = torch.tensor(classes.outputs)
    return check(
        model.whole, pixels, lambda logits: network.classifier.merge(logits[:, rows]), images, labels, size,
        _other_strides(model),
    )  # fmt: skip


def _other_strides(model: Model) -> dict[str, Whole]:
    """ResNets of before v1.5 and after look alike: the other one, by the argument that asks for it."""
    if model.other is None:
        return {}
    plain = model.arch.removesuffix(V1_STRIDES)
    return {f"`arch={plain if model.arch != plain else plain + V1_STRIDES}`": model.other}


def _lines(
    file: Path, model: Model, classes: Classes, pixels: Pixels, about: dict[str, Any], checked: Checked | None,
    options: ImportOptions, shares: tuple[float, ...] | None, asks_shares: bool,
) -> list[str]:  # fmt: skip
    """What was found, for the person to confirm."""
    shown = ", ".join(
        f"{name} ({len(group)} merged)" if len(group) > 1 else name
        for name, group in zip(classes.names, classes.groups, strict=True)
    )
    left = model.outputs - len(classes.outputs)
    mean, std = (",".join(f"{v:.4g}" for v in values) for values in (pixels.mean, pixels.std))
    lines = [
        f"{file}: {model.what}",
        *(f"  {note}" for note in model.notes),
        f"  classes: {shown}{f'; {left} outputs are not used' if left else ''}",
        *([f"  {_shares_line(shares)}"] if asks_shares or shares is not None else []),
        f"  pixels: mean {mean}, std {std}, {'blue' if pixels.bgr else 'red'} first, {about['size']} pixels a side",
        f"  the same answers: {_proof_line(about['proof'])}",
    ]
    if model.arch in OWN_PIXELS:
        lines.append(f"  {_transform_input_line(options.mean is not None)}")
    if checked is not None:
        lines += [f"  {line}" for line in checked.lines("`check_images`")]
    elif options.mean is None:
        lines.append(
            "  mean, std and channel order are taken to be the usual ones: `check_images=FOLDER` (a few labelled RGB "
            "images) shows whether they are"
        )
    return lines


def _transform_input_line(given: bool) -> str:
    """What torchvision's GoogLeNet and Inception v3 do with pixels before their first layer is not in their tensors."""
    if given:
        return (
            "`mean` and `std` are taken as they are, which is right where torchvision's transform_input was False; "
            "where it was True, as with torchvision's own weights, leave both out"
        )
    return (
        "pixels are taken from -1 to 1, which is right where torchvision's transform_input was True, as with its own "
        "weights; where it was False, give the `mean` and `std` that the images were normalized with"
    )


def _shares_line(shares: tuple[float, ...] | None) -> str:
    """What is known of the images that the model was trained on, or what knowing it would bring."""
    if shares is not None:
        return f"class shares of its training images: {min(shares):.1%} to {max(shares):.1%}"
    return (
        "class shares of its training images: not known, which costs accuracy where they are unequal (6 and 2 points "
        "on two tasks). Give the labelled images it was trained on as `source`, of which features alone are kept; or "
        "`source_classes` as a CSV class,images: how many images each class was trained on"
    )


def _proof_line(proof: dict[str, Any]) -> str:
    return (
        f"logits differ by {proof['largest_logit_difference']:.1e} at most on {proof['images']} "
        f"{'check' if proof['of'] == 'check images' else 'generated'} images (largest logit {proof['largest_logit']:g})"
    )
