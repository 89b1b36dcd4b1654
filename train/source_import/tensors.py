"""Tensors of a file by name: unwrapped, without the prefixes of wrappers, weight norms multiplied out."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from tgkt_edge.bundle.conversion import WRAPPERS
from tgkt_edge.errors import CheckpointError

_DENSE = re.compile(r"(denselayer\d+\.(?:norm|relu|conv))\.(\d\.)")
"""Names of torchvision's DenseNets before 2019."""


@dataclass(frozen=True)
class Unwrapped:
    """``tensors`` by name, and what the person is told of how they were found."""

    tensors: dict[str, Tensor]
    notes: list[str]


def unwrap(loaded: object, file: str) -> Unwrapped:
    """The model's tensors in what ``torch.load`` or safetensors gave.

    Raises:
        CheckpointError: there are none.
    """
    notes: list[str] = []
    found: Any = loaded
    while isinstance(found, Mapping) and not _is_state(found):
        keys = [key for key in WRAPPERS if isinstance(found.get(key), Mapping) and found[key]]
        if not keys:
            shown = ", ".join(f"{key!r}: {type(value).__name__}" for key, value in list(found.items())[:8])
            raise CheckpointError(
                f"{file}: holds no tensors of a model where they are looked for; it holds {{{shown}}}. Expected "
                f"a state "
                f"dict, or one under {', '.join(WRAPPERS[6:9])}, .... Save it so: torch.save(model.state_dict(), FILE)"
            )
        others = f" (there are also {', '.join(keys[1:])})" if keys[1:] else ""
        notes.append(f"the tensors under '{keys[0]}'{others}")
        found = found[keys[0]]
    if not isinstance(found, Mapping):
        raise CheckpointError(
            f"{file}: holds {type(found).__name__}, expected the state dict of a classifier. Save it so: "
            f"torch.save(model.state_dict(), FILE)"
        )
    tensors = {str(name): value for name, value in found.items() if isinstance(value, Tensor)}
    if any(tensor.is_quantized for tensor in tensors.values()):
        raise CheckpointError(
            f"{file}: holds quantized tensors. Expected the float model that it was made from; or export it to "
            f"ONNX with float input and output, which can be a teacher."
        )
    tensors.pop("n_averaged", None)  # of torch's AveragedModel
    types = sorted({str(t.dtype).removeprefix("torch.") for t in tensors.values() if t.is_floating_point()})
    if types not in (["float32"], []):
        notes.append(f"{' and '.join(types)} tensors as float32")
    tensors = {name: t.float() if t.is_floating_point() else t for name, t in tensors.items()}
    return Unwrapped(_one_weight(_old_names(tensors)), notes)


def _is_state(found: Mapping[Any, Any]) -> bool:
    """Whether these are a model's tensors: most values are tensors, and there are weights among them."""
    tensors = [value for value in found.values() if isinstance(value, Tensor)]
    return len(tensors) * 2 > len(found) and any(value.dim() >= 1 for value in tensors)


def _old_names(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Without what DataParallel and torch.compile put into names, wherever they stand; DenseNet's as they are now."""
    found = {}
    for name, tensor in tensors.items():
        parts = [part for part in name.split(".") if part not in ("module", "_orig_mod")]
        found[_DENSE.sub(r"\1\2", ".".join(parts))] = tensor
    return found


def _one_weight(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weight norm by its old names (``weight_g``, ``weight_v``) or its new ones, as one ``weight``."""
    found = dict(tensors)
    for g, v in (
        ("weight_g", "weight_v"),
        ("parametrizations.weight.original0", "parametrizations.weight.original1"),
    ):
        for name in [name for name in tensors if name.endswith(v)]:
            start = name.removesuffix(v)
            if start + g in found:
                found[f"{start}weight"] = torch._weight_norm(found.pop(name), found.pop(start + g), 0)
    return found


def prefixes(names: Iterable[str], anchor: str) -> list[str]:
    """What stands before ``anchor``, a tensor's name, among ``names``: "" or "encoder.", each once."""
    found = [name.removesuffix(anchor) for name in names if name.endswith(anchor)]
    return [prefix for prefix in found if not prefix or prefix.endswith(".")]
