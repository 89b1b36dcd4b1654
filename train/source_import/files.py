"""What lies in a file that somebody trained: tensors, or a program. No pickle is run."""

from __future__ import annotations

import contextlib
import json
import re
import struct
import warnings
from dataclasses import dataclass, field
from pathlib import Path
from pickle import UnpicklingError  # noqa: TID251 - the class of torch.load's error, and nothing else of it
from typing import Any

import safetensors
import torch
from safetensors.torch import load_file
from torch import Tensor

from tgkt_edge.bundle.conversion import conversion
from tgkt_edge.bundle.file_kinds import file_kind
from tgkt_edge.errors import CheckpointError
from tgkt_edge.train.source_import.tensors import unwrap

PARTS = ("source_F.pt", "source_B.pt", "source_C.pt")
"""The three files of SHOT and SOCKET: backbone, bottleneck, classifier."""

_UNPICKLING = (
    UnpicklingError, RuntimeError, EOFError, OSError, ValueError, LookupError, TypeError, AttributeError, ImportError,
    AssertionError, struct.error,
)  # fmt: skip
"""What torch.load raises, weights_only=True, where a file holds something else or is damaged."""


@dataclass(frozen=True)
class Found:
    """A model file.

    Attributes:
        container: "torch", "safetensors", "shot", "onnx" or "torchscript". state: tensors by name; of "shot" of the
            backbone alone. parts: of "shot", of bottleneck and classifier. files: what was read. notes: how.
        config: of a Hugging Face or timm folder's config.json beside it; empty elsewhere.
    """

    container: str
    files: list[Path]
    state: dict[str, Tensor] = field(default_factory=dict)
    parts: tuple[dict[str, Tensor], dict[str, Tensor]] | None = None
    notes: list[str] = field(default_factory=list)
    config: dict[str, Any] = field(default_factory=dict)


def read_model(path: Path) -> Found:
    """Read what can be read without running anything.

    Args:
        path: a file; or a folder with PARTS.

    Raises:
        CheckpointError: something else, or a pickle of more than tensors.
    """
    folder = path if path.is_dir() else path.parent
    if (path.is_dir() or path.name in PARTS) and all((folder / name).is_file() for name in PARTS):
        files = [folder / name for name in PARTS]
        states = [unwrap(_load_torch(file), str(file)).tensors for file in files]
        return Found("shot", files, states[0], (states[1], states[2]))
    if path.name in PARTS:
        lacking = [name for name in PARTS if not (folder / name).is_file()]
        raise CheckpointError(
            f"{path}: is one of three files of SHOT or SOCKET; beside it there is no {' and no '.join(lacking)}. Bring "
            f"all of {', '.join(PARTS)}."
        )
    found = file_kind(path)
    if found.name in ("onnx", "torchscript"):
        return Found(found.name, [path])
    if found.name in ("safetensors", "checkpoint"):
        try:
            tensors: object = load_file(path)
        except (safetensors.SafetensorError, OSError, ValueError) as error:
            raise CheckpointError(f"{path}: a damaged safetensors file: {error}. Copy it again.") from error
        container = "safetensors"
    elif found.name == "torch":
        tensors, container = _load_torch(path), "torch"
    else:
        raise CheckpointError(
            f"{path}: expected a classifier: PyTorch (.pth, .pt, .pth.tar, .bin), safetensors, ONNX or "
            f"TorchScript; this {found}"
        )
    unwrapped = unwrap(tensors, str(path))
    return Found(
        container,
        [path],
        unwrapped.tensors,
        notes=unwrapped.notes,
        config=_config(path.parent / "config.json"),
    )


def _load_torch(path: Path) -> object:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return torch.load(path, map_location="cpu", weights_only=True)
    except _UNPICKLING as error:
        raise CheckpointError(_refused(path, error)) from error


def _refused(path: Path, error: Exception) -> str:
    """Why a file was not loaded, and how to get its tensors where it comes from."""
    text = " ".join(str(error).split())
    named = re.search(r"GLOBAL ([\w.]+\w)", text)
    more = f" ({named[1]})" if named else ""
    script = conversion(path, path.name, whole_pickle=True)
    own = ""
    if named and named[1].startswith("__main__."):
        what = named[1].removeprefix("__main__.")
        own = (
            f", and begin what is in quotes with 'from SCRIPT import {what};', where SCRIPT.py defines {what}"
        )
    return (
        f"{path}: cannot be loaded as tensors alone: it holds more{more}, or is damaged. Loading that would run "
        f"whatever program it names, so it is not done here. Convert it where it comes from and can be trusted, in its "
        f"folder{own}: {script}"
    )


def _config(path: Path) -> dict[str, Any]:
    """What stands beside a model of the Hugging Face hub; only timm's is of use."""
    with contextlib.suppress(OSError, ValueError):
        values = json.loads(path.read_text(encoding="utf-8"))
        if isinstance(values, dict) and isinstance(values.get("architecture"), str):
            return values
    return {}
