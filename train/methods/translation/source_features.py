"""What the translation aims at: the source model's pooled features of RGB, and its classes read off them."""

from __future__ import annotations

import copy
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tgkt_edge.train.methods.translation.features import RGB_LAYERS, Features, Kind
from tgkt_edge.train.methods.translation.moments import Moments
from tgkt_edge.train.methods.translation.prior import log_softmax
from tgkt_edge.train.methods.translation.softmax_regression import Linear
from tgkt_edge.train.nn.imported import ImportedClassifier
from tgkt_edge.train.nn.model import Classifier

Floats = NDArray[np.float32]
Reals = NDArray[np.float64]

MEAN, SPREAD, SHARES = "pooled_mean", "pooled_spread", "class_shares"
"""Names of the tensors beside a source model's weights: (2048,) twice, of its own images, and (K,)."""

FEATURES, LABELS = "features", "labels"
"""And of some of its images: (S, V, 2048) raw pooled features in half precision, and (S,) int64."""

EARLY = "early_features"
"""And (S, V, 1536) of the layers before, of the same images, where the backbone is generic."""


@dataclass(frozen=True)
class SourceFeatures:
    """The source model as pooled features and a head.

    Attributes:
        backbone: whose last layer is pooled. unit: whether it is brought to length 1.
        mean, spread: (2048,) of the source's own images; features are standardised by them.
        head: (N, D) standardised features to (N, K) logits.
        own: whether ``mean`` and ``spread`` are the source's; else those of the paired RGB replace them.
    """

    backbone: nn.Module
    unit: bool
    mean: Reals
    spread: Reals
    head: Callable[[Reals], Reals]
    own: bool

    @property
    def kind(self) -> Kind:
        """How these features are computed."""
        return Kind(RGB_LAYERS, self.unit)

    def standard(self, rows: Floats) -> Floats:
        """(..., 2048) raw features with mean 0 and spread 1 over the source's own images."""
        result: Floats = ((rows - self.mean) / self.spread).astype(np.float32)
        return result

    def probabilities(self, z: Reals) -> Reals:
        """(N, 2048) standardised features to (N, K)."""
        result: Reals = np.exp(log_softmax(self.head(z)))
        return result


def kind_of(source: Classifier, views: int) -> Kind:
    """How the features are computed that the source's classes are read off."""
    layers = () if isinstance(source, ImportedClassifier) else RGB_LAYERS
    return Kind(layers, source.pooled != (), "plain", views)


def needs_spread(source: Classifier, beside: Mapping[str, Tensor]) -> bool:
    """Whether mean and spread of the source's features have to come from the pairs: an older or a foreign model."""
    known = bool(source.pooled) or isinstance(source, ImportedClassifier)
    return not known and not {MEAN, SPREAD} <= beside.keys()


def source_features(
    source: Classifier, beside: Mapping[str, Tensor], paired: Features | None = None
) -> SourceFeatures:
    """Read a source model so. With a bottleneck, its batch norm and its classifier are one linear map together.

    Args:
        beside: the tensors stored with it. paired: raw pooled features of the paired RGB, where :func:`needs_spread`.
    """
    classifier = source.classifier
    if isinstance(source, ImportedClassifier):
        standard = source.standard
        mean, spread = _double(standard.mean), _double(standard.scale)
        return SourceFeatures(
            source.backbone, False, mean, spread, _merged(source), {MEAN, SPREAD} <= beside.keys()
        )
    weight, bias = _double(classifier.weight), _double(classifier.bias)  # (K, F), (K,)
    if source.pooled:
        standard = source.standard
        mean, spread = _double(standard.mean), _double(standard.scale)
        return SourceFeatures(source.backbone, True, mean, spread, Linear(weight.T, bias), True)
    norm = source.bottleneck.norm
    scale = _double(norm.weight) / np.sqrt(_double(norm.running_var) + norm.eps)  # (256,)
    first = _double(source.bottleneck.linear.weight) * scale[:, None]  # (256, 2048)
    offset = (_double(source.bottleneck.linear.bias) - _double(norm.running_mean)) * scale + _double(
        norm.bias
    )
    joined, constant = weight @ first, weight @ offset + bias  # (K, 2048), (K,)
    own = not needs_spread(source, beside)
    if own:
        mean, spread = _double(beside[MEAN]), _double(beside[SPREAD])
    else:
        if paired is None:
            raise ValueError(
                "a source model without mean and spread: features of the paired RGB are expected"
            )
        moments = Moments()
        for _, block in paired.blocks():
            moments.add(block.reshape(-1, block.shape[-1]))
        mean, spread = moments.mean, moments.scale
    head = Linear((joined * np.where(np.isfinite(spread), spread, 0.0)).T, constant + joined @ mean)
    return SourceFeatures(source.backbone, False, mean, spread, head, own)


def _merged(source: ImportedClassifier) -> Callable[[Reals], Reals]:
    """An imported model's head in float64: its classes merged as it merges them."""
    classifier = copy.deepcopy(source.classifier).cpu().double()
    weight, bias = _double(classifier.linear.weight), _double(classifier.linear.bias)

    def head(z: Reals) -> Reals:
        with torch.no_grad():
            merged: Reals = classifier.merge(torch.from_numpy(z.astype(np.float64) @ weight.T + bias)).numpy()
        return merged

    return head


def _double(tensor: Tensor | None) -> Reals:
    assert tensor is not None
    result: Reals = tensor.detach().to(device="cpu", dtype=torch.float64).numpy()
    return result
