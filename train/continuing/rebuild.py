"""The network in a bundle as PyTorch has it, so that it can learn on: read back from the FP32 graph.

Only of graphs that :class:`tgkt_edge.export.fuse.Folded` made of a ResNet-50: there every batch norm lies in the
convolution before it, and the three channels of the first convolution are two, or three of normals. What is built is
the same function, and is compared with the graph in ONNX Runtime before anyone gets it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.errors import BundleError
from tgkt_edge.optional_deps import require
from tgkt_edge.train.nn.model import (
    FEATURES,
    IMAGENET_MEAN,
    IMAGENET_STD,
    LAYER_WIDTHS,
    SceneClassifier,
    frozen,
    normalise,
)

TOLERANCE = 1e-3
"""Of logits, of the largest one (at least 1): what float32 rounding leaves is a hundredth of that."""

PROBED = 4
"""Generated frames that both are asked about."""

_POOLED = {3584: ((2, 3, 4),), 2048: ((4,), ())}
"""Inputs of the head to the layers that it may see; none: the last one through a bottleneck."""

Weights = Mapping[str, NDArray[Any]]


def rebuild_network(bundle: Bundle) -> SceneClassifier:
    """The bundle's FP32 network, frozen, in evaluation mode, on the CPU.

    Raises:
        BundleError: (exit 4) no FP32 graph, a damaged one, or one that cannot be read back.
        MissingDependency: (exit 6) onnx or onnxruntime is not installed.
    """
    file = bundle.model("fp32")
    onnx = require("onnx", "export", "Continuing from a bundle")
    weights = {
        one.name: onnx.numpy_helper.to_array(one)
        for one in onnx.load(file, load_external_data=False).graph.initializer
    }
    frames = _frames(bundle.size)
    expected = _answers(file.read_bytes(), frames)
    head = weights.get("head.weight")
    for pooled in _POOLED.get(head.shape[1] if head is not None and head.ndim == 2 else 0, ()):
        network = _filled(weights, len(bundle.classes), pooled)
        if network is None:
            continue
        with torch.no_grad():
            found = network(normalise(torch.from_numpy(frames))).numpy()
        if np.abs(found - expected).max() <= TOLERANCE * max(1.0, float(np.abs(expected).max())):
            return network
    kind = bundle.provenance.get("network", "another network than this program's ResNet-50")
    raise BundleError(
        f"`continue_={bundle.path}`: its network ({kind}) cannot be read back from {file.name}: only a ResNet-50 "
        f"that 'tgkt-edge export' wrote can. Give the run folder that the bundle was exported from"
        + (f" ({bundle.provenance['run']})" if "run" in bundle.provenance else "")
        + "."
    )


def _frames(size: int) -> NDArray[np.float32]:
    """(PROBED, 1, S, S) in [0, 1]: noise, and slopes, which have surface normals."""
    rng = np.random.default_rng(0)
    noise = rng.random((PROBED // 2, 1, size, size))
    across, down = np.meshgrid(np.linspace(0, 1, size), np.linspace(0, 1, size))
    slopes = [0.5 * (a * across + (1 - a) * down) + 0.02 * rng.random((size, size)) for a in (0.2, 0.9)]
    return np.concatenate([noise, np.stack(slopes)[:, None]]).astype(np.float32)


def _answers(graph: bytes, frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """(PROBED, K) logits of the graph."""
    onnxruntime = require("onnxruntime", "export", "Continuing from a bundle")
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    logits: NDArray[np.float32] = session.run(["logits"], {"frame": frames})[0]
    return logits


def _filled(weights: Weights, classes: int, pooled: tuple[int, ...]) -> SceneClassifier | None:
    """A network with these weights; None where they are not those of such a network."""
    first = weights.get("first.weight")
    if first is None or first.ndim != 4 or (not pooled and classes > FEATURES):
        return None
    network = SceneClassifier(classes, pooled, normals=first.shape[1] == 3)
    state = network.state_dict()
    found = _backbone(weights)
    head, bias = (_tensor(weights.get(f"head.{name}")) for name in ("weight", "bias"))
    if found is None or head is None or bias is None or head.shape != (classes, head.shape[1]):
        return None
    if pooled and head.shape[1] == sum(LAYER_WIDTHS[number] for number in pooled):
        found |= {"classifier.weight": head, "classifier.bias": bias}
    elif not pooled:
        found |= _bottleneck(head, bias, state)
    if any(name not in state or state[name].shape != tensor.shape for name, tensor in found.items()):
        return None
    # What is not named: counters, and the standardisation, which the head holds.
    network.load_state_dict(found, strict=False)
    return frozen(network)


def _backbone(weights: Weights) -> dict[str, Tensor] | None:
    """State of the ResNet by torchvision's names; None where something is missing."""
    found: dict[str, Tensor] = {}
    named = {"first": ("conv1", "bn1")}
    for layer, count in enumerate((3, 4, 6, 3)):
        for block in range(count):
            here, there = f"layers.{layer}.{block}", f"layer{layer + 1}.{block}"
            named |= {f"{here}.conv{i}": (f"{there}.conv{i}", f"{there}.bn{i}") for i in (1, 2, 3)}
            if block == 0:
                named[f"{here}.downsample"] = (f"{there}.downsample.0", f"{there}.downsample.1")
    for name, (conv, norm) in named.items():
        weight, bias = _tensor(weights.get(f"{name}.weight")), _tensor(weights.get(f"{name}.bias"))
        if weight is None or bias is None:
            return None
        if name == "first" and weight.shape[1] == 2:
            weight = unfold_repeat(weight)
        found[f"backbone.{conv}.weight"] = weight
        found |= {
            f"backbone.{norm}.weight": torch.ones_like(bias),
            f"backbone.{norm}.bias": bias,
            f"backbone.{norm}.running_mean": torch.zeros_like(bias),
            f"backbone.{norm}.running_var": torch.ones_like(bias) - nn.BatchNorm2d(1).eps,
        }
    return found


