"""INT8 as a graph: explicit Q/DQ nodes with per-channel weights, from one calibration in two forms.

``int8`` is for engines: symmetric signed activations, float biases (TensorRT refuses quantised ones), and Q/DQ where
TensorRT fuses: on the inputs of convolutions, and on the skip branch of a residual addition but not on the main one,
so that convolution, addition and ReLU become one kernel. ``int8-cpu`` is for ONNX Runtime on CPUs, whose fast kernels
want unsigned activations, signed weights, quantised biases, and Q/DQ on both sides of every convolution. Where a ReLU
follows, it is the rounding to unsigned values with zero at the bottom that clips, and the ReLU itself is gone: rounding
before it, too, would cost accuracy and a twentieth of the time.

The first convolution stays in float in both. It sees the sensor's own values, and 8 bits cut 16-bit depth into terraces
whose edges the kernels respond to; it is under 2 % of the arithmetic. So does the last layer, which is smaller still.
"""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType
from onnxruntime.quantization.calibrate import TensorsData
from onnxruntime.quantization.qdq_quantizer import QDQQuantizer

from tgkt_edge.bundle.bundle import OUTPUT_NAMES

FORMS = ("int8", "int8-cpu")


def layers(model: onnx.ModelProto) -> tuple[str, ...]:
    """Names of the convolutions that :func:`quantise` takes to 8 bits, in the order of the graph: all but the first."""
    return tuple(node.name for node in model.graph.node if node.op_type == "Conv")[1:]


def quantise(model: Path, ranges: TensorsData, form: str, keep: Collection[str] = ()) -> onnx.ModelProto:
    """Put Q/DQ nodes into an FP32 graph.

    Args:
        ranges: of the activations, from :func:`tgkt_edge.export.int8_calibration.calibrate` on this very graph.
        form: one of FORMS.
        keep: names of layers (see :func:`layers`) that stay in float.
    """
    if form not in FORMS:
        raise ValueError(f"form {form!r}: expected one of {', '.join(FORMS)}")
    loaded = onnx.load(str(model))
    if form == "int8-cpu":
        pool_before_relu(loaded.graph)
    loaded = onnx.shape_inference.infer_shapes(loaded)
    quantised = layers(loaded)
    unknown = set(keep) - set(quantised)
    if unknown:
        raise ValueError(f"{', '.join(sorted(unknown))}: no layers of {model.name}")
    engine = form == "int8"
    with _quiet():
        quantizer = QDQQuantizer(
            loaded,
            per_channel=True,
            reduce_range=False,
            weight_qType=QuantType.QInt8,
            activation_qType=QuantType.QInt8 if engine else QuantType.QUInt8,
            tensors_range=ranges,
            nodes_to_quantize=[],
            nodes_to_exclude=[
                n.name for n in loaded.graph.node if n.op_type == "Conv" and n.name not in quantised
            ]
            + sorted({*keep, *beside_the_answer(loaded.graph), *sums_of_arithmetic(loaded.graph)}),
            op_types_to_quantize=["Conv", "Add"] if engine else ["Conv", "Relu"],
            extra_options={
                "ActivationSymmetric": engine,
                "WeightSymmetric": True,
                "QuantizeBias": not engine,
                "OpTypesToExcludeOutputQuantization": ["Conv", "Add"] if engine else [],
            },
        )
        quantizer.quantize_model()
    quantizer.model.topological_sort()  # the quantiser appends its nodes at the end
    result: onnx.ModelProto = quantizer.model.model
    if engine:
        _free_main_branches(result.graph)
    onnx.checker.check_model(result, full_check=True)
    return result


def beside_the_answer(graph: onnx.GraphProto) -> set[str]:
    """Names of the nodes that the logits do not depend on: those of the maps, which stay in float."""
    needed = set(OUTPUT_NAMES)
    beside = set()
    for node in reversed(graph.node):  # sorted: what makes an input comes before it
        if needed.intersection(node.output):
            needed.update(node.input)
        else:
            beside.add(node.name)
    return beside


def sums_of_arithmetic(graph: onnx.GraphProto) -> set[str]:
    """Names of the additions that join no two branches of the network: those of surface normals, before the first
    convolution, whose terms reach over many orders of magnitude, and those of a constant, such as in the length of a
    pooled layer. Eight bits of them cost all answers, and TensorRT fuses none of them."""
    constant = {weight.name for weight in graph.initializer}
    constant |= {output for node in graph.node if node.op_type == "Constant" for output in node.output}
    found, before = set(), True
    for node in graph.node:
        before = before and node.op_type != "Conv"
        if node.op_type == "Add" and (before or constant & set(node.input)):
            found.add(node.name)
    return found


def pool_before_relu(graph: onnx.GraphProto) -> None:
    """Turn ReLU and max pooling round, which changes no value: the largest of clipped values is the largest, clipped.

    ONNX Runtime moves a Q node that follows a pooling in front of it, and pools bytes in a layout that it has no fast
    kernel for: a fifth of the time of the whole network. It moves none past a ReLU, which then becomes part of the Q.
    """
    maker = {output: node for node in graph.node for output in node.output}
    used = Counter(name for node in graph.node for name in node.input)
    for position, pool in enumerate(graph.node):
        relu = maker.get(pool.input[0]) if pool.op_type == "MaxPool" else None
        if relu is None or relu.op_type != "Relu" or used[relu.output[0]] > 1:
            continue
        after = onnx.helper.make_node(
            "Relu", [f"{pool.output[0]}_unclipped"], [pool.output[0]], name=relu.name
        )
        pool.input[0], pool.output[0] = relu.input[0], after.input[0]
        graph.node.insert(position + 1, after)
        graph.node.remove(relu)
        for known in [value for value in graph.value_info if value.name == relu.output[0]]:
            graph.value_info.remove(known)
        return  # positions have changed; this network pools once


def _free_main_branches(graph: onnx.GraphProto) -> None:
    """Feed the first input of every residual addition, the block's own last convolution, past its Q/DQ pair."""
    maker = {output: node for node in graph.node for output in node.output}
    for node in graph.node:
        dequantize = maker.get(node.input[0]) if node.op_type == "Add" else None
        if dequantize is not None and dequantize.op_type == "DequantizeLinear":
            node.input[0] = maker[dequantize.input[0]].input[0]
    outputs = {output.name for output in graph.output}
    for kind in ("DequantizeLinear", "QuantizeLinear"):  # in this order: the first makes the second useless
        used = outputs | {name for node in graph.node for name in node.input}
        useless = [node for node in graph.node if node.op_type == kind and node.output[0] not in used]
        for node in useless:
            graph.node.remove(node)
    used = {name for node in graph.node for name in node.input}
    for weight in [w for w in graph.initializer if w.name not in used]:
        graph.initializer.remove(weight)


@contextmanager
def _quiet() -> Iterator[None]:
    """onnxruntime.quantization writes advice on its own options to the root logger.

    ``logging.warning`` gives a root logger without handlers one, whatever is disabled, which would then print all that
    this program logs: so it has one meanwhile.
    """
    before, handler = logging.root.manager.disable, logging.NullHandler()
    logging.disable(logging.WARNING)
    logging.root.addHandler(handler)
    try:
        yield
    finally:
        logging.root.removeHandler(handler)
        logging.disable(before)
