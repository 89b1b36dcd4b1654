"""The JSON file beside a TensorRT plan: what the plan was built from and for, and whether it would load here.

The plan itself stays plain, so that ``trtexec --loadEngine`` takes it. Needs no TensorRT.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tgkt_edge.bundle.engine_header import PlanHeader
from tgkt_edge.errors import BundleError
from tgkt_edge.trt.library import FLAVOUR_NAMES

SCHEMA = 1
"""Version of the sidecar. A reader refuses any other."""

_AGAIN = "Build the plan again: tgkt-edge export BUNDLE --trt."


@dataclass(frozen=True)
class Profile:
    """Batch sizes a plan takes, 1 <= min <= opt <= max; it is fastest at ``opt``."""

    min: int = 1
    opt: int = 1
    max: int = 8

    def text(self) -> str:
        """ "1 to 8, made for 1"."""
        return (
            f"{self.min} to {self.max}, made for {self.opt}" if self.min != self.max else f"{self.max} only"
        )


@dataclass(frozen=True)
class Sidecar:
    """What stands beside a plan, as JSON.

    Attributes:
        plan: {"sha256", "bytes"} of the plan it belongs to.
        onnx: {"file", "sha256", "opset"} of the graph it was built from.
        flavour, version: the library that built it, e.g. "tensorrt", "10.3.0.26".
        compute_capabilities: GPUs it was built for, e.g. ("8.7",); at least one.
        device: name of the GPU it was built on; None where it was built without one.
        precision: {"asked": "fp16", "network": {type: layers}, "engine": {type: layers} or None, "proven": whether the
            engine inspector told it, "how": in words}. Layers are the multiplying ones, by what they multiply.
        profile: batch sizes.
        inputs, outputs: name -> {"dtype", "shape"}; a free dimension is -1.
        version_compatible: newer versions of the same major one load it, too; it then carries a runtime of its own,
            and loading it needs ``Runtime.engine_host_code_allowed = True``.
        hardware_compatible: GPUs of other kinds, from Ampere (8.0) on, load it, too.
        build: options of the builder and what it took: {"optimisation", "workspace_mib", "tf32", "seconds"}.
        system: {"cuda", "l4t", "machine"} of the machine that built it; None where it has none.
        calibration: what the int8 graph was calibrated with, as the bundle records it.
        tool: version of tgkt-edge. created: ISO 8601.
    """

    plan: Mapping[str, Any]
    onnx: Mapping[str, Any]
    flavour: str
    version: str
    compute_capabilities: tuple[str, ...]
    device: str | None
    precision: Mapping[str, Any]
    profile: Profile
    inputs: Mapping[str, Mapping[str, Any]]
    outputs: Mapping[str, Mapping[str, Any]]
    version_compatible: bool = False
    hardware_compatible: bool = False
    build: Mapping[str, Any] = field(default_factory=dict)
    system: Mapping[str, Any] = field(default_factory=dict)
    calibration: Any = None
    tool: str = ""
    created: str = ""

    def to_dict(self) -> dict[str, Any]:
        """For the JSON file."""
        return {"schema": SCHEMA, **asdict(self)}

    @property
    def asked(self) -> str:
        """The precision that was asked for: the ONNX file's."""
        return str(self.precision["asked"])

    def gpus(self) -> str:
        """The GPUs it was built for, for people."""
        found = f"compute capability {', '.join(self.compute_capabilities)}"
        return f"{self.device} ({found})" if self.device else found


def sidecar_path(plan: Path) -> Path:
    """``fp16-sm87.plan`` -> ``fp16-sm87.plan.json``."""
    return plan.with_name(f"{plan.name}.json")


def read_sidecar(path: Path) -> Sidecar:
    """Read a sidecar.

    Raises:
        BundleError: (exit 4) missing, damaged, or of a newer schema.
    """
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(values, dict):
            raise ValueError(f"holds a {type(values).__name__}, not an object")
    except OSError as error:
        raise BundleError(f"{path} cannot be read: {error.strerror or error}. {_AGAIN}") from error
    except ValueError as error:  # UnicodeDecodeError and JSONDecodeError, too
        raise BundleError(f"{path} is damaged: {error}. {_AGAIN}") from error
    return sidecar_from(values, str(path))


