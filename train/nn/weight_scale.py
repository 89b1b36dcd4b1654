"""Bring pretrained weights to the scale that training needs, without changing what the network computes.

Networks of other frameworks (Keras, Caffe) were trained on pixels of 0 to 255, and converted weights keep that scale:
the outputs of the first convolution then vary by tens or hundreds, and batch norm divides it away again. Such a
network's outputs are the same, but it learns differently: the gradient of a convolution in front of a batch norm falls
with its scale, so that its relative steps fall with the square and the layer hardly learns; and SOCKET's distance of
batch-norm statistics, whose first layer counts ten times, consists of that layer alone.
"""

from __future__ import annotations

import torch
from torch import Tensor

EPS = 1e-5
"""Of torchvision's batch norm."""

WIDE = 16.0
"""Spreads of the first layer up to this, and down to its reciprocal, are left as they are: torchvision's are near 1."""


def first_layer_spread(state: dict[str, Tensor]) -> float:
    """Typical standard deviation of the first convolution's outputs, as its batch norm remembers them.

    Args:
        state: ResNet-50 by torchvision's names.
    """
    return float(state["bn1.running_var"].float().median().sqrt())


def unit_scale(state: dict[str, Tensor]) -> tuple[dict[str, Tensor], float]:
    """Tensors with the first convolution divided by a power of two, and that power.

    Args:
        state: ResNet-50 by torchvision's names. Its ``bn1`` follows ``conv1``, which has no bias.

    Returns:
        A copy in which ``conv1.weight`` and ``bn1.*`` are float32, the median of ``bn1.running_var`` lies between 1/2
        and 2, and ``bn1.weight`` makes up for the epsilon that is added to the variance; and the divisor.
    """
    variance = state["bn1.running_var"].float()
    divisor = 2.0 ** round(float(torch.log2(variance.median())) / 2)
    small = variance / divisor**2
    make_up = ((small + EPS) / (variance + EPS)).sqrt() * divisor  # (64,), nearly one
    changed = {
        "conv1.weight": state["conv1.weight"].float() / divisor,
        "bn1.running_mean": state["bn1.running_mean"].float() / divisor,
        "bn1.running_var": small,
        "bn1.weight": state["bn1.weight"].float() * make_up,
    }
    return {**state, **changed}, divisor
