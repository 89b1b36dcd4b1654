"""Bundles with plans: for a TensorRT and a GPU that are not here (``fakes``), and real ones of TensorRT-RTX."""

from __future__ import annotations

import dataclasses
import hashlib
import importlib
import json
import shutil
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tgkt_edge.bundle.bundle import MODEL_FILES, Bundle
from tgkt_edge.bundle.engine_metadata import Here, Profile, Sidecar
from tgkt_edge.bundle.engines import plans
from tgkt_edge.io.atomic import write_json
from tgkt_edge.runtime import TensorRtEngine
from tgkt_edge.system.gpu import Gpu, find_gpu
from tgkt_edge.trt import library as trt
from tgkt_edge.trt.library import Flavour
from tgkt_edge.trt.options import BuildOptions
from tgkt_edge.trt.write import build_plans

FAKES = Path(__file__).with_name("fakes")
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
        outputs={"logits": answer, "probabilities": answer},
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
    add_plan: Callable[..., Bundle] = add_plan
    folder: Path = FAKES

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


@pytest.fixture
def fake() -> Iterator[Fake]:
    """An Orin with TensorRT 10.3 and CUDA 12, as far as this process sees. Whatever is allocated must be freed."""
    before = {name: sys.modules.pop(name, None) for name in NAMES}
    trt.find.cache_clear()
    with pytest.MonkeyPatch.context() as patch:  # its own: a test's is undone before
        patch.syspath_prepend(str(FAKES))
        patch.setattr("tgkt_edge.bundle.engines.find_gpu", lambda: (ORIN, ""))
        yield Fake(importlib.import_module("cuda.bindings.runtime"), importlib.import_module("tensorrt"))
    for name in NAMES:
        sys.modules.pop(name, None)
    sys.modules.update({name: module for name, module in before.items() if module is not None})
    trt.find.cache_clear()


@pytest.fixture
def make_plan() -> Callable[..., Bundle]:
    """For tests whose processes load what is made here."""
    return add_plan


@pytest.fixture
def bundle(depth_bundle: Bundle, tmp_path: Path) -> Bundle:
    """A bundle of its own, which a test may give plans and damage."""
    shutil.copytree(depth_bundle.path, tmp_path / "bundle")
    return Bundle.open(tmp_path / "bundle")


@pytest.fixture(scope="session")
def driver(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, int], Path]:
    """Makes a folder for LD_LIBRARY_PATH whose driver tells of one GPU, 8.minor: see ``fakes/libcuda.c``."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs gcc to compile the driver's library")

    def make(name: str, minor: int) -> Path:
        folder = tmp_path_factory.mktemp("driver")
        about = [f'-DNAME="{name}"', f"-DMINOR={minor}"]
        source = FAKES / "libcuda.c"
        subprocess.run(
            [compiler, *about, "-shared", "-fPIC", "-o", folder / "libcuda.so.1", source], check=True
        )
        return folder

    return make


@dataclass(frozen=True)
class Real:
    """A bundle with a real plan of TensorRT-RTX for an RTX 4090, and that machine as it would present itself."""

    bundle: Bundle
    machine: Here


@pytest.fixture(scope="session")
def built(rtx: trt.TensorRt, depth_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """Built once; tests take copies."""
    path = tmp_path_factory.mktemp("real") / "bundle"
    shutil.copytree(depth_bundle.path, path)
    return build_plans(path, options=BuildOptions(target_sm=("89",), level=0, profile=Profile(1, 2, 4)))


@pytest.fixture
def real(rtx: trt.TensorRt, built: Bundle, tmp_path: Path) -> Real:
    """A copy that a test may damage."""
    shutil.copytree(built.path, tmp_path / "real")
    ada = Here("tensorrt_rtx", rtx.version, "8.9", "NVIDIA GeForce RTX 4090", "x86_64")
    return Real(dataclasses.replace(built, path=tmp_path / "real"), ada)


@pytest.fixture
def without_gpu() -> None:
    """What is tested is how a machine without a GPU behaves."""
    if find_gpu()[0] is not None:
        pytest.skip("there is a GPU here")
