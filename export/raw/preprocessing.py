"""Preprocessing as a graph: raw counts (1, H, W) in, the network's input out. docs/preprocessing.md is its
specification, :mod:`tgkt_edge.preprocess` the code that it is compared with.

Integers are looked up in one table. Floating-point numbers are decoded in float64, which ONNX Runtime computes and
TensorRT does not. Areas are averaged by sums of weighted pixels, in the order of the specification, rather than by
matrix products: those add in another order, are a hundred times the work, and are rounded to eleven bits by GPUs that
are not told otherwise.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto, helper

from tgkt_edge.bundle.bundle import INPUT_NAME
from tgkt_edge.export.raw.areas import add_areas
from tgkt_edge.export.raw.holes import add_filling
from tgkt_edge.export.raw.nodes import Nodes
from tgkt_edge.export_options import RawInputType
from tgkt_edge.preprocess import CODE_MAX, resize_side
from tgkt_edge.sensor import SensorSpec, unit_table
from tgkt_edge.sensor.quantities import ZERO_C

COUNTS = "counts"
"""Input: (1, H, W) raw counts exactly as the sensor gives them."""

MEASURED = "measured"
"""Output of sensors that mark invalid pixels: (1,) float32, the share of the frame's pixels that hold a measurement.
At 0 nothing was measured, and all other outputs mean nothing."""

PREFIX = "raw_"

_LEAST_COVER = 1e-3
_ELEMENTS = {
    "uint8": TensorProto.UINT8, "uint16": TensorProto.UINT16, "int32": TensorProto.INT32,
    "float16": TensorProto.FLOAT16, "float32": TensorProto.FLOAT,
}  # fmt: skip


@dataclass(frozen=True)
class RawInput:
    """What goes in.

    Attributes:
        height, width: of a frame, pixels. type: of its elements.
    """

    height: int
    width: int
    type: RawInputType = "sensor"

    def element(self, spec: SensorSpec) -> str:
        """Name of the element type."""
        return spec.dtype if self.type == "sensor" or spec.is_float else self.type


def preprocessing_graph(spec: SensorSpec, size: int, given: RawInput, opset: int, ir_version: int) -> Any:
    """The graph: input COUNTS, outputs INPUT_NAME (1, 1, size, size) float32 in [0, 1], and MEASURED where the sensor
    has invalid counts.

    Args:
        size: side of the network's input, pixels.
    """
    nodes, side = Nodes(PREFIX), resize_side(size)
    outputs = [helper.make_tensor_value_info(INPUT_NAME, TensorProto.FLOAT, [1, 1, size, size])]
    places, valid = _floats(nodes, spec) if spec.is_float else _integers(nodes, spec)
    if valid:
        count = nodes.add(
            "ReduceSum", nodes.add("Reshape", valid, nodes.integers(1, -1)), nodes.integers(1), keepdims=0
        )
        nodes.add("Div", count, nodes.number(given.height * given.width), out=MEASURED)
        outputs.append(helper.make_tensor_value_info(MEASURED, TensorProto.FLOAT, [1]))
        both = nodes.add("Concat", places, valid, axis=0)  # (2, H, W)
        both = add_areas(nodes, both, given.height, given.width, side)
        total, cover = (
            nodes.add("Gather", both, nodes.constant(np.array(i, np.int32)), axis=0) for i in (0, 1)
        )
        hole = nodes.add("Less", cover, nodes.number(_LEAST_COVER))
        whole = nodes.add("Equal", nodes.add("ReduceMin", valid, keepdims=0), nodes.number(1))
        divisor = nodes.add("Max", cover, nodes.number(_LEAST_COVER))
        divisor = nodes.add("Where", whole, nodes.number(1), divisor)  # a frame without holes is not divided
        mean = add_filling(nodes, nodes.add("Div", total, divisor), hole, side)
    else:
        mean = add_areas(nodes, places, given.height, given.width, side)
        mean = nodes.add("Reshape", mean, nodes.integers(side, side))
    top = (side - size) // 2
    ends = nodes.integers(top + size, top + size)
    mean = nodes.add("Slice", mean, nodes.integers(top, top), ends, nodes.integers(0, 1))
    codes = nodes.add("Clip", nodes.add("Round", mean), nodes.number(0), nodes.number(CODE_MAX))
    unit = nodes.add("Div", codes, nodes.number(CODE_MAX))
    nodes.add("Reshape", unit, nodes.integers(1, 1, size, size), out=INPUT_NAME)
    counts = helper.make_tensor_value_info(
        COUNTS, _ELEMENTS[given.element(spec)], [1, given.height, given.width]
    )
    graph = helper.make_graph(nodes.nodes, "preprocessing", [counts], outputs, nodes.constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version)


def _integers(nodes: Nodes, spec: SensorSpec) -> tuple[str, str]:
    """Nodes that decode whole counts.

    Returns:
        Names of two tensors: values (1, H, W) float32, and a mask of 1 where a count is a measurement and 0 elsewhere.
        The second name is empty where every count is a measurement.
    """
    values, valid = unit_table(spec)
    table = nodes.constant(np.where(valid, values, np.float32(-1)))
    found = nodes.add("Gather", table, nodes.add("Cast", COUNTS, to=TensorProto.INT32), axis=0)
    if valid.all():
        return found, ""
    known = nodes.add("Cast", nodes.add("GreaterOrEqual", found, nodes.number(0)), to=TensorProto.FLOAT)
    return nodes.add("Relu", found), known


def _floats(nodes: Nodes, spec: SensorSpec) -> tuple[str, str]:
    """As :func:`_integers`, by the arithmetic of SensorSpec in float64."""

    def number(value: float | None, otherwise: float) -> str:
        return nodes.constant(np.array(otherwise if value is None else value or otherwise, np.float64))

    def scaled(factor: float | None, offset: float | None) -> str:
        return nodes.add("Add", nodes.add("Mul", raw, number(factor, 1.0)), number(offset, 0.0))

    raw = nodes.add("Cast", COUNTS, to=TensorProto.DOUBLE)
    zero = number(0.0, 0.0)
    valid = nodes.add("Not", nodes.add("Or", nodes.add("IsNaN", raw), nodes.add("IsInf", raw)))
    if spec.kind != "thermal":
        valid = nodes.add("And", valid, nodes.add("Greater", raw, zero))
    if spec.encoding == "disparity":
        assert spec.baseline_m is not None
        assert spec.focal_px is not None
        pixels = scaled(spec.unit_px, spec.offset_px)
        valid = nodes.add("And", valid, nodes.add("Greater", pixels, zero))
        value = nodes.add("Div", number(spec.baseline_m * spec.focal_px, 0.0), pixels)
    elif spec.kind == "thermal":
        kelvin = scaled(spec.unit_k, spec.offset_k)
        valid = nodes.add("And", valid, nodes.add("Greater", kelvin, zero))
        value = nodes.add("Sub", kelvin, number(ZERO_C, 0.0))
    else:
        value = nodes.add("Mul", raw, number(spec.unit_m, 1.0))
    for count in np.asarray(spec.invalid, spec.numpy_dtype):
        other = nodes.add("Not", nodes.add("Equal", raw, number(float(count), 0.0)))
        valid = nodes.add("And", valid, other)
    low, high = spec.range
    unit = nodes.add("Div", nodes.add("Sub", value, number(low, 0.0)), number(high - low, 1.0))
    unit = nodes.add("Where", valid, unit, zero)
    unit = nodes.add("Clip", unit, zero, number(1.0, 1.0))
    place = nodes.add("Round", nodes.add("Mul", unit, number(float(CODE_MAX), 1.0)))
    return nodes.add("Cast", place, to=TensorProto.FLOAT), nodes.add("Cast", valid, to=TensorProto.FLOAT)
