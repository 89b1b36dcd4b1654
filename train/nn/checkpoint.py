"""Checkpoints: safetensors with the task's classes, the SensorSpec and a digest of the weights in the header."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tgkt_edge import __version__
from tgkt_edge.bundle.file_kinds import CHECKPOINT_FORMAT, file_kind
from tgkt_edge.errors import CheckpointError, TgktEdgeError, UsageError
from tgkt_edge.io.atomic import atomic_file
from tgkt_edge.notes import note
from tgkt_edge.sensor import SensorSpec
from tgkt_edge.train.nn.architectures import versioned
from tgkt_edge.train.nn.imported import ImportedClassifier, rebuild
from tgkt_edge.train.nn.model import LAYER_WIDTHS, Classifier, SceneClassifier
from tgkt_edge.train.nn.named_network import NamedClassifier
from tgkt_edge.train.nn.unfilled import WithoutRandomWeights, unless_random
from tgkt_edge.train.nn.weight_scale import WIDE, first_layer_spread, unit_scale

FORMAT = CHECKPOINT_FORMAT
BESIDE = "beside/"
"""Names of tensors that are no weights begin so."""


@dataclass(frozen=True)
class Header:
    """What the header of a checkpoint holds.

    ``kind``: "source", "translator" or "target"; ``image_size``: side of the network's input, pixels; ``beside``:
    tensors that are stored with the weights and are none of them.
    """

    kind: str
    classes: tuple[str, ...]
    image_size: int
    sensor: SensorSpec | None = None
    extra: dict[str, Any] = field(default_factory=dict)
    beside: dict[str, Tensor] = field(default_factory=dict, compare=False)


def digest(tensors: dict[str, Tensor]) -> str:
    """SHA-256 over names, dtypes, shapes and bytes in order of names."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def save_checkpoint(path: Path, model: nn.Module, header: Header) -> None:
    """Write ``model``'s state, and what the header has beside it, atomically."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in model.state_dict().items()}
    tensors |= {f"{BESIDE}{name}": tensor.cpu().contiguous() for name, tensor in header.beside.items()}
    save_tensors(
        path,
        tensors,
        {
            "kind": header.kind,
            "classes": list(header.classes),
            "image_size": header.image_size,
            "sensor": header.sensor.to_dict() if header.sensor else None,
            "extra": header.extra,
            **(_architecture(model) if isinstance(model, Classifier) else {}),
        },
    )


def save_tensors(path: Path, tensors: dict[str, Tensor], about: dict[str, Any]) -> None:
    """Write named tensors and a JSON-able description, atomically, with a digest of the tensors.

    Raises:
        TgktEdgeError: the disk refused (full, read-only): names the file; what stood at ``path`` is intact.
    """
    metadata = {"format": FORMAT, "tool": __version__, "about": json.dumps(about), "sha256": digest(tensors)}
    with atomic_file(path) as temporary:
        try:
            save_file(tensors, temporary, metadata)
        except safetensors.SafetensorError as error:  # its word for an OSError
            raise TgktEdgeError(f"cannot write {path}: {error}. The earlier content is intact.") from error


def load_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Read what :func:`save_tensors` wrote.

    Raises:
        CheckpointError: missing, truncated, altered, or not written by this program.
    """
    if not path.is_file():
        raise CheckpointError(_not_ours(path) if path.exists() else f"{path}: no such checkpoint")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        tensors = load_file(path)
    except (safetensors.SafetensorError, OSError, ValueError) as error:
        raise CheckpointError(_not_ours(path)) from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(_not_ours(path))
    found = digest(tensors)
    if found != metadata.get("sha256"):
        raise CheckpointError(
            f"{path}: was altered: its weights have sha256 {found[:12]}..., its header says "
            f"{str(metadata.get('sha256'))[:12]}.... Copy or train it again."
        )
    return tensors, json.loads(metadata["about"])