def unfold_repeat(folded: Tensor) -> Tensor:
    """Weights of three normalised channels that give for a repeated frame what two channels give for frame and ones.

    The reverse of :func:`tgkt_edge.export.fuse.fold_repeat`, which many weights lead to: these are the smallest.

    Args:
        folded: (C, 2, h, w). Returns (C, 3, h, w) float32.
    """
    mean, std = (torch.tensor(values, dtype=torch.float64) for values in (IMAGENET_MEAN, IMAGENET_STD))
    to_folded = torch.stack([1 / std, -mean / std])  # (2, 3)
    return torch.einsum("ic,ochw->oihw", torch.linalg.pinv(to_folded), folded.double()).float()


def _bottleneck(head: Tensor, bias: Tensor, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The paper's head, whose first K features are the logits and whose others are zero."""
    classes = len(head)
    linear = {name: torch.zeros_like(state[f"bottleneck.linear.{name}"]) for name in ("weight", "bias")}
    linear["weight"][:classes], linear["bias"][:classes] = head, bias
    ones = torch.ones(FEATURES)
    return {
        **{f"bottleneck.linear.{name}": tensor for name, tensor in linear.items()},
        "bottleneck.norm.weight": ones,
        "bottleneck.norm.bias": torch.zeros(FEATURES),
        "bottleneck.norm.running_mean": torch.zeros(FEATURES),
        "bottleneck.norm.running_var": ones - nn.BatchNorm1d(1).eps,
        "classifier.bias": torch.zeros(classes),
        "classifier.parametrizations.weight.original0": torch.ones(classes, 1),
        "classifier.parametrizations.weight.original1": torch.eye(classes, FEATURES),
    }


def _tensor(values: NDArray[Any] | None) -> Tensor | None:
    return None if values is None else torch.from_numpy(values.copy())