def sidecar_from(values: dict[str, Any], path: str) -> Sidecar:
    """The inverse of :meth:`Sidecar.to_dict`; ``path`` is what errors name. Raises as :func:`read_sidecar`."""
    values = dict(values)
    schema = values.pop("schema", None)
    if schema != SCHEMA:
        raise BundleError(f"{path}: schema version {schema!r}, this tgkt-edge reads {SCHEMA}. {_AGAIN}")
    try:
        values["profile"] = _profile(values["profile"])
        values["compute_capabilities"] = tuple(values["compute_capabilities"])
        sidecar = Sidecar(**values)
        _check(sidecar)
    except (KeyError, TypeError, ValueError) as error:
        what = f"field {error} is missing" if isinstance(error, KeyError) else str(error)
        raise BundleError(f"{path} is damaged: {what}. {_AGAIN}") from error
    return sidecar


def _profile(values: Any) -> Profile:
    numbers = list(values.values()) if isinstance(values, dict) else []
    if not numbers or not all(isinstance(n, int) and not isinstance(n, bool) for n in numbers):
        raise ValueError(f"profile = {values!r}: expected three whole numbers, min, opt and max")
    profile = Profile(**values)
    if not 1 <= profile.min <= profile.opt <= profile.max:
        raise ValueError(f"profile = {values!r}: expected 1 <= min <= opt <= max")
    return profile


_NEEDED: dict[str, dict[str, type]] = {
    "plan": {"sha256": str, "bytes": int},
    "onnx": {"file": str, "sha256": str},
    "precision": {"asked": str},
}


def _check(sidecar: Sidecar) -> None:
    for name, keys in _NEEDED.items():
        for key, kind in keys.items():
            value = getattr(sidecar, name)[key]
            if not isinstance(value, kind):
                raise ValueError(f"{name}.{key} = {value!r}: expected a {kind.__name__}")
    if sidecar.flavour not in FLAVOUR_NAMES:
        raise ValueError(f"flavour = {sidecar.flavour!r}: expected one of {', '.join(FLAVOUR_NAMES)}")
    if not isinstance(sidecar.version, str):
        raise ValueError(f"version = {sidecar.version!r}: expected a text such as '10.3.0.26'")
    capabilities = sidecar.compute_capabilities
    if not capabilities or not all(isinstance(one, str) for one in capabilities):
        raise ValueError(
            f"compute_capabilities = {sidecar.compute_capabilities!r}: expected texts such as '8.7'"
        )
    for tensors in (sidecar.inputs, sidecar.outputs):
        for name, tensor in tensors.items():
            if not isinstance(tensor["dtype"], str) or not isinstance(tensor["shape"], list):
                raise ValueError(f"tensor {name!r} = {tensor!r}: expected a dtype and a shape")


@dataclass(frozen=True)
class Here:
    """What there is on this machine to load a plan with.

    Attributes:
        flavour, version: of the TensorRT that is installed; None: none is.
        compute_capability: of the GPU, e.g. "8.7"; None: there is none.
        device: the GPU's name.
        machine: of the processor, e.g. "aarch64".
        why_not: why there is no TensorRT, or no GPU.
    """

    flavour: str | None = None
    version: str | None = None
    compute_capability: str | None = None
    device: str | None = None
    machine: str | None = None
    why_not: Sequence[str] = ()


