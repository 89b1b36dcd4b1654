"""Fixtures of all tests."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.errors import MissingDependency
from tgkt_edge.sensor import PRESETS
from tgkt_edge.trt import library as trt

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def hang_up_as_usual() -> Iterator[None]:
    """Under nohup SIGHUP is ignored, by every process that a test starts, too; here it means what it usually does."""
    previous = signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGHUP, previous)


@pytest.fixture(scope="session")
def repository() -> Path:
    """The checkout these tests belong to."""
    return REPOSITORY


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """Real frames that are not part of the project: ``TGKT_EDGE_DATA``, else ``../shared/data`` beside the checkout."""
    path = Path(os.environ.get("TGKT_EDGE_DATA") or REPOSITORY.parent / "shared" / "data")
    if not path.is_dir():
        pytest.skip(f"no real data: {path} does not exist (set TGKT_EDGE_DATA)")
    return path


@pytest.fixture(scope="session")
def rtx() -> trt.TensorRt:
    """TensorRT-RTX, which builds plans for GPUs that are not here."""
    try:
        found = trt.find()
    except MissingDependency as error:
        pytest.skip(str(error))
    if found.flavour != "tensorrt_rtx":
        pytest.skip(f"{found.text} is installed here, not TensorRT-RTX")
    return found


@dataclass(frozen=True)
class Layout:
    """Where the packages of a checkout lie.

    Attributes:
        tops: folder beside pyproject.toml -> the name that Python knows it by.
        folders: package name -> folder, of all folders that hold Python; the links under tgkt_edge/ are not followed.
        modules: module name -> file, of everything that should be installed.
        light: names of everything but training and export: what a device imports.
    """

    tops: dict[str, str]
    folders: dict[str, Path]
    modules: dict[str, Path]
    light: list[str]


@pytest.fixture(scope="session")
def layout(repository: Path) -> Layout:
    """Of this checkout, found on the disk, not in pyproject.toml."""
    tops = {"tgkt_edge": "tgkt_edge", "train": "tgkt_edge.train", "export": "tgkt_edge.export"}
    tops["runtime"] = "tgkt_edge.runtime"
    folders = {}
    for top, name in tops.items():
        for folder, _, files in os.walk(repository / top):
            if any(file.endswith(".py") for file in files):
                parts = Path(folder).relative_to(repository / top).parts
                folders[".".join([name, *parts])] = Path(folder)
    modules = {
        package if file.stem == "__init__" else f"{package}.{file.stem}": file
        for package, folder in folders.items()
        for file in folder.glob("*.py")
    }
    light = sorted(name for name in modules if name.split(".")[1:2] not in (["train"], ["export"]))
    return Layout(tops, folders, modules, light)


def _save_near_or_far(folder: Path, classes: tuple[str, str]) -> Bundle:
    """A bundle of 16 pixels that tells near frames (below 4 m, the first class) from far ones by their mean."""
    import onnx
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("GlobalAveragePool", ["frame"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "b"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    weights = {"w": np.array([[-8, 8]], np.float32), "b": np.array([4, -4], np.float32)}
    shape: list[Any] = ["N", 1, 16, 16]
    graph = helper.make_graph(
        nodes, "near_or_far", [helper.make_tensor_value_info("frame", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2]) for name in ("logits", "probabilities")],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )  # fmt: skip
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    model.metadata_props.add(key="tgkt_edge.classes", value=json.dumps(classes))
    folder.mkdir()
    onnx.save_model(model, str(folder / "model.onnx"))
    return Bundle(path=folder, classes=classes, sensor=PRESETS["depth"], size=16).write()


@pytest.fixture(scope="session")
def save_near_or_far() -> Callable[[Path, tuple[str, str]], Bundle]:
    """Writes a bundle whose answers are known: see :func:`_save_near_or_far`."""
    return _save_near_or_far
