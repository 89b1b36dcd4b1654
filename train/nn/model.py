"""The networks: source and target (one architecture), the translation net, the discriminators.

Paper, section 4.1 and appendix D. Inputs of the ResNets are ImageNet-normalised RGB; see :func:`normalise`.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, TypeVar

import torch
import torchvision
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

from tgkt_edge.train.nn.normals import surface_normals

FEATURES = 256
LAYER_WIDTHS = {1: 256, 2: 512, 3: 1024, 4: 2048}
"""Channels of the four layers of a ResNet-50."""

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


def normalise(unit: Tensor) -> Tensor:
    """[0, 1] to the ImageNet-normalised space, channels last.

    Args:
        unit: (B, 3, H, W) RGB, or (B, 1, H, W) one-channel frames, which enter as themselves three times.

    Returns:
        (B, 3, H, W), same dtype.
    """
    mean = unit.new_tensor(IMAGENET_MEAN).view(3, 1, 1)
    std = unit.new_tensor(IMAGENET_STD).view(3, 1, 1)
    return ((unit - mean) / std).contiguous(memory_format=torch.channels_last)


class Bottleneck(nn.Module):
    """2048 -> 256, batch-normed, no activation: what the paper calls the feature F(x)."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(2048, FEATURES)
        self.norm = nn.BatchNorm1d(FEATURES)
        nn.init.xavier_normal_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)

    def forward(self, pooled: Tensor) -> Tensor:
        """(B, 2048) -> (B, 256)."""
        return self.norm(self.linear(pooled))  # type: ignore[no-any-return]


def pooled_layers(backbone: Any, x: Tensor, layers: Sequence[int]) -> list[Tensor]:
    """Average-pooled outputs of some layers of a ResNet.

    Args:
        x: (B, 3, H, W) normalised RGB. layers: ascending, of 1 to 4; those after the last are not computed.

    Returns:
        (B, C) each, float32, C as in LAYER_WIDTHS.
    """
    x = backbone.maxpool(backbone.relu(backbone.bn1(backbone.conv1(x))))
    found = []
    for number in range(1, max(layers) + 1):
        x = getattr(backbone, f"layer{number}")(x)
        if number in layers:
            found.append(x.float().mean((2, 3)))
    return found


def unit_rows(x: Tensor) -> Tensor:
    """(B, C) rows of Euclidean length 1; a row of zeros stays as it is.

    By way of the mean square, which half precision can hold where the sum of squares would overflow.
    """
    return x / row_lengths(x)


def row_lengths(x: Tensor) -> Tensor:
    """What :func:`unit_rows` divides by: (B, C) -> (B, 1)."""
    return (x.square().mean(1, keepdim=True) + 1e-24).sqrt() * math.sqrt(x.shape[1])


class Standardize(nn.Module):
    """Features minus ``mean`` (D,), divided by ``scale`` (D,), both fixed."""

    mean: Tensor
    scale: Tensor

    def __init__(self, width: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("scale", torch.ones(width))

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) -> (B, D)."""
        return (x - self.mean) / self.scale


class FloatLinear(nn.Linear):
    """A linear layer in float32 whatever autocast says: 3584 features of one size cancel in bf16's three digits."""

    def forward(self, x: Tensor) -> Tensor:
        """(B, D) -> (B, K)."""
        with torch.autocast(x.device.type, enabled=False):
            return super().forward(x.float())


class Classifier(nn.Module, ABC):
    """C(F(x)): what every stage asks of a network, whoever made it.

    Attributes:
        backbone: gives pooled features of normalised RGB. classifier: C, from features to logits; has ``out_features``.
        bottleneck, standard: what lies between, where the network has it. width: of a feature.
        pooled: layers of a ResNet-50 that C sees, ascending; none where it sees something else.
        normals: whether the network turns a depth map into surface normals before anything else.
    """

    backbone: Any
    classifier: Any
    bottleneck: Any
    standard: Any
    width: int
    pooled: tuple[int, ...] = ()
    normals: bool = False

    @abstractmethod
    def features(self, x: Tensor) -> Tensor:
        """F(x): (B, 3, H, W) normalised RGB -> (B, ``width``)."""

    def head_parameters(self) -> list[nn.Parameter]:
        """Of what lies between backbone and classifier."""
        return []

    def forward(self, x: Tensor) -> Tensor:
        """C(F(x)): (B, 3, H, W) normalised RGB -> (B, K) logits."""
        return self.classifier(self.features(x))  # type: ignore[no-any-return]

    @property
    def num_classes(self) -> int:
        """K."""
        return int(self.classifier.out_features)


