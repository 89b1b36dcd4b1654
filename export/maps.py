"""Evidence by place: the graph's third output, ``maps``, each class's evidence at each place of the last feature map.

After the last convolution there are only averages over places and matrix products, which may trade places: the class
layer is applied at every place, and the mean of a class's map over all places is its logit. So maps are no estimate and
need no gradients. What belongs to no place is spread evenly over all: the class layer's bias, and of merged classes the
part of the logit that comes from having several members. A temperature of the bundle divides logits when probabilities
are made of them; it divides neither logits nor maps.

Layers with more places than the last are averaged over its places, each pixel shared out by area, so that the mean over
places stays the mean over pixels. The length that a pooled layer is brought to is one number for an image and layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tgkt_edge.train.nn.imported import ImportedClassifier
from tgkt_edge.train.nn.model import Classifier, normalise

_SAME = 1e-4
"""What a feature may differ by from the mean of a feature map, as a share of the largest, to be that mean."""


class PlaceHead(nn.Module):
    """A linear layer over pooled feature maps, applied before the pooling.

    Args:
        head: sees the pooled maps side by side. widths: channels of each map, whose sum ``head`` takes.
    """

    bias: Tensor

    def __init__(self, head: nn.Linear, widths: Sequence[int]) -> None:
        super().__init__()
        self.count = len(widths)
        for number, part in enumerate(head.weight.detach().split(list(widths), 1)):
            self.register_buffer(f"weight{number}", part.clone())  # (K, C)
        self.register_buffer("bias", head.bias.detach().clone().view(1, -1, 1, 1))

    def forward(self, layers: Sequence[Tensor], lengths: Sequence[Tensor | None]) -> Tensor:
        """Evidence of K classes by place.

        Args:
            layers: (N, C, h, w) each, the last with the fewest places. lengths: (N, 1), what each layer's mean over
                places is divided by; None: nothing.

        Returns:
            (N, K, h, w) of the last layer's h and w; the mean over places is the head's output.
        """
        grid = layers[-1].shape[2:]
        found: Tensor = self.bias
        for number, (layer, length) in enumerate(zip(layers, lengths, strict=True)):
            weight = getattr(self, f"weight{number}")
            part = torch.matmul(weight, layer.flatten(2)).unflatten(2, layer.shape[2:])  # (N, K, h', w')
            part = over_areas(part, grid)
            found = found + (part if length is None else part / length[:, :, None, None])
        return found


def over_areas(maps: Tensor, grid: Sequence[int]) -> Tensor:
    """(..., h', w') averaged over areas to (..., h, w) of ``grid``, none larger than before; the mean stays."""
    for dim, count in ((-1, grid[1]), (-2, grid[0])):
        length = maps.shape[dim]
        if length == count:
            continue
        shares = area_shares(length, count).to(maps)
        maps = maps @ shares.T if dim == -1 else shares @ maps
    return maps


def area_shares(length: int, count: int) -> Tensor:
    """(count, length) float64: what each of ``length`` pixels is of the mean over each of ``count`` equal areas.

    Each row adds up to 1, each column to count / length.
    """
    edge = torch.arange(count + 1, dtype=torch.float64) * length / count
    pixel = torch.arange(length, dtype=torch.float64)
    last = torch.minimum(edge[1:, None], pixel + 1)
    return (last - torch.maximum(edge[:-1, None], pixel)).clamp_min(0) * count / length


class Unfolded(nn.Module):
    """The network as it is, with maps: ``frame`` (N, 1, S, S) -> logits (N, K), probabilities (N, K), maps.

    Args:
        model: as :class:`tgkt_edge.export.graph.Deployed` holds it; one that :func:`mean_of_last_map` is true of.
    """

    def __init__(self, model: ImportedClassifier) -> None:
        super().__init__()
        self.model = model
        standard, head = model.standard, model.classifier.linear
        raw = nn.Linear(head.in_features, head.out_features)
        weight = head.weight.double() / standard.scale.double()
        raw.weight = nn.Parameter(weight.float(), requires_grad=False)
        raw.bias = nn.Parameter(
            (head.bias.double() - weight @ standard.mean.double()).float(), requires_grad=False
        )
        self.places = PlaceHead(raw, [raw.in_features])

    def forward(self, frame: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """See the class."""
        with LastPooling() as pooling:
            features = self.model.features(normalise(frame))
        assert pooling.before is not None
        of_source = self.model.classifier.linear(features)
        logits = self.model.classifier.merge(of_source)
        maps = self.model.classifier.merge_maps(of_source, self.places([pooling.before], [None]))
        return logits, logits.softmax(1), maps


class LastPooling(TorchFunctionMode):
    """Remembers what the last average over all places of a feature map was taken of, however it is written.

    Attributes:
        before: (N, C, h, w), and ``after``, (N, C) or with ones behind; None: there was no such average.
    """

    _AVERAGES = (F.adaptive_avg_pool2d, F.avg_pool2d, torch.mean, Tensor.mean)

    def __init__(self) -> None:
        super().__init__()
        self.before: Tensor | None = None
        self.after: Tensor | None = None

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        found = func(*args, **(kwargs or {}))
        if func in self._AVERAGES and isinstance(found, Tensor):
            given = args[0] if args else (kwargs or {})["input"]
            pooled = given.dim() == 4 and found.dim() >= 2 and found.shape[:2] == given.shape[:2]
            if pooled and all(size == 1 for size in found.shape[2:]):
                self.before, self.after = given, found
        return found


def mean_of_last_map(model: Classifier, size: int) -> bool:
    """Whether what the class layer of an imported network sees is the mean over places of its last feature map.

    Tried on random images of ``size`` pixels. Where another layer with an activation, or a normalization of the
    features, comes between, it is not.
    """
    if not isinstance(model, ImportedClassifier):
        return False
    generator = torch.Generator().manual_seed(0)
    frames = torch.rand(2, 1, size, size, generator=generator)
    with torch.inference_mode(), LastPooling() as pooling:
        features = model.features(normalise(frames))
    if pooling.after is None or pooling.after.flatten(1).shape != features.shape:
        return False
    expected = model.standard(pooling.after.flatten(1).float())
    return bool((features - expected).abs().max() <= _SAME * features.abs().max())
