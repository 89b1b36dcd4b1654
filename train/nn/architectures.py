"""Networks by name, built without weights, and cut before their last linear layer."""

from __future__ import annotations

import difflib
import math
import re
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import torch
import torchvision
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torchvision.models import resnet

from tgkt_edge.errors import UsageError
from tgkt_edge.optional_deps import require

TIMM = "timm:"
"""Names of timm's networks begin so."""

V1_STRIDES = "_v1"
"""Names of ResNets whose blocks halve the image in their first convolution end so: Caffe's, MSRA's, Keras'."""

SIDE = "@"
"""Behind it stands, in names of vision transformers, the side of the image in pixels where it is not 224."""

ANY_SIDE = 224
"""Every network takes images of so many pixels that is not made for one other side."""

_AUXILIARY = ("googlenet", "inception_v3")
_FIRST_BY_NAME = (
    ("layer1.0.", ("res", "wide")),
    ("trunk_output.", ("regnet",)),
    ("denseblock1.", ("densenet",)),
    ("encoder.layers.encoder_layer_0.", ("vit",)),
    ("relative_position_bias_table", ("swin", "maxvit")),
    ("layer_scale", ("convnext",)),
    ("Mixed_5b.", ("inception",)),
    ("inception3a.", ("googlenet",)),
    ("stage2.0.branch2.", ("shufflenet",)),
    ("features.0.0.weight", ("mobilenet", "efficientnet")),
    ("layers.8.0.layers.", ("mnasnet",)),
)
"""Part of a tensor's name, and how names of the architectures begin that have it: these are tried first."""


