"""The graph of ``int8-cpu``: what ONNX Runtime makes of it, and that what was turned round in it changes no value."""

from __future__ import annotations

import logging
from collections import Counter
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.export import int8
from tgkt_edge.export.int8 import layers, pool_before_relu, quantise
from tgkt_edge.export.int8_calibration import Ranges, calibrate
from tgkt_edge.export.mixed_precision import answers

CLASSES = ("bedroom", "corridor", "kitchen", "office", "staircase", "warehouse")
SIZE = 32


def test_every_value_is_rounded_once_between_layers_and_the_pooling_is_in_float(
    full: tuple[Bundle, list[str]],
) -> None:
    model = onnx.load(str(full[0].model("int8-cpu")))
    weights = {weight.name: weight for weight in model.graph.initializer}
    maker = {output: node for node in model.graph.node for output in node.output}
    kinds = Counter(
        (maker[node.input[0]].op_type, node.op_type)
        for node in model.graph.node
        if node.op_type in ("QuantizeLinear", "Relu", "MaxPool") and node.input[0] in maker
    )
    assert kinds == {
        ("Conv", "MaxPool"): 1,
        ("MaxPool", "Relu"): 1,
        ("Conv", "QuantizeLinear"): 52,
        ("Add", "Relu"): 16,
        ("Relu", "QuantizeLinear"): 1 + 15,  # the last one goes on to the pooling in float
    }
    readers = Counter(name for node in model.graph.node for name in node.input)
    for node in model.graph.node:
        if node.op_type == "Add" and weights.keys().isdisjoint(node.input):  # not the bias of the maps
            assert [maker[name].op_type for name in node.input] == ["DequantizeLinear"] * 2
        if node.op_type == "QuantizeLinear":
            assert readers[node.input[0]] == 1
    # Where a ReLU was, zero is the lowest value that can be told.
    plain = onnx.load(str(full[0].model()))
    makers = {output: node for node in plain.graph.node for output in node.output}
    clipped = [
        node.output[0]
        for node in plain.graph.node
        if node.op_type == "Relu" and makers[node.input[0]].op_type == "Conv"
    ][1:]
    assert len(clipped) == 32
    rounded = {node.input[0]: node for node in model.graph.node if node.op_type == "QuantizeLinear"}
    for name in clipped:
        assert maker[name].op_type == "Conv"
        assert not onnx.numpy_helper.to_array(weights[rounded[name].input[2]]).any()