def differences(sidecar: Sidecar, header: PlanHeader, here: Here, onnx_sha256: str | None) -> list[str]:
    """Why a plan would not load on this machine, in words; empty if it would load.

    Args:
        onnx_sha256: of the bundle's ONNX file of the same precision now; None: the bundle holds none.
    """
    found = of_files(sidecar, header, onnx_sha256)
    library = library_difference(sidecar.flavour, sidecar.version, sidecar.version_compatible, here)
    if library:
        found.append(library)
    if here.compute_capability is None:
        found += [] if here.flavour is None else ([*here.why_not] or ["there is no NVIDIA GPU here"])
    elif not gpu_fits(sidecar, here.compute_capability):
        found.append(
            f"it was built for {sidecar.gpus()}, the GPU here is {here.device} "
            f"(compute capability {here.compute_capability})"
        )
    # TensorRT-RTX's plans run on every platform (its documentation, "CPU-Only AOT").
    built_on = sidecar.system.get("machine") if sidecar.flavour == "tensorrt" else None
    if built_on is not None and here.machine is not None and built_on != here.machine:
        found.append(f"it was built on {built_on}, the processor here is {here.machine}")
    return found


def library_difference(flavour: str, version: str, version_compatible: bool, here: Here) -> str:
    """Why the TensorRT on a machine does not load a plan of this one; empty if it does."""
    built_with = f"it was built with {FLAVOUR_NAMES[flavour]} {version}"
    if here.flavour is None or here.version is None:
        return "; ".join(here.why_not) or "TensorRT is not installed here"
    if here.flavour != flavour:
        return (
            f"{built_with}, installed here is {FLAVOUR_NAMES[here.flavour]} {here.version}: "
            f"neither loads the other's plans"
        )
    if not version_fits(version, here.version, version_compatible):
        newer = " or a newer one of the same major version" if version_compatible else ""
        return f"{built_with} and needs that version{newer}; here is {here.version}"
    return ""


def of_files(sidecar: Sidecar, header: PlanHeader, onnx_sha256: str | None) -> list[str]:
    """The part of :func:`differences` that concerns the files alone, the same on every machine."""
    found = []
    if header.bytes != sidecar.plan["bytes"]:
        found.append(
            f"the plan has {header.bytes} bytes, its sidecar says {sidecar.plan['bytes']}: truncated?"
        )
    if header.flavour != sidecar.flavour or not _same_version(header.version_text, sidecar.version):
        found.append(
            f"the plan's header says {FLAVOUR_NAMES[header.flavour]} {header.version_text}, its sidecar "
            f"{FLAVOUR_NAMES[sidecar.flavour]} {sidecar.version}"
        )
    if onnx_sha256 is None:
        found.append(f"the bundle no longer holds {sidecar.onnx['file']}, which it was built from")
    elif onnx_sha256 != sidecar.onnx["sha256"]:
        found.append(
            f"{sidecar.onnx['file']} has changed since it was built (sha256 {str(sidecar.onnx['sha256'])[:12]}... "
            f"then, {onnx_sha256[:12]}... now)"
        )
    return found


def version_fits(built: str, here: str, version_compatible: bool) -> bool:
    """Whether TensorRT ``here`` loads a plan of ``built``: the same version, or a newer one of the same major version
    where the plan was built version-compatible (TensorRT support matrix, "Engine portability")."""
    if not version_compatible:
        return _same_version(built, here)
    a, b = _numbers(built), _numbers(here)
    return a[0] == b[0] and b >= a[: len(b)]


def _same_version(a: str, b: str) -> bool:
    """Compare as many parts as both give: one build calls itself 10.3.0, another 10.3.0.26.

    A plan's header has one byte for the fourth part.
    """
    return all(x % 256 == y % 256 for x, y in zip(_numbers(a), _numbers(b), strict=False))


def _numbers(version: str) -> tuple[int, ...]:
    """ "10.13.3.9.post1" -> (10, 13, 3, 9)."""
    numbers = []
    for part in version.split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers) or (0,)


def gpu_fits(sidecar: Sidecar, compute_capability: str) -> bool:
    """Whether a GPU runs a plan: it was built for it or, hardware-compatible, for all from Ampere (8.0) on (TensorRT
    documentation, "Hardware compatibility")."""
    if compute_capability in sidecar.compute_capabilities:
        return True
    return sidecar.hardware_compatible and _numbers(compute_capability) >= (8, 0)
