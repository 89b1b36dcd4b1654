"""Plans for a TensorRT and a GPU that are not here: see ``tests/runtime/engines/fakes``."""

from __future__ import annotations

import hashlib
import json
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.support.checkout import REPOSITORY
from tgkt_edge.bundle.bundle import MODEL_FILES, Bundle
from tgkt_edge.bundle.engine_metadata import Here, Profile, Sidecar
from tgkt_edge.bundle.engines import plans
from tgkt_edge.io.atomic import write_json
from tgkt_edge.runtime import TensorRtEngine
from tgkt_edge.system.gpu import Gpu
from tgkt_edge.trt.library import Flavour

FAKES = REPOSITORY / "tests" / "runtime" / "engines" / "fakes"
VERSION = "10.3.0"
NAMES = ("cuda", "cuda.bindings", "cuda.bindings.runtime", "tensorrt")
ORIN = Gpu("Orin", "8.7", "12.6")


def add_plan(
    bundle: Bundle,
    precision: str = "fp32",
    *,
    graph: Path | None = None,
    profile: Profile | None = None,
    version: str = VERSION,
    flavour: Flavour = "tensorrt",
    sidecar: dict[str, Any] | None = None,
    name: str = "sm87-00000000",
    **values: Any,
) -> Bundle:
    """Give the bundle a plan that the TensorRT of ``fakes`` loads.

    Args:
        graph: what the plan computes, if not the bundle's ONNX file. version: in the plan's header.
        sidecar: fields that differ. values: how the plan behaves; see ``fakes/tensorrt``.
    """
    model, profile = MODEL_FILES[precision], profile or Profile(1, 1, 8)
    about = {"min": profile.min, "max": profile.max, **values}
    numbers = [*map(int, version.split(".")), 0][:4]
    header = (
        (b"ftrt" if flavour == "tensorrt" else b"vtrt") + struct.pack("<I", 0) + bytes(16) + bytes(numbers)
    )
    content = (graph or bundle.model(precision)).read_bytes()
    data = header + json.dumps(about).encode() + b"\n" + content
    plan = f"engines/{precision}-{name}.plan"
    (bundle.path / "engines").mkdir(exist_ok=True)
    (bundle.path / plan).write_bytes(data)
    shape = [-1, 1, bundle.size, bundle.size]
    answer = {"dtype": "fp32", "shape": [-1, len(bundle.classes)]}
    maps = (
        {} if bundle.maps is None else {"maps": {"dtype": "fp32", "shape": [*answer["shape"], *bundle.maps]}}
    )
    beside = Sidecar(
        plan={"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)},
        onnx={"file": model, "sha256": bundle.files[model]["sha256"], "opset": 17},
        flavour=flavour,
        version=version,
        compute_capabilities=("8.7",),
        device="Orin",
        precision={"asked": precision},
        profile=profile,
        inputs={"frame": {"dtype": "fp32", "shape": shape}},
        outputs={"logits": answer, "probabilities": answer, **maps},
    )
    write_json(bundle.path / f"{plan}.json", {**beside.to_dict(), **(sidecar or {})})
    return bundle.replace_files([plan, f"{plan}.json"])


@dataclass(frozen=True)
class Fake:
    """The modules of ``fakes``, imported in the place of the real ones.

    Attributes:
        cuda: its runtime; ``machine``: what was called and allocated there. trt: its TensorRT.
    """

    cuda: Any
    trt: Any

    @property
    def machine(self) -> Any:
        return self.cuda.MACHINE

    @property
    def deserialised(self) -> int:
        """Plans that were given to TensorRT."""
        count: int = self.trt.Runtime.deserialised
        return count

    def open(self, bundle: Bundle, **values: Any) -> TensorRtEngine:
        """The engine of a plan that is made for the purpose; see :func:`add_plan`."""
        made = add_plan(bundle, **values)
        return TensorRtEngine(made, plans(made)[0])


@dataclass(frozen=True)
class Real:
    """A bundle with a real plan of TensorRT-RTX for an RTX 4090, and that machine as it would present itself."""

    bundle: Bundle
    machine: Here