def test_onnx_runtime_makes_integer_kernels_of_all_of_it(
    full: tuple[Bundle, list[str]], tmp_path: Path
) -> None:
    """What it really runs, as it writes it down; what is left in float is what stays so on purpose."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "runs.onnx")
    options.log_severity_level = 3
    onnxruntime.InferenceSession(str(full[0].model("int8-cpu")), options, providers=["CPUExecutionProvider"])
    graph = onnx.load(str(tmp_path / "runs.onnx")).graph
    count = Counter(node.op_type for node in graph.node)
    assert (count["QLinearConv"], count["QLinearAdd"]) == (52, 15)
    # One Q into the 8 bits; two DQ out of them, into the last addition. The other addition is the bias of the maps.
    assert (count["QuantizeLinear"], count["DequantizeLinear"], count["Add"]) == (1, 2, 1 + 1)
    maker = {output: node for node in graph.node for output in node.output}
    (pool,) = (node for node in graph.node if node.op_type == "MaxPool")
    assert maker[pool.input[0]].op_type == "Conv"
    (rounded,) = (node for node in graph.node if node.op_type == "QuantizeLinear")
    assert maker[rounded.input[0]] == pool


def test_pooling_before_relu_changes_no_bit(bundle: Bundle, inputs: Any, tmp_path: Path) -> None:
    model = onnx.load(str(bundle.model()))
    pool_before_relu(model.graph)
    onnx.checker.check_model(model, full_check=True)
    onnx.save_model(model, tmp_path / "turned.onnx")
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.index("MaxPool") < kinds.index("Relu")
    before, after = (
        answers(path, SIZE, CLASSES, inputs) for path in (bundle.model(), tmp_path / "turned.onnx")
    )
    np.testing.assert_array_equal(before[0], after[0])


def test_relu_that_others_read_too_stays_where_it_is(bundle: Bundle) -> None:
    model = onnx.load(str(bundle.model()))
    pool = next(node for node in model.graph.node if node.op_type == "MaxPool")
    model.graph.node.append(onnx.helper.make_node("Identity", [pool.input[0]], ["other"]))
    before = model.SerializeToString()
    pool_before_relu(model.graph)
    assert model.SerializeToString() == before


def test_a_layer_in_float_is_not_rounded_on_its_way_into_the_addition(bundle: Bundle, ranges: Ranges) -> None:
    plain = onnx.load(str(bundle.model()))
    last = [node.input[0] for node in plain.graph.node if node.op_type == "Add"][5]
    kept = next(node.name for node in plain.graph.node if last in node.output)
    assert kept in layers(plain)
    model = quantise(bundle.model(), ranges.ranges, "int8-cpu", [kept])
    maker = {output: node for node in model.graph.node for output in node.output}
    kinds = [
        [maker[name].op_type for name in node.input]
        for node in model.graph.node
        if node.op_type == "Add" and all(name in maker for name in node.input)  # not the bias of the maps
    ]
    assert kinds.count(["Conv", "DequantizeLinear"]) == 1
    assert kinds.count(["DequantizeLinear"] * 2) == 15


def test_with_all_layers_in_float_nothing_is_rounded(
    bundle: Bundle, inputs: Any, ranges: Ranges, tmp_path: Path
) -> None:
    names = layers(onnx.load(str(bundle.model())))
    model = quantise(bundle.model(), ranges.ranges, "int8-cpu", names)
    assert not {node.op_type for node in model.graph.node} & {"QuantizeLinear", "DequantizeLinear"}
    onnx.save_model(model, tmp_path / "float.onnx")
    before, after = (
        answers(path, SIZE, CLASSES, inputs) for path in (bundle.model(), tmp_path / "float.onnx")
    )
    np.testing.assert_array_equal(before[0], after[0])


def test_one_layer_in_8_bits_rounds_what_it_reads_and_writes_and_nothing_else(
    bundle: Bundle, ranges: Ranges
) -> None:
    """The first of a block without downsampling, a ReLU and a layer in float after it, which keeps its own ReLU."""
    names = layers(onnx.load(str(bundle.model())))
    model = quantise(bundle.model(), ranges.ranges, "int8-cpu", [name for name in names if name != names[4]])
    count = Counter(node.op_type for node in model.graph.node)
    assert count["QuantizeLinear"] == 2
    assert count["DequantizeLinear"] == 4  # both values, the weights and the bias
    assert count["Relu"] == 48  # of 49


def test_advice_of_the_quantizer_changes_nothing_in_a_programs_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "model.onnx"
    onnx.save(faint_layer(), file)
    frames = np.random.default_rng(0).random((8, 1, 8, 8), np.float32)
    found = calibrate(file, frames, "minmax").ranges
    monkeypatch.setattr(logging.root, "handlers", [])
    quantise(file, found, "int8-cpu")
    assert logging.root.handlers == []
    monkeypatch.setattr(int8, "_quiet", nullcontext)
    quantise(file, found, "int8-cpu")
    assert logging.root.handlers  # what it has to say of the bias would have made one


def faint_layer() -> onnx.ModelProto:
    """Two convolutions, the second with weights so small that its bias does not fit into an integer of their scale."""
    make, rng = onnx.helper, np.random.default_rng(0)
    values = {
        "w1": rng.normal(size=(4, 1, 3, 3)), "b1": np.ones(4),
        "w2": 1e-12 * rng.normal(size=(4, 4, 3, 3)), "b2": np.ones(4),
    }  # fmt: skip
    weights = [onnx.numpy_helper.from_array(value.astype(np.float32), name) for name, value in values.items()]
    nodes = [
        make.make_node("Conv", ["frame", "w1", "b1"], ["first"], "conv1"),
        make.make_node("Conv", ["first", "w2", "b2"], ["logits"], "conv2"),
    ]
    shapes = {"frame": [None, 1, 8, 8], "logits": [None, 4, 4, 4]}
    ends = {
        name: make.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    }
    graph = make.make_graph(nodes, "faint", [ends["frame"]], [ends["logits"]], weights)
    return make.make_model(graph, opset_imports=[make.make_opsetid("", 17)], ir_version=8)
