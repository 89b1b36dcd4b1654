"""What run folders and safetensors files say of themselves, read without PyTorch or safetensors."""

from __future__ import annotations

import json
import math
from collections import Counter
from pathlib import Path
from typing import Any

import yaml

from tgkt_edge.bundle.file_kinds import FileKind, file_kind
from tgkt_edge.errors import IncompatibleError

_RESNET50 = ("conv1.weight", "layer4.2.conv3.weight")


def inspect_weights(path: Path, found: FileKind) -> dict[str, Any]:
    """A safetensors file: ``kind``, ``bytes``, ``tensors`` (how many), ``parameters``, ``types``; of a checkpoint of
    this program also ``network``, ``classes``, ``size``, ``sensor`` and ``import`` (of an imported source model,
    where it
    comes from), of others ``metadata`` and ``holds``."""
    tensors: dict[str, Any] = found.about["tensors"]
    types: Counter[str] = Counter()
    for entry in tensors.values():
        types[entry["dtype"]] += math.prod(entry["shape"])
    seen: dict[str, Any] = {
        "kind": found.name,
        "bytes": path.stat().st_size,
        "tensors": len(tensors),
        "parameters": sum(types.values()),
        "types": dict(types),
        "metadata": found.about["metadata"],
    }
    if found.name == "checkpoint":
        about = found.about
        return seen | {
            "network": about["kind"],
            "classes": list(about.get("classes") or []),
            "size": about.get("image_size"),
            "sensor": about.get("sensor"),
            "tool": found.about["metadata"].get("tool"),
            "import": (about.get("extra") or {}).get("import"),
        }
    return seen | {"holds": _holds(tensors)}


def _holds(tensors: dict[str, Any]) -> str:
    """What network the names and shapes are those of, as far as it matters here."""
    prefix = next((name.removesuffix(_RESNET50[1]) for name in tensors if name.endswith(_RESNET50[1])), None)
    if prefix is None or f"{prefix}{_RESNET50[0]}" not in tensors:
        parts = sorted({name.partition(".")[0] for name in tensors})
        return f"not a ResNet-50: parts {', '.join(parts[:8])}{', ...' if len(parts) > 8 else ''}"
    head = tensors.get(f"{prefix}fc.weight")
    classes = f", with a classifier fc of {head['shape'][0]} classes" if head else ""
    return f"a ResNet-50 with torchvision's names{f' after {prefix!r}' if prefix else ''}{classes}"


def _use(holds: str) -> str:
    """What a file of another program is good for here."""
    whole = "tgkt-edge source import makes it a source model"
    if not holds.startswith("a ResNet-50"):
        return f"if it is a classifier of images, {whole}"
    if "classifier" in holds:
        return f"{whole}; or `weights`, which leaves the classifier out"
    return "`weights`: a source model that is trained with `source` starts from it, and it describes frames"


def inspect_run(path: Path) -> dict[str, Any]:
    """A run folder: ``method``, ``sensor``, ``finished``, ``checkpoints`` {file: as :func:`inspect_weights`}, and
    ``verdict`` and ``predicted`` of its report.

    Raises:
        IncompatibleError: its config.yaml or report.json is damaged.
    """
    try:
        config = yaml.safe_load((path / "config.yaml").read_text(encoding="utf-8"))
        report_file = path / "report.json"
        report = json.loads(report_file.read_text(encoding="utf-8")) if report_file.is_file() else None
        checkpoints = {}
        for file in sorted((path / "checkpoints").glob("*.safetensors")):
            found = file_kind(file)
            known = found.name in ("checkpoint", "safetensors")
            checkpoints[file.name] = inspect_weights(file, found) if known else {"problem": str(found)}
        return {
            "kind": "run",
            "tool": config["tool"],
            "method": config["config"]["method"],
            "size": config["config"]["image_size"],
            "inputs": config["inputs"],
            "sensor": config["sensor"],
            "checkpoints": checkpoints,
            "finished": report is not None,
            "classes": report["classes"] if report else None,
            "verdict": report["verdict"]["verdict"] if report else None,
            "predicted": report["predicted"] if report else None,
        }
    except (yaml.YAMLError, ValueError, KeyError, TypeError) as error:
        raise IncompatibleError(f"{path}: a damaged run folder: {error!r}. Adapt again.") from error


def describe_weights(seen: dict[str, Any], path: Path) -> list[str]:
    """What :func:`inspect_weights` returned, as lines for a person."""
    types = ", ".join(f"{count:,} {name}" for name, count in seen["types"].items())
    size = f"{seen['bytes'] / 2**20:.1f} MiB, {seen['tensors']} tensors, {types}"
    if seen["kind"] == "safetensors":
        return [
            f"{path}: safetensors of another program, {size}",
            f"  holds    {seen['holds']}",
            f"  use      {_use(seen['holds'])}",
            *(f"  metadata {key}: {value}" for key, value in (seen["metadata"] or {}).items()),
        ]
    lines = [
        f"{path}: {seen['network']} checkpoint of tgkt-edge {seen['tool']}, {size}",
        f"  classes  {', '.join(seen['classes'])}",
        f"  input    {seen['size']} pixels",
    ]
    if seen["sensor"]:
        lines.append(f"  sensor   {', '.join(f'{key} {value}' for key, value in seen['sensor'].items())}")
    origin = seen.get("import")
    if origin:
        mean, std = (", ".join(f"{value:.4g}" for value in origin[name]) for name in ("mean", "std"))
        order = "blue" if origin["bgr"] else "red"
        apart = origin["proof"]["largest_logit_difference"]
        lines.append(f"  from     {origin['file']}: {origin['arch']}, {origin['outputs']} outputs")
        lines.append(f"  pixels   mean {mean}, std {std}, {order} first")
        lines.append(f"  proof    its logits differ by {apart:.1e} at most from those of that file's model")
        kept = origin.get("images")
        if kept:
            lines.append(
                f"  images   features of {kept['kept']} of {kept['listed']} labelled ones, at {kept['image_size']} "
                f"pixels, by weights with sha256 {kept['weights'][:12]}..."
            )
        if origin["origin"]:
            lines.append(f"  origin   {origin['origin']}")
    return lines


def describe_run(seen: dict[str, Any], path: Path) -> list[str]:
    """What :func:`inspect_run` returned, as lines for a person."""
    state = "finished" if seen["finished"] else "not finished: go on with adapt, `resume=True`"
    lines = [
        f"{path}: run of tgkt-edge {seen['tool']}, method {seen['method']}, {seen['size']} pixels, {state}"
    ]
    if seen["classes"]:
        lines.append(f"  classes  {', '.join(seen['classes'])}")
    lines.append(f"  sensor   {', '.join(f'{key} {value}' for key, value in seen['sensor'].items())}")
    lines += [f"  {name:<8} {value}" for name, value in seen["inputs"].items() if value]
    for name, file in seen["checkpoints"].items():
        what = file.get("problem") or f"{file.get('network', 'weights')}, {file['parameters']:,} parameters"
        lines.append(f"  holds    checkpoints/{name}: {what}")
    if seen["verdict"]:
        against = "the shipped network" if seen["method"] == "continue" else "source-only"
        lines.append(f"  verdict  {seen['verdict']} (against {against}, without labels)")
    return lines