def _not_ours(path: Path) -> str:
    """What a path is that is no checkpoint of this program, and what can be done with it."""
    return f"{path}: expected a checkpoint that 'tgkt-edge adapt' wrote; this {file_kind(path)}"


def read_header(path: Path) -> Header:
    """The header alone; the weights are not checked. Raises CheckpointError as :func:`load_tensors`."""
    if not path.is_file():
        raise CheckpointError(_not_ours(path) if path.exists() else f"{path}: no such checkpoint")
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
    except (safetensors.SafetensorError, OSError) as error:
        raise CheckpointError(_not_ours(path)) from error
    if metadata.get("format") != FORMAT:
        raise CheckpointError(_not_ours(path))
    return _header(json.loads(metadata["about"]))


def load_classifier(path: Path, kind: str | None = None) -> tuple[Classifier, Header]:
    """A source or target network in evaluation mode on the CPU.

    Raises:
        CheckpointError: damaged, of another kind, or with other shapes than this architecture.
    """
    tensors, about = load_tensors(path)
    beside = {
        name.removeprefix(BESIDE): tensors.pop(name) for name in list(tensors) if name.startswith(BESIDE)
    }
    header = dataclasses.replace(_header(about), beside=beside)
    if header.kind not in ("source", "target") or (kind is not None and header.kind != kind):
        raise CheckpointError(
            f"{path}: holds a {header.kind}, expected a {kind or 'source or target'} network"
        )
    if "named" in about:
        with WithoutRandomWeights():
            named = NamedClassifier(
                about["named"]["arch"], len(header.classes), bool(about["named"]["normals"])
            )
        load_into(named, tensors, path)
        return named.eval(), header
    if "imported" in about:
        with WithoutRandomWeights():
            imported = rebuild(about["imported"])
        load_into(imported, tensors, path)
        return imported.eval(), header
    pooled = tuple(about.get("pooled", ()))
    if any(number not in LAYER_WIDTHS for number in pooled):
        raise CheckpointError(f"{path}: pools layers {list(pooled)}; a ResNet-50 has 1 to 4")
    with WithoutRandomWeights():
        model = SceneClassifier(len(header.classes), pooled, bool(about.get("normals", False)))
    load_into(model, tensors, path)
    return model.eval(), header


def architecture(model: Classifier) -> str:
    """Name of the network: torchvision's, "timm:NAME", or of a program its kind."""
    if isinstance(model, NamedClassifier):
        return model.arch
    if isinstance(model, ImportedClassifier):
        return str(model.about.get("arch") or model.about["program"])
    return "resnet50"


def _architecture(model: Classifier) -> dict[str, Any]:
    """What the header holds of a network that is not built as the paper's: pooled layers, surface normals, import."""
    if isinstance(model, ImportedClassifier):
        return {"imported": model.about}
    if isinstance(model, NamedClassifier):
        return {"named": model.about}
    return {
        **({"pooled": list(model.pooled)} if model.pooled else {}),
        **({"normals": True} if model.normals else {}),
    }


def load_into(model: nn.Module, tensors: dict[str, Tensor], path: Path) -> None:
    """Fill ``model`` strictly. Raises CheckpointError naming the first tensors that do not fit."""
    expected = model.state_dict()
    problems = [f"{name} is missing" for name in expected if name not in tensors]
    problems += [f"{name} is unknown" for name in tensors if name not in expected]
    problems += [
        f"{name} is {tuple(tensors[name].shape)}, expected {tuple(expected[name].shape)}"
        for name in expected
        if name in tensors and tensors[name].shape != expected[name].shape
    ]
    if problems:
        more = f" and {len(problems) - 3} more" if len(problems) > 3 else ""
        raise CheckpointError(f"{path}: does not fit this network: {'; '.join(problems[:3])}{more}")
    model.load_state_dict(versioned(tensors, model))


