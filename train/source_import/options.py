"""What a person says of the model they bring."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from tgkt_edge.errors import UsageError
from tgkt_edge.train.nn.architectures import TIMM
from tgkt_edge.train.nn.model import IMAGENET_MEAN, IMAGENET_STD

HALF = (0.5, 0.5, 0.5)

SIDES = (32, 2048)
"""Least and largest side of the images that a network was trained on, pixels."""

OWN_PIXELS = {"googlenet": HALF, "inception_v3": HALF}
"""Architectures whose published weights were trained on pixels from -1 to 1: mean and spread both."""


@dataclass(frozen=True)
class ImportOptions:
    """What a weights file of another program does not contain.

    Attributes:
        classes: file with the names of the outputs. map: CSV source_class,task_class.
        arch: architecture, where names and shapes do not show it. mean, std: three numbers each, in the order of the
            network's channels; of pixels in [0, 1], or both in 0 to 255. bgr: blue comes first.
        size: side of the images it was trained on, pixels. origin: licence and origin, for the provenance.
        check_images: labelled RGB: a folder of class folders, or a CSV image,label.
    """

    classes: Path | None = None
    map: Path | None = None
    arch: str | None = None
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None
    bgr: bool = False
    size: int | None = None
    origin: str | None = None
    check_images: Path | None = None

    @property
    def given(self) -> list[str]:
        """The arguments of ``adapt`` that were given, as messages name them."""
        arguments = {
            "`source_classes`": self.classes, "`map_`": self.map, "`arch`": self.arch, "`mean`": self.mean,
            "`std`": self.std, "`bgr=True`": self.bgr or None, "`size`": self.size, "`origin`": self.origin,
            "`check_images`": self.check_images,
        }  # fmt: skip
        return [name for name, value in arguments.items() if value is not None]

    def __post_init__(self) -> None:
        if self.size is not None and not SIDES[0] <= self.size <= SIDES[1]:
            raise UsageError(
                f"`size={self.size}`: expected the side of the training images, {SIDES[0]} to {SIDES[1]} pixels"
            )


def three_numbers(text: str | None, name: str) -> tuple[float, float, float] | None:
    """``mean`` or ``std``, whichever ``name`` is: "0.485,0.456,0.406", or one number for all. Raises UsageError."""
    if text is None:
        return None
    try:
        values = [float(part) for part in text.replace(";", ",").split(",")]
    except ValueError:
        values = []
    if len(values) == 1:
        values *= 3
    if len(values) != 3 or not all(math.isfinite(value) for value in values):
        raise UsageError(
            f"`{name}={text}`: expected three numbers, one for each channel, such as 0.485,0.456,0.406"
        )
    return values[0], values[1], values[2]


def pixels_of(
    options: ImportOptions, arch: str, config: dict[str, object]
) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and spread of pixels in [0, 1]: what was given, what lies beside the file, or what is usual.

    Args:
        config: of a Hugging Face or timm config.json; empty: none.

    Raises:
        UsageError: one of the two alone, or a spread that is not positive.
    """
    if (options.mean is None) != (options.std is None):
        raise UsageError("`mean` and `std` belong together: give both, or neither for ImageNet's")
    if options.mean is not None and options.std is not None:
        mean, std = options.mean, options.std
        if not all(value > 0 for value in std):
            raise UsageError(f"`std={','.join(f'{v:g}' for v in std)}`: expected three positive numbers")
        if max(abs(value) for value in mean) > 1 or max(std) > 1:  # of pixels from 0 to 255
            return tuple(v / 255 for v in mean), tuple(v / 255 for v in std)
        return mean, std
    beside = config.get("pretrained_cfg")
    if isinstance(beside, dict) and len(beside.get("mean", ())) == 3 == len(beside.get("std", ())):
        return tuple(map(float, beside["mean"])), tuple(map(float, beside["std"]))
    if arch.startswith(TIMM):
        import timm

        usual = timm.get_pretrained_cfg(arch.removeprefix(TIMM))
        if usual is not None:
            return tuple(map(float, usual.mean)), tuple(map(float, usual.std))
    half = OWN_PIXELS.get(arch)
    return (half, half) if half else (IMAGENET_MEAN, IMAGENET_STD)
