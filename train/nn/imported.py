"""A person's own RGB classifier as this program sees it: what it answers stays as it was, up to rounding.

The feature F(x) is what its last linear layer sees, standardised; C is that layer, and where source classes were
merged, the logarithm of the sum of their exponentials, so that probabilities of merged classes add up.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from tgkt_edge.train.nn.architectures import build, cut, shorten
from tgkt_edge.train.nn.model import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Classifier,
    FloatLinear,
    Standardize,
)
from tgkt_edge.train.nn.program import Interface, Program

EXCLUDED = -1e4
"""Added to the logit of what fills a group up: its exponential is zero, and half precision can hold it."""


@dataclass(frozen=True)
class Pixels:
    """How the network wants its images.

    Attributes:
        mean, std: of each of its channels in its own order, of pixels in [0, 1]. bgr: whether blue comes first.
        side: pixels, where it takes no other side; images are resized to it. None: any.
    """

    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD
    bgr: bool = False
    side: int | None = None

    @property
    def usual(self) -> bool:
        """Whether images enter as they come: ImageNet's mean and spread, red first, any side."""
        return (self.mean, self.std, self.bgr, self.side) == (IMAGENET_MEAN, IMAGENET_STD, False, None)


class Entry(nn.Module):
    """Images as every network here gets them, turned into what this one wants."""

    mean: Tensor
    std: Tensor

    def __init__(self, pixels: Pixels) -> None:
        super().__init__()
        self.pixels = pixels
        self.register_buffer("mean", torch.tensor(pixels.mean))
        self.register_buffer("std", torch.tensor(pixels.std))

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) ImageNet-normalised RGB -> (B, 3, S, S) as the network was trained on."""
        if self.pixels.usual:
            return x
        side = self.pixels.side
        if side is not None and x.shape[-2:] != (side, side):
            x = F.interpolate(x, (side, side), mode="bilinear", antialias=True, align_corners=False)
        usual_mean, usual_std = x.new_tensor(IMAGENET_MEAN), x.new_tensor(IMAGENET_STD)
        unit = x * usual_std.view(3, 1, 1) + usual_mean.view(3, 1, 1)
        if self.pixels.bgr:
            unit = unit.flip(1)
        return (unit - self.mean.view(3, 1, 1)) / self.std.view(3, 1, 1)


class Trunk(nn.Module):
    """Everything before the last linear layer.

    Args:
        network: (B, 3, S, S) as ``pixels`` has it -> (B, D), or more dimensions of size 1.
    """

    def __init__(self, network: nn.Module, pixels: Pixels) -> None:
        super().__init__()
        self.entry = Entry(pixels)
        self.network: Any = network

    def forward(self, x: Tensor) -> Tensor:
        """(B, 3, H, W) ImageNet-normalised RGB -> (B, D)."""
        return self.network(self.entry(x)).flatten(1)  # type: ignore[no-any-return]


class MergingHead(nn.Module):
    """A linear layer over S source classes, and their merging into K of the task.

    Args:
        width: D. groups: (K) the numbers of the source classes, of 0 to S - 1, that each class of the task consists of;
            each source class is in one group.
    """

    members: Tensor
    excluded: Tensor
    temperature: Tensor

    def __init__(self, width: int, groups: Sequence[Sequence[int]]) -> None:
        super().__init__()
        self.groups = tuple(tuple(group) for group in groups)
        outputs = sum(len(group) for group in self.groups)
        self.out_features = len(self.groups)
        self.linear: nn.Linear = FloatLinear(width, outputs)
        most = max(len(group) for group in self.groups)
        members, excluded = torch.zeros(len(groups), most, dtype=torch.int64), torch.zeros(len(groups), most)
        for k, group in enumerate(self.groups):
            members[k] = group[
                0
            ]  # what fills up is lower than a member of its own group, whatever their scale
            members[k, : len(group)] = torch.tensor(group)
            excluded[k, len(group) :] = EXCLUDED
        self.register_buffer("members", members, persistent=False)
        self.register_buffer("excluded", excluded, persistent=False)
        self.register_buffer("temperature", torch.ones(()))

    @property
    def merges(self) -> bool:
        """Whether any class of the task consists of several source classes."""
        return any(len(group) > 1 for group in self.groups)

    def merge(self, logits: Tensor) -> Tensor:
        """(..., S) logits of source classes -> (..., K) logits of the task's, divided by the temperature.

        The softmax of the result, at a temperature of 1, is the sum of the members' probabilities.
        """
        found = logits[..., self.members.flatten()]  # (..., K M)
        if self.merges:
            found = found.unflatten(-1, self.members.shape) + self.excluded  # (..., K, M)
            largest = found.amax(-1, keepdim=True)
            found = ((found - largest).exp().sum(-1, keepdim=True).log() + largest).squeeze(-1)
        return found / self.temperature

    def merge_maps(self, logits: Tensor, maps: Tensor) -> Tensor:
        """Evidence by place of source classes to that of the task's, so that its mean over places is :meth:`merge`'s.

        The logit of a merged class is the mean of its members' logits, weighted by their shares of its probability,
        plus the entropy of these shares, which belongs to no place.

        Args:
            logits: (B, S) of source classes. maps: (B, S, h, w), whose means over places they are.

        Returns:
            (B, K, h, w).
        """
        found = maps[:, self.members.flatten()]  # (B, K M, h, w)
        if self.merges:
            each = (
                logits[:, self.members.flatten()].unflatten(1, self.members.shape) + self.excluded
            )  # (B, K, M)
            shares = each.softmax(-1)
            entropy = self.merge(logits) * self.temperature - (shares * each).sum(-1)  # (B, K)
            found = found.unflatten(1, self.members.shape) * shares[..., None, None]
            found = found.sum(2) + entropy[..., None, None]
        return found / self.temperature

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) -> (B, K)."""
        return self.merge(self.linear(x))