def pretrained_backbone(weights: str, *, required: bool = False) -> nn.Module:
    """A ResNet-50 without its head, as ``weights`` say; arguments and errors are those of :func:`load_imagenet`."""
    with unless_random(weights):
        network = SceneClassifier(2)
    load_imagenet(network, weights, required=required)
    return network.backbone  # type: ignore[no-any-return]


def load_imagenet(model: SceneClassifier, weights: str, *, required: bool = False) -> float:
    """Fill the backbone as ``--weights`` says, weights of another scale brought to torchvision's
    (:mod:`tgkt_edge.train.nn.weight_scale`).

    Args:
        weights: "imagenet" (torchvision's IMAGENET1K_V1, downloaded once), "none" (keep the random
            initialisation), or a safetensors file with torchvision's ResNet-50 names, any float dtype.
        required: whether the caller refuses "none", which errors then do not offer.

    Returns:
        What the first convolution was divided by; 1 where it was left as it was.

    Raises:
        UsageError: the file is missing or holds something else, or the download failed.
    """
    if weights == "none":
        return 1.0
    if weights == "imagenet":
        from torchvision.models import ResNet50_Weights

        try:
            state = ResNet50_Weights.IMAGENET1K_V1.get_state_dict(progress=True, check_hash=True)
        except (OSError, RuntimeError) as error:
            raise UsageError(
                f"`weights=imagenet`: the download failed: {error}. Give `weights=FILE` (safetensors with "
                f"torchvision's ResNet-50 names){'' if required else ', or `weights=none` to train from scratch'}."
            ) from error
    else:
        path = Path(weights)
        if not path.is_file():
            raise UsageError(
                f"`weights={weights}`: no such file. Expected imagenet{'' if required else ', none,'} or a safetensors "
                f"file."
            )
        try:
            state = load_file(path)
        except (safetensors.SafetensorError, OSError, ValueError) as error:
            raise UsageError(
                f"`weights={weights}`: expected a safetensors file of a ResNet-50; this {file_kind(path)}"
            ) from error
    expected = model.backbone.state_dict()
    state = _without_prefix(state)
    unused = sorted({name.partition(".")[0] for name in state if name not in expected})
    if unused and weights != "imagenet":
        note(f"`weights={weights}`: the backbone alone is taken; left out: {', '.join(map(_part, unused))}.")
    found = {name: tensor.float() for name, tensor in state.items() if name in expected}
    # Counters of batches seen; files converted from other frameworks have none, and evaluation does not need them.
    missing = [name for name in expected if name not in found and not name.endswith("num_batches_tracked")]
    wrong = [name for name in found if found[name].shape != expected[name].shape]
    if missing or wrong:
        raise UsageError(
            f"`weights={weights}`: not a torchvision ResNet-50: {len(missing)} tensors missing, {len(wrong)} of other "
            f"shapes, for example {(missing + wrong)[0]}"
        )
    divisor = 1.0
    if not 1 / WIDE < first_layer_spread(found) < WIDE:
        found, divisor = unit_scale(found)
    found = {name: tensor.to(expected[name].dtype) for name, tensor in found.items()}
    model.backbone.load_state_dict(found, strict=False)
    return divisor


_HEADS = ("fc", "classifier", "head")


def _part(name: str) -> str:
    return f"{name} (its own classifier)" if name in _HEADS else name


def _without_prefix(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Names as torchvision has them, where a wrapper put one word before all of them: ``module.``, ``backbone.``."""
    first = "conv1.weight"
    prefixes = [
        name.removesuffix(first) for name in state if name.endswith(f".{first}") and name.count(".") == 2
    ]
    if first in state or len(prefixes) != 1:
        return state
    prefix = prefixes[0]
    return {name.removeprefix(prefix): tensor for name, tensor in state.items()}


def _header(about: dict[str, Any]) -> Header:
    sensor = about.get("sensor")
    return Header(
        about["kind"],
        tuple(about["classes"]),
        about["image_size"],
        SensorSpec.from_dict(sensor) if sensor else None,
        about.get("extra", {}),
    )
