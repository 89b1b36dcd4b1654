"""The networks: source and target (one architecture), the translation net, the discriminators.

Paper, section 4.1 and appendix D. Inputs of the ResNets are ImageNet-normalised RGB; see :func:`normalise`.
"""

from __future__ import annotations

from typing import TypeVar

import torch
import torchvision
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

FEATURES = 256
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


class SceneClassifier(nn.Module):
    """C(F(x)): ResNet-50 (torchvision, v1.5 strides), bottleneck, weight-normed linear classifier.

    Args:
        num_classes: K, at least 2.
    """

    def __init__(self, num_classes: int) -> None:
        super().__init__()
        self.backbone = torchvision.models.resnet50(weights=None)
        self.backbone.fc = nn.Identity()
        self.bottleneck = Bottleneck()
        linear = nn.Linear(FEATURES, num_classes)
        # Initialised before the weight norm is put on: afterwards `weight` is computed and writing to it is lost.
        nn.init.xavier_normal_(linear.weight)
        nn.init.zeros_(linear.bias)
        self.classifier = weight_norm(linear)

    def features(self, x: Tensor) -> Tensor:
        """F(x): (B, 3, H, W) normalised RGB -> (B, 256)."""
        return self.bottleneck(self.backbone(x))  # type: ignore[no-any-return]

    def forward(self, x: Tensor) -> Tensor:
        """C(F(x)): (B, 3, H, W) normalised RGB -> (B, K) logits."""
        return self.classifier(self.features(x))  # type: ignore[no-any-return]

    @property
    def num_classes(self) -> int:
        """K."""
        return int(self.classifier.out_features)


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


def discriminator() -> nn.Sequential:
    """D: (B, 256) features -> (B, 1) logits (no sigmoid: the loss has it)."""
    return nn.Sequential(
        nn.Linear(FEATURES, 500),
        nn.ReLU(inplace=True),
        nn.Linear(500, 500),
        nn.ReLU(inplace=True),
        nn.Linear(500, 1),
    )


M = TypeVar("M", bound=nn.Module)


def frozen(model: M) -> M:
    """Evaluation mode, no parameter takes a gradient. Returns ``model``. Gradients still flow through it."""
    return model.eval().requires_grad_(False)