class _WithoutMemory(TorchFunctionMode):
    """Parameters without storage: names and shapes of a network of any size in a fraction of a second."""

    def __torch_function__(
        self, func: Callable[..., Any], types: Any, args: Any = (), kwargs: Any = None
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is torch.empty and kwargs.get("device") is None:
            kwargs["device"] = "meta"
        return func(*args, **kwargs)


@dataclass(frozen=True)
class Cut:
    """A network without its last linear layer.

    Attributes:
        network: gives what that layer saw. head: the layer's name in the whole network. width: D, what it saw.
    """

    network: nn.Module
    head: str
    width: int


def torchvision_names(state: dict[str, Tensor]) -> Iterator[str]:
    """All of torchvision's classifiers, those first whose tensors are named as some of ``state``."""
    names = torchvision.models.list_models(module=torchvision.models)
    first = [starts for part, starts in _FIRST_BY_NAME if any(part in name for name in state)]
    likely = [name for name in names if any(name.startswith(starts) for starts in first)]
    yield from (of_side(name, state) for name in likely)
    yield from (name for name in names if name not in likely)


def of_side(name: str, state: Mapping[str, Tensor]) -> str:
    """``name``; of a vision transformer with the side of its images behind, where ``state`` has positions for others.

    torchvision's own weights of these are for 224, 384, 512 and 518 pixels, under one name each.
    """
    patch = _patch_of(name)
    positions = next((one for key, one in state.items() if key.endswith("encoder.pos_embedding")), None)
    if not patch or positions is None or positions.dim() != 3:
        return name
    across = math.isqrt(max(positions.shape[1] - 1, 0))
    side = across * patch
    square = side > 0 and across * across + 1 == positions.shape[1]
    return f"{name}{SIDE}{side}" if square and side != ANY_SIDE else name


def _patch_of(name: str) -> int:
    """Side of the patches of one of torchvision's vision transformers, pixels; 0 of other networks."""
    found = re.fullmatch(r"vit_[a-z]+_(\d+)", name)
    return int(found[1]) if found else 0


def build(name: str, outputs: int, *, memory: bool = True, argument: str = "arch") -> nn.Module:
    """The whole network with ``outputs`` classes, in evaluation mode; weights are random.

    Args:
        name: as torchvision has it, perhaps with V1_STRIDES or SIDE behind; or timm's after "timm:".
        memory: False: parameters without values, to compare names and shapes.
        argument: what the name was given as, for messages.

    Raises:
        UsageError: no such architecture. MissingDependency: timm is not installed.
    """
    known = torchvision.models.list_models(module=torchvision.models)
    plain, of_other, side = name.removesuffix(V1_STRIDES).partition(SIDE)
    usual = not of_other and name == plain
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name.startswith(TIMM):
            timm = require("timm", "timm", f"`{argument}={name}`")
            try:
                create = lambda: timm.create_model(  # noqa: E731
                    name.removeprefix(TIMM), pretrained=False, num_classes=outputs
                )
                return _made(create, memory)
            except (RuntimeError, ValueError) as error:
                near = ", ".join(difflib.get_close_matches(name.removeprefix(TIMM), timm.list_models(), 6))
                raise UsageError(
                    f"`{argument}={name}`: timm {timm.__version__} knows no such network: {error}. "
                    f"{f'Similar names: {near}. ' if near else ''}Its names: "
                    f"python -c \"import timm; print(timm.list_models('*resnet*'))\""
                ) from error
        patch = _patch_of(plain)
        sized = (
            bool(patch)
            and side.isdecimal()
            and int(side) > 0
            and int(side) % patch == 0
            and name.endswith(side)
        )
        strided = plain.startswith(("resnet", "resnext", "wide_")) and not of_other
        if plain not in known or not (usual or sized or strided):
            near = ", ".join(difflib.get_close_matches(plain.lower(), known, 6) or [*known[:8], "..."])
            raise UsageError(
                f"`{argument}={name}`: torchvision {torchvision.__version__} has no such classifier; similar names: "
                f"{near}. One of timm's is written {TIMM}NAME."
            )
        options: dict[str, Any] = {"aux_logits": False} if plain in _AUXILIARY else {}
        if plain in _AUXILIARY:
            options["init_weights"] = False
        if of_other:
            options["image_size"] = int(side)
        network = _made(
            lambda: torchvision.models.get_model(plain, weights=None, num_classes=outputs, **options), memory
        )
    if name.endswith(V1_STRIDES):
        _first_strides(network)
    return network


def _made(create: Callable[[], nn.Module], memory: bool) -> nn.Module:
    if memory:
        return create().eval()
    with _WithoutMemory():
        return create().eval()


def _first_strides(network: nn.Module) -> None:
    """Halve the image in the first convolution of a block, as ResNets before v1.5 do."""
    for block in network.modules():
        if isinstance(block, resnet.Bottleneck) and block.conv2.stride != (1, 1):
            block.conv1.stride, block.conv2.stride = block.conv2.stride, block.conv1.stride


def last_linear(network: nn.Module) -> tuple[str, nn.Linear] | None:
    """Name and layer of the last linear layer, if nothing but activations, dropout and the like comes after it."""
    found: tuple[str, nn.Linear] | None = None
    for name, module in network.named_modules():
        if isinstance(module, nn.Linear):
            found = name, module
        elif found is not None and any(True for _ in module.parameters(recurse=False)):
            found = None
    return found


def cut(network: nn.Module) -> Cut | None:
    """``network`` without its last linear layer, changed in place; None where it does not end with one."""
    found = last_linear(network)
    if found is None:
        return None
    name, layer = found
    where, _, last = name.rpartition(".")
    setattr(network.get_submodule(where), last, nn.Identity())
    return Cut(network, name, layer.in_features)


def versioned(tensors: dict[str, Tensor], network: nn.Module) -> OrderedDict[str, Tensor]:
    """``tensors`` as a state dict of ``network``'s kind: some modules want to know of which version it is."""
    found = OrderedDict(tensors)
    found._metadata = network.state_dict()._metadata  # type: ignore[attr-defined]
    return found


def shorten(network: nn.Module, width: int) -> None:
    """Replace all that comes after the pooled features by one linear layer that sees ``width`` of them."""
    end = last_linear(network)
    assert end is not None
    setattr(network, end[0].partition(".")[0], nn.Sequential(nn.Flatten(1), nn.Linear(width, 2)))


def fixed_side(network: nn.Module) -> int | None:
    """Side of the image, pixels, of a network that takes no other; None where any will do."""
    if isinstance(network, torchvision.models.VisionTransformer):
        return int(network.image_size)
    if isinstance(network, torchvision.models.MaxVit):
        return 224
    embedding = getattr(network, "patch_embed", None)
    if embedding is not None and getattr(embedding, "strict_img_size", False):
        return int(embedding.img_size[0])
    return None


def refuses_side(network: nn.Module, side: int) -> str | None:
    """Why a network does not work on images of ``side`` pixels though it can see those of ANY_SIDE; None where it can.

    Args:
        network: in evaluation mode, without memory (see :func:`build`): nothing is computed but shapes.
    """
    found = _shape_given(network, side)
    # What fails at any side fails for another reason, and that is found where it happens.
    return found if isinstance(found, str) and not isinstance(_shape_given(network, ANY_SIDE), str) else None


def ends_with_one(network: nn.Module, side: int) -> bool:
    """Whether without its last linear layer a network gives what that layer saw, and not what other heads make of it.

    Args:
        network: as for :func:`refuses_side`, which has taken ``side``; it is cut.
    """
    parts = cut(network)
    return parts is not None and _shape_given(parts.network, side) in (
        (2, parts.width),
        (2, parts.width, 1, 1),
    )


def _shape_given(network: nn.Module, side: int) -> tuple[int, ...] | str:
    """Shape of the answer to two images, or why there is none."""
    try:
        with torch.inference_mode():
            answer = network.to("meta")(torch.empty(2, 3, side, side, device="meta"))
    except (RuntimeError, ValueError, AssertionError) as found:
        return str(found).strip().partition("\n")[0].rstrip(".") or type(found).__name__
    return tuple(answer.shape) if isinstance(answer, Tensor) else "several answers"
