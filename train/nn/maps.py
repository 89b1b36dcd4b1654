"""Evidence by place: each class's evidence at each place of a network's last feature map.

After the last convolution there are only averages over places and matrix products, which may trade places: the class
layer is applied at every place, and the mean of a class's map over all places is its logit. So maps are no estimate and
need no gradients. What belongs to no place is spread evenly over all: the class layer's bias, and of merged classes the
part of the logit that comes from having several members.

Layers with more places than the last are averaged over its places, each pixel shared out by area, so that the mean over
places stays the mean over pixels. The length that a pooled layer is brought to is one number for an image and layer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from tgkt_edge.train.nn.imported import MergingHead
from tgkt_edge.train.nn.model import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    LAYER_WIDTHS,
    Classifier,
    SceneClassifier,
    Standardize,
    normalise,
    row_lengths,
)
from tgkt_edge.train.nn.normals import surface_normals

LAST = 4
"""Number of a ResNet's last layer."""

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


class LastPooling(TorchFunctionMode):
    """Remembers what the last average over all places of a feature map was taken of, however it is written, and what
    followed that can be applied at every place just as well.

    Attributes:
        before: (N, C, h, w), and ``after``, (N, C) or with ones around; None: there was no such average.
        norm: weight and bias, (C,) each, and epsilon of a layer norm; None: there was none.
        hidden: weight (H, C) and bias (H,) of a linear layer, and (N, H) what its activation multiplied its output by;
            None: there was none.
    """

    _AVERAGES = (F.adaptive_avg_pool2d, F.avg_pool2d, torch.mean, Tensor.mean)
    _FACTORS: ClassVar[dict[Any, Callable[[Tensor], Tensor]]] = {
        F.hardswish: F.hardsigmoid, F.silu: torch.sigmoid, F.relu: lambda u: (u > 0).to(u),
    }  # fmt: skip
    """Activations that are their input times a factor, and that factor."""

    def __init__(self) -> None:
        super().__init__()
        self.before: Tensor | None = None
        self.after: Tensor | None = None
        self.norm: tuple[Tensor, Tensor, float] | None = None
        self.hidden: tuple[Tensor, Tensor, Tensor] | None = None
        self._linear: tuple[Tensor, Tensor, Tensor] | None = None  # weight, bias and output

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = kwargs or {}
        factor = self._FACTORS.get(func)
        if factor is not None and self._linear is not None and args and args[0] is self._linear[2]:
            self.hidden = (*self._linear[:2], factor(args[0]))  # before an activation that works in place
        found = func(*args, **kwargs)
        if func in self._AVERAGES and isinstance(found, Tensor):
            given = args[0] if args else kwargs["input"]
            pooled = given.dim() == 4 and found.dim() >= 2 and found.shape[:2] == given.shape[:2]
            if pooled and all(size == 1 for size in found.shape[2:]):
                self.before, self.after, self.norm, self.hidden, self._linear = given, found, None, None, None
        elif self.after is not None and func is F.layer_norm:
            values = (
                dict(zip(("input", "normalized_shape", "weight", "bias", "eps"), args, strict=False)) | kwargs
            )
            weight, bias = values.get("weight"), values.get("bias")
            whole = tuple(values["normalized_shape"]) == (self.after.shape[1],)
            if (
                whole
                and values["input"].numel() == self.after.numel()
                and weight is not None
                and bias is not None
            ):
                self.norm = (weight, bias, float(values.get("eps", 1e-5)))
        elif self.after is not None and func is F.linear and len(args) == 3 and args[2] is not None:
            whole = args[0].numel() == self.after.numel() and args[1].shape[1] == self.after.shape[1]
            self._linear = (args[1], args[2], found) if whole else None
        return found


class PooledHead(nn.Module):
    """The class layer applied before the last pooling, with what lies between.

    A layer norm takes the mean over channels away, which the weights can do, and divides by the deviation over channels
    of the pooled features, one number for an image. An activation multiplies each hidden feature by a factor of its
    own, which makes a class layer of its own for each image.

    Args:
        linear: of the standardised features. standard: of the features. pooling: of any image.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, linear: nn.Linear, standard: Standardize, pooling: LastPooling) -> None:
        super().__init__()
        weight = linear.weight.detach().double() / standard.scale.double()
        bias = linear.bias.detach().double() - weight @ standard.mean.double()
        self.epsilon = None if pooling.norm is None else pooling.norm[2]
        if pooling.norm is not None:
            bias = bias + weight @ pooling.norm[1].detach().double()
            weight = weight * pooling.norm[0].detach().double()
            weight = weight - weight.mean(1, keepdim=True)
        self.register_buffer("weight", weight.float())  # (K, C), or (K, H) of hidden features
        self.register_buffer("bias", bias.float())

    def forward(self, pooling: LastPooling) -> Tensor:
        """(N, K, h, w), whose mean over places is the class layer's output for the image that was pooled."""
        assert pooling.before is not None
        assert pooling.after is not None
        places = pooling.before.float().flatten(2)  # (N, C, h w)
        weight, bias = self.weight, self.bias[:, None]
        if pooling.hidden is not None:
            own = self.weight * pooling.hidden[2].float()[:, None]  # (N, K, H)
            weight, bias = own @ pooling.hidden[0], (own @ pooling.hidden[1])[..., None] + bias
        found: Tensor = torch.matmul(weight, places)
        if self.epsilon is not None:
            deviation = pooling.after.flatten(1).float().var(1, unbiased=False, keepdim=True) + self.epsilon
            found = found / deviation.sqrt()[..., None]
        by_place: Tensor = (found + bias).unflatten(2, pooling.before.shape[2:])
        return by_place


