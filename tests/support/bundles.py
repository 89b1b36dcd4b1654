"""Small bundles whose answers are known or at least differ."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from tests.support.images import make_frames
from tgkt_edge.bundle.bundle import STATISTICS, Bundle
from tgkt_edge.monitoring.input_distance import describe
from tgkt_edge.monitoring.reference_stats import Statistics
from tgkt_edge.preprocess import preprocess
from tgkt_edge.sensor import PRESETS, SensorSpec

CLASSES = ("bedroom", "kitchen", "office")
SIZE = 32


def save_model(path: Path, classes: tuple[str, ...] = CLASSES, size: int = SIZE, **changes: Any) -> None:
    """A graph with random weights: 8x8 convolution, pooling, linear layer, softmax. ``changes`` break it on purpose."""
    rng = np.random.default_rng(0)
    count = len(classes)
    weights = {
        "kernel": rng.normal(size=(6, 1, 8, 8)).astype(np.float32),
        "matrix": rng.normal(size=(6, count)).astype(np.float32),
        "bias": rng.normal(size=count).astype(np.float32),
    }
    if count == 3:  # so that each class wins some of make_frames()
        weights["bias"] += np.array([2.8, -0.6, 1.9], np.float32)
    name = changes.get("input", "frame")
    nodes = [
        helper.make_node("Conv", [name, "kernel"], ["c"], strides=[4, 4]),
        helper.make_node("Relu", ["c"], ["r"]),
        helper.make_node("GlobalAveragePool", ["r"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "matrix", "bias"], ["logits"]),
        helper.make_node("Softmax", ["logits"], [changes.get("output", "probabilities")], axis=1),
    ]
    outputs = ["logits", changes.get("output", "probabilities")]
    shapes: dict[str, list[Any]] = {output: ["N", count] for output in outputs}
    if changes.get("maps"):  # the linear layer at every place
        weights["kernels"] = weights["matrix"].T.reshape(count, 6, 1, 1).copy()
        nodes.append(helper.make_node("Conv", ["r", "kernels", "bias"], ["maps"]))
        shapes["maps"] = ["N", count, (size - 8) // 4 + 1, (size - 8) // 4 + 1]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 1, size, size])],
        [helper.make_tensor_value_info(output, TensorProto.FLOAT, shape) for output, shape in shapes.items()],
        [numpy_helper.from_array(values, key) for key, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    model.metadata_props.add(
        key="tgkt_edge.classes", value=json.dumps(list(changes.get("metadata", classes)))
    )
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, path)


def save_bundle(path: Path, spec: SensorSpec = PRESETS["depth"]) -> Bundle:
    """A bundle folder of the tiny model for one sensor."""
    path.mkdir(parents=True)
    save_model(path / "model.onnx")
    return Bundle(path=path, classes=CLASSES, sensor=spec, size=SIZE).write()


def save_watched_bundle(path: Path) -> Bundle:
    """The same of a depth camera with statistics of 40 of the tests' frames: a run measures the distance from these."""
    made = save_bundle(path)
    described = np.stack(
        [describe(preprocess(frame, made.sensor, made.size), 0.0) for frame in make_frames(40, seed=7)]
    )
    found = Statistics.of(described, np.full((40, 3), 1 / 3, np.float32))
    assert found is not None
    found.write(path / STATISTICS)
    return Bundle.open(made.write().path)


def save_near_or_far(folder: Path, classes: tuple[str, str]) -> Bundle:
    """A bundle of 16 pixels that tells near frames (below 4 m, the first class) from far ones by their mean."""
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
