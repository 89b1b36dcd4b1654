"""What ``tgkt-edge inspect`` says of a TensorRT plan: its header, its sidecar, and what keeps it from loading here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tgkt_edge.bundle.bundle import MANIFEST, Bundle
from tgkt_edge.bundle.engine_header import read_header
from tgkt_edge.bundle.engine_metadata import (
    Here,
    differences,
    library_difference,
    read_sidecar,
    sidecar_from,
    sidecar_path,
)
from tgkt_edge.bundle.engines import here
from tgkt_edge.errors import BundleError
from tgkt_edge.io.atomic import sha256_of
from tgkt_edge.trt.library import FLAVOUR_NAMES


def inspect_plan(path: Path, machine: Here | None = None) -> dict[str, Any]:
    """Look at a plan, inside a bundle or alone.

    Args:
        machine: to ask whether it would load there; default: this one.

    Returns:
        ``bytes``, ``library``, ``version`` of the header; ``sidecar``, its contents or None; ``problems``, why the
        files cannot be trusted; ``not_here``, what keeps the plan from loading on ``machine``; both in words.

    Raises:
        BundleError: (exit 4) no plan.
    """
    header = read_header(path)
    machine = machine or here()
    seen: dict[str, Any] = {
        "kind": "plan",
        "bytes": header.bytes,
        "library": FLAVOUR_NAMES[header.flavour],
        "version": header.version_text,
        "sidecar": None,
        "problems": [],
        "not_here": [],
    }
    sidecar, beside = None, sidecar_path(path)
    bundle = _bundle_of(path)
    if beside.exists():
        try:
            if bundle is not None:
                for file in (path, beside):
                    bundle.file(_name(file, bundle))
            sidecar = read_sidecar(beside)
        except BundleError as error:
            seen["problems"].append(str(error))
    if sidecar is None:
        library = library_difference(header.flavour, header.version_text, False, machine)
        seen["not_here"] = [library] if library else []
        return seen
    seen["sidecar"] = sidecar.to_dict()
    vouched = sha256_of(path) if bundle is None else bundle.files[_name(path, bundle)]["sha256"]
    if vouched != sidecar.plan["sha256"]:
        seen["problems"].append(
            f"{path} is not the plan that {beside.name} belongs to: its sha256 differs. Build it again."
        )
    graph: str | None = str(sidecar.onnx["sha256"])  # alone, there is no graph to compare with
    if bundle is not None:
        entry = bundle.files.get(str(sidecar.onnx["file"]))
        graph = None if entry is None else str(entry["sha256"])
    seen["not_here"] = differences(sidecar, header, machine, graph)
    return seen


def _bundle_of(path: Path) -> Bundle | None:
    """The bundle whose manifest names this plan, or None."""
    folder = path.resolve().parent.parent
    if not (folder / MANIFEST).is_file():
        return None
    bundle = Bundle.open(folder)
    return bundle if _name(path, bundle) in bundle.files else None


def _name(path: Path, bundle: Bundle) -> str:
    """A file of a bundle as its manifest calls it."""
    return path.resolve().relative_to(bundle.path).as_posix()


def describe_plan(seen: dict[str, Any]) -> list[str]:
    """Lines for a person, below the one that names the plan."""
    lines = [] if seen["sidecar"] is None else _sidecar_lines(seen["sidecar"])
    if seen["sidecar"] is None and not seen["problems"]:
        lines.append("  It has no sidecar: what it was built from, and for which GPU, is not known.")
    lines += [f"  PROBLEM    {problem}" for problem in seen["problems"]]
    lines += [f"  would not load here: {reason}" for reason in seen["not_here"]]
    if not seen["not_here"] and not seen["problems"] and seen["sidecar"] is not None:
        lines.append("  would load here")
    return lines


def _sidecar_lines(values: dict[str, Any]) -> list[str]:
    sidecar = sidecar_from(dict(values), "sidecar")
    proof = sidecar.precision
    layers = ", ".join(f"{count} {kind}" for kind, count in sorted(proof.get("network", {}).items()))
    how = "proven by" if proof.get("proven") else "not proven on the engine, by"
    compatible = [
        name
        for name, yes in (
            ("newer versions", sidecar.version_compatible),
            ("other GPUs from Ampere on", sidecar.hardware_compatible),
        )
        if yes
    ]
    options = ", ".join(f"{key} {value}" for key, value in sidecar.build.items() if value is not None)
    graph = (
        f"{sidecar.onnx['file']}, opset {sidecar.onnx.get('opset')}, sha256 {sidecar.onnx['sha256'][:12]}..."
    )
    lines = [
        f"  precision  {sidecar.asked}: convolutions and matrix products {layers or 'unknown'}",
        f"             {how} {proof.get('how', 'nothing')}",
        f"  batch      {sidecar.profile.text()}",
        f"  gpu        {sidecar.gpus()}",
        f"  from       {graph}",
        f"  built      {sidecar.created} by tgkt-edge {sidecar.tool}; {options}",
    ]
    if compatible:
        lines.append(f"  also for   {' and '.join(compatible)}")
    return lines