def pooled_head(model: Classifier, size: int) -> PooledHead | None:
    """The class layer as it acts on the mean over places of the network's last feature map.

    Tried on random images of ``size`` pixels. None: something else comes between, several layers are pooled, or there
    is no feature map.
    """
    if not isinstance(getattr(model, "standard", None), Standardize):
        return None
    generator = torch.Generator().manual_seed(0)
    frames = torch.rand(2, 1, size, size, generator=generator)
    linear, _ = class_layer(model)
    with torch.no_grad(), LastPooling() as pooling:
        features = model.features(normalise(frames).to(next(model.parameters()).device))
    if pooling.after is None:
        return None
    seen = pooling.after.shape[1] if pooling.hidden is None else len(pooling.hidden[1])
    if (pooling.norm is not None and pooling.hidden is not None) or seen != features.shape[1]:
        return None
    head = PooledHead(linear, model.standard, pooling)
    with torch.no_grad():
        expected, found = linear(features), head(pooling).mean((2, 3))
    same = bool((found - expected).abs().max() <= _SAME * expected.abs().max())
    return head if same else None


def class_layer(model: Classifier) -> tuple[nn.Linear, MergingHead | None]:
    """The last linear layer, and what merges its outputs into the task's classes, if anything."""
    if isinstance(model.classifier, MergingHead):
        return model.classifier.linear, model.classifier
    return model.classifier, None


@torch.no_grad()
def class_maps(model: Classifier, x: Tensor) -> Tensor | None:
    """Evidence by place, of a network as it was trained, to look at; exported graphs have the same.

    Args:
        x: (B, 3, H, W) normalised RGB; the model is in evaluation mode.

    Returns:
        (B, K, h, w), whose mean over places is the model's logits; None: the network has no such maps.
    """
    if isinstance(model, SceneClassifier):
        return _scene_maps(model, x)
    head = pooled_head(model, x.shape[-1])
    if head is None:
        return None
    with LastPooling() as pooling:
        features = model.features(x)
    linear, merging = class_layer(model)
    maps: Tensor = head(pooling)
    return maps if merging is None else merging.merge_maps(linear(features), maps)


def _scene_maps(model: SceneClassifier, x: Tensor) -> Tensor:
    if model.normals:
        x = normalise(surface_normals(x[:, :1] * IMAGENET_STD[0] + IMAGENET_MEAN[0]))
    net, seen = model.backbone, []
    x = net.maxpool(net.relu(net.bn1(net.conv1(x))))
    for number in range(1, LAST + 1):
        x = getattr(net, f"layer{number}")(x)
        if number in (model.pooled or (LAST,)):
            seen.append(x.float())
    if model.pooled:
        lengths = [row_lengths(layer.mean((2, 3))) for layer in seen]
        linear, standard = model.classifier, model.standard
        weight = linear.weight / standard.scale
        head = nn.Linear(*reversed(weight.shape))
        head.weight = nn.Parameter(weight, requires_grad=False)
        head.bias = nn.Parameter(linear.bias - weight @ standard.mean, requires_grad=False)
        place_head = PlaceHead(head, [LAYER_WIDTHS[number] for number in model.pooled])
        return place_head(seen, lengths)  # type: ignore[no-any-return]
    # Bottleneck and classifier are affine: what they make of zero and of each unit is all there is to know of them.
    width = model.bottleneck.linear.in_features
    bias = model.classifier(model.bottleneck(x.new_zeros(1, width)))  # (1, K)
    units = model.classifier(model.bottleneck(torch.eye(width, device=x.device, dtype=x.dtype))) - bias
    head = nn.Linear(width, bias.shape[1])
    head.weight, head.bias = (
        nn.Parameter(units.T, requires_grad=False),
        nn.Parameter(bias[0], requires_grad=False),
    )
    return PlaceHead(head, [width])(seen, [None])  # type: ignore[no-any-return]
