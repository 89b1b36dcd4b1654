"""A linear head on a frozen network's pooled features: of the source model, and of the network that is exported."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from tgkt_edge.train.methods.translation.features import Features
from tgkt_edge.train.methods.translation.moments import Moments
from tgkt_edge.train.methods.translation.softmax_regression import Linear, softmax_regression
from tgkt_edge.train.nn.model import Classifier, SceneClassifier
from tgkt_edge.train.nn.unfilled import WithoutRandomWeights

Floats = NDArray[np.float32]
Reals = NDArray[np.float64]


def fit_head(features: Features, labels: Reals, c: float) -> tuple[Moments, Linear]:
    """Softmax regression from every view of every image to the image's label, on standardised features.

    Args:
        features: (N, V, D). labels: (N, K), each row times its weight. c: for each view of each image.

    Returns:
        What the features were standardised by, and the head on standardised ones.
    """
    moments = Moments()
    for _, block in features.blocks():
        moments.add(block.reshape(-1, block.shape[-1]))

    def rows() -> Iterator[tuple[Floats, Reals]]:
        for start, block in features.blocks():
            n, views, columns = block.shape
            x = ((block - moments.mean) / moments.scale).reshape(-1, columns).astype(np.float32)
            yield x, np.repeat(labels[start : start + n], views, 0)

    if len(features) <= IN_MEMORY:
        kept = list(rows())
        return moments, softmax_regression(lambda: kept, c)
    return moments, softmax_regression(rows, c)


IN_MEMORY = 2048
"""Images whose features are kept in memory while a head is fitted; more are read again at every step."""


def with_head(
    backbone: nn.Module, layers: tuple[int, ...], moments: Moments, head: Linear, normals: bool = False
) -> SceneClassifier:
    """A network of ``backbone``'s weights and this head, frozen, in evaluation mode, on the CPU.

    Args:
        normals: whether it turns depth into surface normals first, as the features were computed.
    """
    with WithoutRandomWeights():
        network = SceneClassifier(head.weight.shape[1], layers, normals)
    network.backbone.load_state_dict(backbone.state_dict())
    set_head(network, moments, head)
    return network.eval().requires_grad_(False)


def set_head(network: Classifier, moments: Moments, head: Linear) -> None:
    """Give a network of standardised features this head, and what it standardises them by."""
    with torch.no_grad():
        network.standard.mean.copy_(torch.from_numpy(moments.mean))
        # A feature that never changed has an infinite scale, and a weight of zero: any finite scale does.
        scale = np.where(np.isfinite(moments.scale), moments.scale, 1.0)
        network.standard.scale.copy_(torch.from_numpy(scale))
        network.classifier.weight.copy_(torch.from_numpy(head.weight.T))
        network.classifier.bias.copy_(torch.from_numpy(head.bias))