class ImportedClassifier(Classifier):
    """C(F(x)) of a network that another program trained.

    Args:
        trunk: everything before its last linear layer. width: D, of what that layer sees. groups: as of
            :class:`MergingHead`.
        about: what a checkpoint needs to build it again.
    """

    def __init__(
        self, trunk: Trunk, width: int, groups: Sequence[Sequence[int]], about: dict[str, Any]
    ) -> None:
        super().__init__()
        self.backbone = trunk
        self.width = width
        self.standard = Standardize(width)
        self.classifier: MergingHead = MergingHead(width, groups)
        self.about = about

    def features(self, x: Tensor) -> Tensor:
        """F(x): (B, 3, H, W) normalised RGB -> (B, ``width``)."""
        return self.standard(self.backbone(x).float())  # type: ignore[no-any-return]

    @property
    def teacher_only(self) -> bool:
        """Whether it only answers: a program without weights that could be trained or exported."""
        return "program" in self.about

    @torch.no_grad()
    def standardize(self, mean: Tensor, scale: Tensor) -> None:
        """Measure features from ``mean`` in units of ``scale``, both (D,) float64 and of the raw feature; answers stay.

        Args:
            scale: positive and finite.
        """
        linear = self.classifier.linear
        weight, bias = linear.weight.double(), linear.bias.double()
        old_mean, old_scale = self.standard.mean.double(), self.standard.scale.double()
        raw = weight / old_scale  # of raw features
        constant = bias - raw @ old_mean
        linear.weight.copy_(raw * scale)
        linear.bias.copy_(constant + raw @ mean)
        self.standard.mean.copy_(mean)
        self.standard.scale.copy_(scale)


def rebuild(about: dict[str, Any]) -> ImportedClassifier:
    """A network of the kind that ``about`` describes, with other weights."""
    header = about["pixels"]
    pixels = Pixels(tuple(header["mean"]), tuple(header["std"]), header["bgr"], header["side"])
    body: nn.Module
    if "program" in about:
        body = Program(about["program"], about["bytes"], Interface(**about["interface"]))
    else:
        whole = build(about["arch"], 2)
        if about["short"]:
            shorten(whole, about["width"])
        parts = cut(whole)
        assert parts is not None
        body = parts.network
    return ImportedClassifier(Trunk(body, pixels), about["width"], about["groups"], about)


def resnet50_in(model: Classifier) -> nn.Module | None:
    """The ResNet-50 in a classifier, if it takes images as every network here gets them; None of another network."""
    if not isinstance(model, ImportedClassifier):
        backbone: nn.Module = model.backbone
        return backbone
    network: nn.Module = model.backbone.network
    usual = model.backbone.entry.pixels.usual
    return network if usual and model.about.get("arch") == "resnet50" else None
