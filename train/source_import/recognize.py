"""Which architecture a file's tensors belong to, by their names and shapes; never by the file's name."""

from __future__ import annotations

import functools
import re
from collections.abc import Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from tgkt_edge.data.names import abbreviate
from tgkt_edge.errors import CheckpointError, UsageError
from tgkt_edge.train.nn.architectures import (
    Cut,
    build,
    cut,
    last_linear,
    of_side,
    shorten,
    torchvision_names,
    versioned,
)
from tgkt_edge.train.source_import.refusals import (
    keep_one,
    nearly,
    not_explained,
    refuse_other_tasks,
    refuse_unusable,
    refuse_without_linear_end,
    unknown,
)
from tgkt_edge.train.source_import.tensors import prefixes

Shape = tuple[int, ...]

_AUXILIARY = ("AuxLogits.", "aux1.", "aux2.")
"""Classifiers that some networks have for their training alone."""


@dataclass(frozen=True)
class Recognized:
    """A classifier whose architecture is known.

    Attributes:
        arch: its name. tensors: of its network without the last linear layer, by the architecture's own names.
        weight, bias: of that layer, (S, D) and (S,). head: how the layer is called in the file, for the person.
        short: whether all that the architecture has after its pooled features is replaced by that one layer.
        left_out: tensors of the file that its training needed, and its answers do not.
    """

    arch: str
    tensors: dict[str, Tensor]
    weight: Tensor
    bias: Tensor
    head: str
    short: bool = False
    left_out: list[str] = field(default_factory=list)


def recognize(state: Mapping[str, Tensor], file: str, arch: str | None = None) -> Recognized:
    """Find the architecture, or check the one that is named.

    Args:
        arch: as the person named it; None: one of torchvision's is looked for.

    Raises:
        CheckpointError: no classifier, or one whose function names and shapes do not tell.
    """
    refuse_other_tasks(state, file)
    nearest: tuple[float, str, list[str]] = (1.0, "", [])
    for name in torchvision_names(dict(state)) if arch is None else [of_side(arch, state)]:
        layout = _layout(name)
        if layout is None:
            if arch is None:
                refuse_without_linear_end(state, file, name)
                continue
            raise UsageError(
                f"`arch={arch}`: does not end with a linear layer. Export the model to ONNX: it can be a teacher then."
            )
        fitting = [layout.fit(state, prefix) for prefix in prefixes(state, layout.anchor)]
        for one in fitting:
            if one.share < nearest[0]:
                nearest = one.share, name, one.problems
        whole = [one for one in fitting if not one.problems]
        if len(whole) > 1:
            places = ", ".join(repr(one.prefix.rstrip(".")) for one in whole)
            raise CheckpointError(
                f"{file}: holds the network {len(whole)} times, under {places}, and cannot know which is meant. Keep "
                f"one: {keep_one(file, whole[0].prefix)}"
            )
        if whole:
            return _with_head(state, whole[0], layout, name, file)
    raise CheckpointError(unknown(state, file, arch, *nearest))


def body_tensors(state: Mapping[str, Tensor], file: str, arch: str) -> dict[str, Tensor]:
    """The tensors of a known architecture without its last linear layer, whether the file has one or not.

    Raises:
        CheckpointError: they are another network's. UsageError: there is no such architecture.
    """
    layout = _layout(arch)
    if layout is None:
        raise UsageError(f"{file}: a {arch} does not end with a linear layer")
    fits = [layout.fit(state, prefix) for prefix in prefixes(state, layout.anchor)]
    whole = [one for one in fits if not one.problems and not one.short]
    if not whole:
        nearest = min(fits, key=lambda one: one.share, default=_Fit("", [], 1.0, False))
        found = "; ".join(nearest.problems[:3]) or f"no {layout.anchor} among {abbreviate(sorted(state))}"
        raise CheckpointError(nearly(file, arch, nearest.problems) or f"{file}: holds no {arch}: {found}")
    tensors = {
        name: state[whole[0].prefix + name] for name in layout.expected if whole[0].prefix + name in state
    }
    refuse_unusable(tensors, file)
    return tensors


@functools.cache
def _layout(name: str) -> _Layout | None:
    """Names and shapes of an architecture; None where it does not end with a linear layer."""
    network = build(name, 2, memory=False)
    end = last_linear(network)
    return None if end is None else _Layout.of(network, *end)


@dataclass(frozen=True)
class _Fit:
    prefix: str
    problems: list[str]
    share: float  # of the tensors that do not fit
    short: bool


