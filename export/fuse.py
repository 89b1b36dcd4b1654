"""The graph made for speed: what can be computed once, at export, is not computed at every frame.

All of it is exact in real arithmetic and done in float64, so that what is left is float32 rounding of the result:

- every batch norm goes into the layer before it;
- channel repeat and ImageNet normalisation go into the first convolution (:func:`fold_repeat`);
- surface normals, where the network reads them, are computed in the graph from the plain frame;
- bottleneck and classifier have no activation between them, so they are one matrix; so are the standardisation of
  pooled features and their classifier. Classes that were merged are added after it.

The plain network, :class:`tgkt_edge.export.graph.Deployed`, stays the reference for every
exported file.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval, fuse_linear_bn_eval
from torchvision.models.resnet import BasicBlock, Bottleneck, ResNet

from tgkt_edge.train.nn.imported import ImportedClassifier, Pixels
from tgkt_edge.train.nn.maps import LAST, PlaceHead
from tgkt_edge.train.nn.model import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    LAYER_WIDTHS,
    Classifier,
    Standardize,
    normalise,
    row_lengths,
)
from tgkt_edge.train.nn.named_network import NamedClassifier
from tgkt_edge.train.nn.normals import surface_normals


class Folded(nn.Module):
    """``frame`` (N, 1, S, S) float32 in [0, 1] -> logits (N, K) and probabilities (N, K), as Deployed gives them; and
    with ``maps`` (N, K, h, w), see :mod:`tgkt_edge.train.nn.maps`.

    Args:
        model: in evaluation mode; its classifier a plain linear layer. Left as it is.
    """

    def __init__(self, model: Classifier, *, maps: bool = False) -> None:
        super().__init__()
        model = copy.deepcopy(model).eval().double()
        imported = isinstance(model, ImportedClassifier)
        backbone = model.backbone.network if imported else model.backbone
        self.normals = model.normals
        first = fuse_conv_bn_eval(backbone.conv1, backbone.bn1)
        if not model.normals:
            entry = model.backbone.entry.pixels if imported else Pixels()
            first = fold_repeat(first, entry.mean, entry.std)
        self.first = first.float()
        self.layers = nn.ModuleList(
            nn.Sequential(*(_fold_block(block) for block in layer))
            for layer in (backbone.layer1, backbone.layer2, backbone.layer3, backbone.layer4)
        ).float()
        self.pooled = model.pooled
        if model.pooled or imported or isinstance(model, NamedClassifier):
            hidden = _as_linear(model.standard)
        else:
            hidden = fuse_linear_bn_eval(model.bottleneck.linear, model.bottleneck.norm)
        self.head = _join(hidden, model.classifier.linear if imported else model.classifier).float()
        self.places = None
        if maps:
            seen = [LAYER_WIDTHS[number] for number in self.pooled] or [self.head.in_features]
            self.places = PlaceHead(self.head, seen)
        self.merging = model.classifier.float() if imported else None

    def forward(self, frame: Tensor) -> tuple[Tensor, ...]:
        if self.normals:
            first = normalise(surface_normals(frame))  # (N, 3, S, S)
        else:
            first = F.pad(
                frame, (0, 0, 0, 0, 0, 1), value=1.0
            )  # (N, 2, S, S): the frame, and a channel of ones
        x = F.max_pool2d(F.relu(self.first(first)), kernel_size=3, stride=2, padding=1)  # (N, 64, S/4, S/4)
        seen, lengths, features = [], [], []
        for number, layer in enumerate(self.layers, 1):
            x = layer(x)
            if number in (self.pooled or (LAST,)):
                mean = x.mean((2, 3))
                length = row_lengths(mean) if self.pooled else None
                seen.append(x)
                lengths.append(length)
                features.append(mean if length is None else mean / length)
        linear = self.head(torch.cat(features, 1) if len(features) > 1 else features[0])
        logits = linear if self.merging is None else self.merging.merge(linear)
        if self.places is None:
            return logits, logits.softmax(1)
        maps = self.places(seen, lengths)
        if self.merging is not None:
            maps = self.merging.merge_maps(linear, maps)
        return logits, logits.softmax(1), maps


def can_fold(model: Classifier) -> bool:
    """Whether the network is a ResNet of torchvision's, of any depth and width, that takes images of any side."""
    if isinstance(model, NamedClassifier):
        # timm's ResNets may differ in their stems, and pool otherwise.
        return isinstance(model.backbone, ResNet)
    if not isinstance(model, ImportedClassifier):
        return True
    return isinstance(model.backbone.network, ResNet) and model.backbone.entry.pixels.side is None


def fold_repeat(
    conv: nn.Conv2d, mean: Sequence[float] = IMAGENET_MEAN, std: Sequence[float] = IMAGENET_STD
) -> nn.Conv2d:
    """A convolution of three equal, normalised channels as one of two channels: the frame x and ones.

    The sum over channels c of W_c * (x - m_c) / s_c is (sum W_c / s_c) * x - (sum W_c m_c / s_c) * 1. The second part
    is no bias: at the border the kernel meets padding, which is zero *after* the normalisation. As a second channel of
    ones, zero-padded like the first, it is exact there, too.

    Args:
        conv: 3 input channels, zero padding, with bias. mean, std: m and s.

    Returns:
        The same convolution with 2 input channels, in the dtype of ``conv``.
    """
    if conv.in_channels != 3 or conv.groups != 1 or conv.padding_mode != "zeros" or conv.bias is None:
        raise ValueError(f"{conv}: expected 3 ungrouped channels, zero padding and a bias")
    m, s = (conv.weight.new_tensor(v).view(1, 3, 1, 1) for v in (mean, std))
    weight = conv.weight.detach()
    of_frame = (weight / s).sum(1)
    of_ones = -(weight * m / s).sum(1)
    folded = copy.deepcopy(conv)
    folded.in_channels = 2
    folded.weight = nn.Parameter(torch.stack((of_frame, of_ones), dim=1), requires_grad=False)
    return folded


def _fold_block(block: Bottleneck | BasicBlock) -> Bottleneck | BasicBlock:
    """A residual block without its batch norms."""
    block = copy.deepcopy(block)
    for i in (1, 2, 3) if isinstance(block, Bottleneck) else (1, 2):
        setattr(block, f"conv{i}", fuse_conv_bn_eval(getattr(block, f"conv{i}"), getattr(block, f"bn{i}")))
        setattr(block, f"bn{i}", nn.Identity())
    if block.downsample is not None:
        block.downsample = fuse_conv_bn_eval(block.downsample[0], block.downsample[1])
    return block


def _as_linear(standard: Standardize) -> nn.Linear:
    """Minus the mean, divided by the scale, as a linear layer."""
    width = len(standard.mean)
    linear = nn.Linear(width, width, dtype=standard.mean.dtype)
    linear.weight = nn.Parameter(torch.diag(1 / standard.scale), requires_grad=False)
    linear.bias = nn.Parameter(-standard.mean / standard.scale, requires_grad=False)
    return linear


def _join(first: nn.Linear, second: nn.Linear) -> nn.Linear:
    """``second(first(x))`` as one linear layer."""
    joined = nn.Linear(first.in_features, second.out_features, dtype=first.weight.dtype)
    joined.weight = nn.Parameter((second.weight @ first.weight).detach(), requires_grad=False)
    joined.bias = nn.Parameter((second.weight @ first.bias + second.bias).detach(), requires_grad=False)
    return joined
