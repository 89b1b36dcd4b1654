"""What a file or folder is, by what it holds and not by its name, and what can be done with it here.

A model comes in many wrappings. One that is healthy, and not what was expected, is not called damaged.
"""

from __future__ import annotations

import json
import zipfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tgkt_edge.bundle.conversion import conversion
from tgkt_edge.bundle.engine_header import is_plan
from tgkt_edge.bundle.onnx_file import read_onnx
from tgkt_edge.errors import IncompatibleError

CHECKPOINT_FORMAT = "tgkt-edge/1"
"""What the header of every checkpoint that this program writes says."""

_LARGEST_HEADER = 100 << 20  # bytes; safetensors' own limit
_BEGINNINGS = {
    b"\x89HDF\r\n\x1a\n": "an HDF5 file (Keras weights, or a data set)",
    b"\x93NUMPY": "a NumPy array",
    b"\x1f\x8b": "a gzip archive: unpack it first",
    b"7z\xbc\xaf": "a 7z archive: unpack it first",
    b"Rar!": "a RAR archive: unpack it first",
    b"\x89PNG": "a PNG image",
    b"\xff\xd8\xff": "a JPEG image",
    b"%PDF": "a PDF",
    b"\x7fELF": "a program or shared library",
    b"GGUF": "a GGUF model",
    b"version https://git-lfs": "a Git LFS pointer, not the file itself: fetch it with 'git lfs pull'",
}


_IMPORT = "tgkt-edge source import {} --source-classes FILE -o source.safetensors"
"""What takes a classifier of another program."""


@dataclass(frozen=True)
class FileKind:
    """``name``: missing, empty, bundle, run, folder, checkpoint, safetensors, torch, torchscript, onnx, plan, other,
    unknown.

    Attributes:
        text: what it is, for "PATH: is ...". advice: what can be done with it here; perhaps empty.
        about: of a checkpoint what its header says; of safetensors its ``metadata``, and ``tensors`` {name: entry}.
    """

    name: str
    text: str
    advice: str = ""
    about: dict[str, Any] = field(default_factory=dict)

    def __str__(self) -> str:
        if self.name == "missing":
            return "does not exist."
        return f"is {self.text}." + (f" {self.advice}" if self.advice else "")


def file_kind(path: Path) -> FileKind:
    """Look at a path. Raises OSError where it cannot be read."""
    if path.is_dir():
        return _folder(path)
    if not path.exists():
        return FileKind("missing", "not there")
    with path.open("rb") as file:
        start = file.read(512)
    if not start:
        return FileKind("empty", "an empty file (0 bytes)")
    if start.startswith(b"PK\x03\x04"):
        return _zip(path)
    if start[:1] == b"\x80" and start[1:2] in (b"\2", b"\3", b"\4", b"\5"):
        return FileKind("torch", "a Python pickle, as old versions of torch.save write it", convert(path))
    if is_plan(start):
        return FileKind(
            "plan", "a TensorRT plan", "It belongs into a bundle's engines/: tgkt-edge export --trt."
        )
    if start[4:8] == b"TFL3":
        return FileKind("other", "a TensorFlow Lite model")
    for beginning, text in _BEGINNINGS.items():
        if start.startswith(beginning):
            return FileKind("other", text)
    head = start.lstrip().lower()
    if head.startswith((b"<!doctype html", b"<html")):
        return FileKind("other", "a web page: the download gave an error or a login page instead of the file")
    if start[8:9] == b"{":
        return _safetensors(path, int.from_bytes(start[:8], "little"))
    try:
        read_onnx(path)
    except IncompatibleError:
        return FileKind("unknown", "no model file that is known here, or a damaged one")
    return FileKind(
        "onnx", "an ONNX model", "'tgkt-edge inspect' shows it; bundles are made by 'tgkt-edge export'."
    )


def _folder(path: Path) -> FileKind:
    if (path / "manifest.json").is_file():
        return FileKind(
            "bundle", "a bundle for the device", "It goes to run, verify, evaluate, benchmark, export."
        )
    if (path / "config.yaml").is_file() and (
        (path / "checkpoints").is_dir() or (path / "metrics.jsonl").is_file()
    ):
        return FileKind(
            "run",
            "a run folder of 'adapt'",
            f"Make a bundle of it: tgkt-edge export {path} -o BUNDLE; 'adapt' takes its source model.",
        )
    for name, what in (("checkpoints", "run folder"), ("engines", "bundle")):
        if path.name == name and file_kind(path.parent).name in ("run", "bundle"):
            return FileKind("folder", f"a part of a {what}", f"Give {path.parent}.")
    return FileKind("folder", "a folder, and neither a bundle (manifest.json) nor a run (config.yaml)")


def _zip(path: Path) -> FileKind:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except zipfile.BadZipFile:
        return FileKind("other", "a zip archive (perhaps of torch.save) that is cut off: copy it again")
    if any(name.endswith("constants.pkl") for name in names):
        return FileKind(
            "torchscript",
            "a TorchScript program",
            f"As a teacher it goes to adapt `source_model`, or before: {_IMPORT.format(path)}.",
        )
    if any(name.endswith("/data.pkl") or name == "data.pkl" for name in names):
        return FileKind("torch", "a PyTorch file, as torch.save writes it", convert(path))
    if any(name.endswith(".npy") for name in names):
        return FileKind("other", "a NumPy archive (.npz)")
    if "model.weights.h5" in names:
        return FileKind("other", "a Keras model")
    return FileKind("other", "a zip archive: unpack it first")


def _safetensors(path: Path, length: int) -> FileKind:
    size = path.stat().st_size
    try:
        if not 2 <= length <= _LARGEST_HEADER:
            raise ValueError("no header")
        if 8 + length > size:
            return FileKind("other", f"a safetensors file that is cut off within its header ({size} bytes)")
        with path.open("rb") as file:
            file.seek(8)
            header = json.loads(file.read(length))
        metadata = header.pop("__metadata__", {})
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    except (ValueError, KeyError, TypeError, AttributeError, IndexError):
        return FileKind("unknown", "no model file that is known here, or a damaged one")
    if 8 + length + end > size:
        return FileKind(
            "other",
            f"a safetensors file that is cut off: {size} of {8 + length + end} bytes",
            "Copy it again.",
        )
    about = {"metadata": metadata, "tensors": header}
    if metadata.get("format") != CHECKPOINT_FORMAT:
        advice = (
            f"Weights of a ResNet-50 go to `weights`, where a source model is trained with `source`; a classifier is "
            f"a source model itself: {_IMPORT.format(path)}."
        )
        return FileKind("safetensors", "a safetensors file of another program", advice, about)
    try:
        about |= json.loads(metadata["about"])
        kind = str(about["kind"])
    except (KeyError, ValueError, TypeError):
        return FileKind("other", "a checkpoint of tgkt-edge with a damaged header")
    return FileKind("checkpoint", f"a checkpoint of 'adapt' ({kind})", _USES.get(kind, ""), about)


_USES = {
    "source": "It goes to adapt, as `source_model`.",
    "target": "Its run folder goes to export, evaluate and audit.",
    "translator": "It is part of its run folder.",
}


def convert(path: Path) -> str:
    """How the weights of a PyTorch file become safetensors, without running what the file holds."""
    return (
        f"A classifier is taken as it is: {_IMPORT.format(path)}. Elsewhere safetensors are expected: pickles can run "
        f"any program when they are loaded, so none is loaded here. Convert its weights: {conversion(path, str(path))}"
    )
