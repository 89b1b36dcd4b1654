"""A target network by name, torchvision's or timm's: smaller than the source, or made for the device."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torchvision
from torch import Tensor, nn

from tgkt_edge.errors import CheckpointError, UsageError
from tgkt_edge.optional_deps import require
from tgkt_edge.train.nn.architectures import (
    ANY_SIDE,
    TIMM,
    build,
    cut,
    ends_with_one,
    fixed_side,
    last_linear,
    refuses_side,
    versioned,
)
from tgkt_edge.train.nn.model import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Classifier,
    FloatLinear,
    Standardize,
    normalise,
)
from tgkt_edge.train.nn.normals import surface_normals
from tgkt_edge.train.source_import.files import read_model
from tgkt_edge.train.source_import.recognize import body_tensors

_PROGRAMS = {"onnx": "ONNX", "torchscript": "TorchScript"}
"""Containers whose tensors are not read by name."""


class NamedClassifier(Classifier):
    """C(F(x)): everything of a network before its last linear layer, standardised, and a linear classifier.

    Args:
        arch: torchvision's name, or "timm:NAME".
        num_classes: K, at least 2.
        normals: whether the network turns a depth map into surface normals before anything else.

    Raises:
        UsageError: no such architecture, or one that does not end with a linear layer. MissingDependency: timm is not
            installed.
    """

    def __init__(self, arch: str, num_classes: int, normals: bool = False) -> None:
        super().__init__()
        parts = cut(build(arch, 2, argument="student"))
        if parts is None:
            raise UsageError(f"`student={arch}`: does not end with a linear layer; give another architecture")
        self.arch, self.normals = arch, normals
        self.backbone = parts.network
        self.width = parts.width
        self.standard = Standardize(parts.width)
        self.classifier = FloatLinear(parts.width, num_classes)
        nn.init.zeros_(self.classifier.weight)
        nn.init.zeros_(self.classifier.bias)

    def features(self, x: Tensor) -> Tensor:
        """F(x): (B, 3, H, W) normalised RGB -> (B, ``width``)."""
        if self.normals:
            x = normalise(surface_normals(x[:, :1] * IMAGENET_STD[0] + IMAGENET_MEAN[0]))
        return self.standard(self.backbone(x).flatten(1).float())  # type: ignore[no-any-return]

    @property
    def about(self) -> dict[str, Any]:
        """What a checkpoint needs to build it again."""
        return {"arch": self.arch, "normals": self.normals}


def check_student(arch: str, size: int) -> None:
    """Refuse an architecture that cannot be a target network, without building its weights.

    Args:
        size: side of the frames that it is to see, pixels.

    Raises:
        UsageError: no such architecture, one without a last linear layer, or one that takes another side only.
        MissingDependency: timm is not installed.
    """
    network = build(arch, 2, memory=False, argument="student")
    if last_linear(network) is None:
        raise UsageError(f"`student={arch}`: does not end with a linear layer; give another architecture")
    side = fixed_side(network)
    if side is not None and side != size:
        raise UsageError(
            f"`student={arch}`: takes images of {side} pixels only, and these are of {size}. Give `image_size={side}`, "
            f"or another architecture."
        )
    refused = refuses_side(network, size)
    if refused is not None:
        raise UsageError(
            f"`student={arch}`: does not work on images of {size} pixels ({refused}). It takes those of {ANY_SIDE}: "
            f"give `image_size={ANY_SIDE}`, or another architecture."
        )
    if not ends_with_one(network, size):
        raise UsageError(
            f"`student={arch}`: more than one layer reads its features (such as a second head for distillation); give "
            f"another architecture"
        )


def load_student(model: NamedClassifier, weights: str) -> None:
    """Fill the backbone as ``student_weights`` says; classifier and standardisation stay.

    Args:
        weights: "imagenet" (torchvision's or timm's own, downloaded once), "none" (keep the random initialisation), or
            a file with the network's own names, with or without a classifier: PyTorch or safetensors.

    Raises:
        UsageError: the download failed, there is no such file, or it holds another network or a program.
    """
    if weights == "none":
        return
    if weights == "imagenet":
        tensors = _downloaded(model.arch)
    else:
        file = Path(weights)
        if not file.is_file():
            there = "a folder" if file.is_dir() else "no such file"
            raise UsageError(
                f"`student_weights={weights}`: {there}. Expected imagenet, none, or a file with the weights of a "
                f"{model.arch}."
            )
        try:
            found = read_model(file)
            if found.container in _PROGRAMS:
                raise UsageError(
                    f"`student_weights={weights}`: is a program ({_PROGRAMS[found.container]}), which only answers; a "
                    f"target network is trained on, by its weights. Expected those of a {model.arch} by their names: "
                    f"torch.save(model.state_dict(), FILE) or safetensors, saved where the program was made. As "
                    f"teacher it can be `source_model`."
                )
            tensors = body_tensors(found.state, weights, model.arch)
        except CheckpointError as error:
            why = str(error).removeprefix(f"{weights}: ")
            raise UsageError(f"`student_weights={weights}`: {why}") from error
    state = {name: tensor for name, tensor in tensors.items() if name in model.backbone.state_dict()}
    # Counters of batches may be missing in files of old programs; evaluation does not need them.
    model.backbone.load_state_dict(versioned(state, model.backbone), strict=False)


def _downloaded(arch: str) -> dict[str, Tensor]:
    """Weights of the architecture's authors, trained on ImageNet."""
    advice = (
        "Give `student_weights=FILE` (its weights by its own names), or `student_weights=none`: it then knows nothing "
        "but the frames and pairs that you give, and needs thousands of them."
    )
    try:
        if arch.startswith(TIMM):
            timm = require("timm", "timm", f"`student={arch}`")
            whole: nn.Module = timm.create_model(arch.removeprefix(TIMM), pretrained=True)
            return dict(whole.state_dict())
        known = torchvision.models.get_model_weights(arch)
        best = getattr(known, "IMAGENET1K_V1", None) or known.DEFAULT
        return dict(best.get_state_dict(progress=True, check_hash=True))
    except (OSError, RuntimeError) as error:  # of requests, urllib and the hub, all OSErrors
        reason = str(error).strip().partition("\n")[0].rstrip(".") or type(error).__name__
        raise UsageError(f"`student_weights=imagenet`: the download failed: {reason}. {advice}") from error
    except ValueError as error:  # no weights by that name
        raise UsageError(f"`student_weights=imagenet`: {arch} has none: {error}. {advice}") from error