@dataclass(frozen=True)
class _Layout:
    """Names and shapes that an architecture has without its head, and what the head is called."""

    expected: dict[str, Shape]
    head: str
    width: int
    inner: int  # what the first layer of the head's part of the network sees

    @staticmethod
    def of(network: nn.Module, head: str, layer: nn.Linear) -> _Layout:
        expected = {
            name: tuple(tensor.shape)
            for name, tensor in network.state_dict().items()
            if not name.startswith(f"{head}.")
        }
        root = head.partition(".")[0]
        first = next(m for m in network.get_submodule(root).modules() if isinstance(m, nn.Linear))
        return _Layout(expected, head, layer.in_features, first.in_features)

    @property
    def anchor(self) -> str:
        return next(iter(self.expected))

    @property
    def root(self) -> str:
        return self.head.partition(".")[0]

    def fit(self, state: Mapping[str, Tensor], prefix: str) -> _Fit:
        """How well ``state`` has these tensors after ``prefix``."""
        missing, wrong = [], []
        for name, shape in self.expected.items():
            tensor = state.get(prefix + name)
            if tensor is None:
                if not name.endswith("num_batches_tracked"):  # torch before 0.4.1 had no such counter
                    missing.append(name)
            elif tuple(tensor.shape) != shape:
                wrong.append(f"{name} is {tuple(tensor.shape)}, expected {shape}")
        tops = {name.partition(".")[0] for name in self.expected} - {self.root}
        foreign = [
            name.removeprefix(prefix)
            for name in state
            if name.startswith(prefix)
            and name.removeprefix(prefix).partition(".")[0] in tops
            and name.removeprefix(prefix) not in self.expected
        ]
        short = bool(missing) and all(name.startswith(f"{self.root}.") for name in missing)
        problems = [] if short else [f"{name} is missing" for name in missing]
        problems += wrong + [f"{name} is not part of it" for name in foreign]
        return _Fit(prefix, problems, (len(missing) + len(wrong) + len(foreign)) / len(self.expected), short)


def _with_head(state: Mapping[str, Tensor], fit: _Fit, layout: _Layout, arch: str, file: str) -> Recognized:
    body = {name: state[fit.prefix + name] for name in layout.expected if fit.prefix + name in state}
    rest = {
        name: tensor
        for name, tensor in state.items()
        if name.removeprefix(fit.prefix) not in layout.expected or not name.startswith(fit.prefix)
    }
    rest = {name: t for name, t in rest.items() if not name.removeprefix(fit.prefix).startswith(_AUXILIARY)}
    width = layout.inner if fit.short else layout.width
    linear = {
        name: t.flatten(1)  # a convolution of one pixel is a linear layer
        for name, t in rest.items()
        if name.endswith("weight") and (t.dim() == 2 or (t.dim() == 4 and tuple(t.shape[2:]) == (1, 1)))
    }
    own = f"{fit.prefix}{layout.head}.weight"
    heads = [own] if own in linear and not fit.short else [name for name in linear if not _for_training(name)]
    if not heads:
        raise CheckpointError(
            f"{file}: is the {arch} of a classifier without its last layer: no {layout.head}.weight. It answers "
            f"nothing. "
            f"Start the training of a source model from it: `weights` (a ResNet-50) with `source`; or bring the whole "
            f"model."
        )
    if len(heads) > 1 or linear[heads[0]].shape[1] != width:
        shapes = ", ".join(f"{name} {tuple(linear[name].shape)}" for name in heads)
        raise CheckpointError(
            f"{file}: the {arch} in it is followed by {shapes}; expected one linear layer from {width} features to the "
            f"classes. Which activations lie between them no file of tensors tells: export the model to ONNX, "
            f"which does, and give that file: it can be a teacher."
        )
    (head,) = heads
    weight = linear[head]
    if len(weight) < 2:
        raise CheckpointError(
            f"{file}: {head} gives {len(weight)} output, expected one for each class, at least 2. A network with one "
            f"output for yes and no gets two by a layer with rows w and -w."
        )
    start = head.removesuffix("weight")
    bias = rest.get(f"{start}bias", torch.zeros(len(weight)))
    if bias.shape != weight.shape[:1]:
        raise CheckpointError(
            f"{file}: {start}bias is {tuple(bias.shape)}, expected ({len(weight)},): one number for each row of {head}"
        )
    used = {head, f"{start}bias"}
    left = sorted(name for name in rest if name not in used and not name.endswith("num_batches_tracked"))
    undecided = [name for name in left if rest[name].is_floating_point() and not _for_training(name)]
    if undecided:
        raise CheckpointError(not_explained(file, arch, head, undecided))
    return Recognized(arch, body, weight, bias, start.rstrip("."), fit.short, left)


def _for_training(name: str) -> bool:
    """Whether a tensor belongs to a loss, a projection or a tool that counts, and not to the classifier."""
    return (
        re.search(
            r"(criterion|loss|projector|projection|predictor|momentum|teacher|discriminator|queue|optimizer|"
            r"(^|\.)(aux|ema)|total_ops$|total_params$)",
            name,
        )
        is not None
    )


def recognize_usable(state: Mapping[str, Tensor], file: str, arch: str | None = None) -> Recognized:
    """:func:`recognize`, and refuse weights with which no answer is a number. Raises CheckpointError, UsageError."""
    found = recognize(state, file, arch)
    head = {f"{found.head}.weight": found.weight, f"{found.head}.bias": found.bias}
    refuse_unusable({**found.tensors, **head}, file)
    return found


def network_of(found: Recognized) -> Cut:
    """The network without its last layer, with the file's weights, in evaluation mode."""
    network = build(found.arch, 2, memory=False)
    if found.short:
        shorten(network, found.weight.shape[1])
    whole = cut(network)
    assert whole is not None
    kept = {name: tensor.clone() for name, tensor in found.tensors.items()}
    state = versioned(kept, whole.network)
    whole.network.load_state_dict(state, strict=False, assign=True)  # counters of batches may be missing
    return whole
