"""The TensorRT plans of a bundle: found, compared with this machine, and read once their checksums are verified.

A plan is native code, so nothing of it is run before the manifest vouches for every byte. Needs the bundle alone.
"""

from __future__ import annotations

import hashlib
import platform
from dataclasses import dataclass
from pathlib import Path

from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.bundle.engine_header import PlanHeader, parse_header, read_header
from tgkt_edge.bundle.engine_metadata import Here, Sidecar, differences, read_sidecar, sidecar_path
from tgkt_edge.errors import BundleError, MissingDependency
from tgkt_edge.system.gpu import find_gpu
from tgkt_edge.trt import library as trt

FOLDER = "engines"
"""Folder of a bundle that holds its plans."""

PRECISIONS = ("fp32", "fp16", "int8")
"""ONNX precisions of a bundle that plans are built from (int8-cpu is made for ONNX Runtime on CPUs)."""


@dataclass(frozen=True)
class Plan:
    """A plan of a bundle.

    Attributes:
        name: relative to the bundle, e.g. "engines/fp16-sm87-1f0c9a3e.plan".
        header: of the plan itself. sidecar: its JSON file, whose checksum was verified.
    """

    name: str
    header: PlanHeader
    sidecar: Sidecar


def plans(bundle: Bundle, precision: str | None = None) -> list[Plan]:
    """The plans that the manifest names, of one precision or all. Their checksums are verified by :func:`read_plan`.

    Raises:
        BundleError: (exit 4) a sidecar is missing, was edited or is damaged, or a plan is none.
    """
    found = [_plan(bundle, name) for name in plan_names(bundle)]
    return [plan for plan in found if precision in (None, plan.sidecar.asked)]


def plan_names(bundle: Bundle) -> list[str]:
    """Names of the plans in the manifest. Nothing is read."""
    return [name for name in bundle.files if name.startswith(f"{FOLDER}/") and name.endswith(".plan")]


def readable(bundle: Bundle, precision: str) -> tuple[list[Plan], list[str]]:
    """The plans of one precision whose files can be read, and why others, of whatever precision, cannot."""
    found, reasons = [], []
    for name in plan_names(bundle):
        try:
            plan = _plan(bundle, name)
        except BundleError as error:
            reasons.append(str(error).rstrip("."))
            continue
        if plan.sidecar.asked == precision:
            found.append(plan)
    return found, reasons


def _plan(bundle: Bundle, name: str) -> Plan:
    sidecar = read_sidecar(bundle.file(sidecar_path(Path(name)).as_posix()))
    return Plan(name, read_header(bundle.path / name), sidecar)


def here() -> Here:
    """What there is on this machine to load a plan with: the TensorRT that is installed, and the first GPU."""
    gpu, why = find_gpu()
    why_not = [] if gpu is not None else [why]
    capability, device = (None, None) if gpu is None else (gpu.compute_capability, gpu.name)
    machine = platform.machine()
    try:
        found = trt.find()
    except MissingDependency as error:
        return Here(None, None, capability, device, machine, [str(error)])
    return Here(found.flavour, found.version, capability, device, machine, why_not)


def fitting(bundle: Bundle, precision: str, machine: Here) -> tuple[list[Plan], list[str]]:
    """The plans of this precision that would load on ``machine``, and what is in the way of others, in words.

    A plan whose files are damaged is in the way of itself only.
    """
    found, reasons = readable(bundle, precision)
    fit = []
    for plan in found:
        wrong = why_not(bundle, plan, machine)
        if wrong:
            reasons.append(f"{plan.name}: {'; '.join(wrong)}")
        else:
            fit.append(plan)
    if not found:
        reasons.append(f"the bundle holds no {precision} plan")
    return fit, reasons


def why_not(bundle: Bundle, plan: Plan, machine: Here) -> list[str]:
    """Why a plan of the bundle would not load on ``machine``, in words; empty if it would load."""
    entry = bundle.files.get(str(plan.sidecar.onnx["file"]))
    return differences(plan.sidecar, plan.header, machine, None if entry is None else str(entry["sha256"]))


def read_plan(bundle: Bundle, plan: Plan) -> bytes:
    """A plan's bytes, for which manifest and sidecar vouch: the only way to one that is deserialised.

    Read once and then checked, so that nobody can exchange the file in between.

    Raises:
        BundleError: (exit 4) missing, not named in the manifest, truncated or altered.
    """
    path, entry = bundle.path / plan.name, bundle.files.get(plan.name)
    again = f"It is not loaded. Build it again: tgkt-edge export {bundle.path} --trt"
    if entry is None:
        raise BundleError(f"{path} is not named in the manifest. {again}")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror or error}. {again}") from error
    digest = hashlib.sha256(data).hexdigest()
    for what, expected in (("manifest", entry["sha256"]), ("sidecar", plan.sidecar.plan["sha256"])):
        if digest != expected:
            raise BundleError(
                f"{path} was altered or truncated: its {len(data)} bytes have sha256 {digest[:12]}..., its {what} says "
                f"{str(expected)[:12]}.... {again}"
            )
    parse_header(data, len(data), str(path))
    return data
