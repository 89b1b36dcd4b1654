"""Which engine is faster on this machine's CPU, as ``tgkt-edge benchmark`` measured it, kept for ``--engine auto``.

ONNX Runtime and OpenVINO read the same files, and neither is always faster: it differs with the processor, the
precision and the versions. So nothing is guessed. What ``benchmark`` finds for a file is kept in the user's cache
folder, and is worth something only for that very file, on this processor, with these versions of both.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tgkt_edge.bundle.bundle import MODEL_FILES, Bundle
from tgkt_edge.io.atomic import write_json
from tgkt_edge.system.cpu import usable_cpus

WORTHWHILE = 1.05
"""How many times as fast as ONNX Runtime another engine has to be before it is taken: less is the noise of timings."""

LEAST_MS = 1.0
"""Milliseconds a frame takes on ONNX Runtime at least: of smaller networks what another engine wins is worth nothing,
beside the second or two that it takes longer to load."""

MOST = 200
"""Files that are remembered; the oldest give way."""


def cache_file() -> Path | None:
    """Where it is kept; None: this user has no home."""
    base = Path(os.environ.get("XDG_CACHE_HOME") or os.path.expanduser("~/.cache"))
    return base / "tgkt-edge" / "cpu-engines.json" if base.is_absolute() else None


def remember(bundle: Bundle, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Keep what a benchmark of one frame a call measured of both engines.

    Args:
        rows: as :func:`tgkt_edge.benchmark.command.benchmark` returns them.

    Returns:
        A line on each precision that ``--engine auto`` now answers otherwise than before.
    """
    path = cache_file()
    if path is None:
        return []
    medians = {
        (row["precision"], row["engine"]): row["round_medians_ms"] for row in rows if row["batch"] == 1
    }
    known, lines = _read(path), []
    measured = False
    for precision in MODEL_FILES:
        ours, theirs = medians.get((precision, "cpu")), medians.get((precision, "openvino"))
        if not ours or not theirs or statistics.median(ours) < LEAST_MS:
            continue
        measured = True
        ratio = statistics.median(a / b for a, b in zip(ours, theirs, strict=False))
        key = _key(bundle, precision)
        before = known.pop(key, 1.0)
        known[key] = round(ratio, 3)
        if (ratio >= WORTHWHILE) != (before >= WORTHWHILE):
            taken = "openvino" if ratio >= WORTHWHILE else "cpu (ONNX Runtime)"
            lines.append(
                f"{precision}: OpenVINO is {ratio:.2f} times as fast as ONNX Runtime here; `engine=auto` takes {taken}"
            )
    if not measured:  # nothing is written that nobody needs
        return []
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_json(path, dict(list(known.items())[-MOST:]))
    except OSError:  # a home that cannot be written: nothing is kept
        return []
    return lines


def openvino_is_faster(bundle: Bundle, precision: str) -> float | None:
    """How many times as fast as ONNX Runtime it was, where that is worthwhile; None: it was not, or nobody measured."""
    path = cache_file()
    if path is None:
        return None
    known = _read(path)
    ratio = known.get(_key(bundle, precision), 0.0) if known else 0.0
    return ratio if ratio >= WORTHWHILE else None


def _key(bundle: Bundle, precision: str) -> str:
    """The file, the processor and both libraries."""
    versions = [f"{name} {_version(name)}" for name in ("onnxruntime", "openvino")]
    sha256 = bundle.files[MODEL_FILES[precision]]["sha256"]
    return "|".join([sha256, _processor(), f"{usable_cpus()} cpus", *versions])


def _version(name: str) -> str:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return "none"


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith(("model name", "CPU part"))]
    return names[0] if names else platform.machine()


def _read(path: Path) -> dict[str, float]:
    """What is known; nothing where the file is missing, damaged or not ours."""
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    if not isinstance(values, dict):
        return {}
    return {key: value for key, value in values.items() if type(value) in (int, float)}