class SceneClassifier(Classifier):
    """C(F(x)): a ResNet-50 (torchvision, v1.5 strides) and a head.

    The paper's head: the last layer pooled, bottleneck, weight-normed linear classifier; a feature has 256 dimensions.
    With ``pooled``: these layers pooled, each brought to length 1, all standardised, and a linear classifier; the
    feature is what the classifier sees.

    Args:
        num_classes: K, at least 2.
        pooled: layers of the ResNet, ascending; none for the paper's head.
        normals: whether the network turns a depth map into surface normals before anything else.
    """

    def __init__(self, num_classes: int, pooled: tuple[int, ...] = (), normals: bool = False) -> None:
        super().__init__()
        self.normals = normals
        self.backbone = torchvision.models.resnet50(weights=None)
        self.backbone.fc = nn.Identity()
        self.pooled = pooled
        if pooled:
            self.width = sum(LAYER_WIDTHS[number] for number in pooled)
            self.standard = Standardize(self.width)
            self.classifier = FloatLinear(self.width, num_classes)
            nn.init.zeros_(self.classifier.weight)
            nn.init.zeros_(self.classifier.bias)
            return
        self.width = FEATURES
        self.bottleneck = Bottleneck()
        linear = nn.Linear(FEATURES, num_classes)
        # Initialised before the weight norm is put on: afterwards `weight` is computed and writing to it is lost.
        nn.init.xavier_normal_(linear.weight)
        nn.init.zeros_(linear.bias)
        self.classifier = weight_norm(linear)

    def features(self, x: Tensor) -> Tensor:
        """F(x): (B, 3, H, W) normalised RGB -> (B, ``width``)."""
        if self.normals:
            x = normalise(surface_normals(x[:, :1] * IMAGENET_STD[0] + IMAGENET_MEAN[0]))
        if self.pooled:
            layers = pooled_layers(self.backbone, x, self.pooled)
            return self.standard(torch.cat([unit_rows(layer) for layer in layers], 1))  # type: ignore[no-any-return]
        return self.bottleneck(self.backbone(x))  # type: ignore[no-any-return]

    def head_parameters(self) -> list[nn.Parameter]:
        """Of what lies between backbone and classifier."""
        return [] if self.pooled else list(self.bottleneck.parameters())


class Translator(nn.Module):
    """T: one-channel frame -> source-like RGB. U-Net's first DoubleConv and OutConv, 2,851 parameters."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.double_conv = nn.Sequential(
            nn.Conv2d(3, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, padding=1, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(inplace=True),
        )
        self.out_conv = nn.Conv2d(width, 3, 1)

    def forward(self, frame: Tensor) -> Tensor:
        """(B, 3, H, W) normalised frames -> (B, 3, H, W) RGB in the ImageNet-normalised space."""
        # Sigmoid in float32: bf16 has too few bits near 1 for an image.
        return normalise(torch.sigmoid(self.out_conv(self.double_conv(frame)).float()))


def discriminator(width: int = FEATURES) -> nn.Sequential:
    """D: (B, width) features -> (B, 1) logits (no sigmoid: the loss has it)."""
    return nn.Sequential(
        nn.Linear(width, 500),
        nn.ReLU(inplace=True),
        nn.Linear(500, 500),
        nn.ReLU(inplace=True),
        nn.Linear(500, 1),
    )


M = TypeVar("M", bound=nn.Module)


def frozen(model: M) -> M:
    """Evaluation mode, no parameter takes a gradient. Returns ``model``. Gradients still flow through it."""
    return model.eval().requires_grad_(False)
