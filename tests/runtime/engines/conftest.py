"""Bundles with plans: for a TensorRT and a GPU that are not here (``fakes``), and real ones of TensorRT-RTX."""

from __future__ import annotations

import dataclasses
import importlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.support.plans import FAKES, NAMES, ORIN, Fake, Real
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.bundle.engine_metadata import Here, Profile
from tgkt_edge.system.gpu import find_gpu
from tgkt_edge.trt import library as trt
from tgkt_edge.trt.options import BuildOptions
from tgkt_edge.trt.write import build_plans


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
