"""Inputs and outputs of a TensorRT plan, compared with what its bundle says."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from tgkt_edge.bundle.bundle import INPUT_NAME, OUTPUT_NAMES, Bundle
from tgkt_edge.bundle.engine_header import TYPES
from tgkt_edge.bundle.engine_metadata import Profile
from tgkt_edge.bundle.onnx_file import MAPS, OnnxInfo
from tgkt_edge.trt import library as trt

Tensors = Mapping[str, Mapping[str, Any]]
"""name -> {"dtype": "fp32", "shape": [-1, ...]}, as a sidecar lists them."""


def tensors_of(engine: trt.ICudaEngine) -> tuple[Tensors, Tensors]:
    """Inputs and outputs of a plan that is loaded."""
    inputs: dict[str, Any] = {}
    outputs: dict[str, Any] = {}
    for index in range(engine.num_io_tensors):
        name = engine.get_tensor_name(index)
        dtype, shape = engine.get_tensor_dtype(name).name, engine.get_tensor_shape(name)
        into = inputs if engine.get_tensor_mode(name) == trt.TensorIOMode.INPUT else outputs
        into[name] = {"dtype": TYPES.get(dtype, dtype), "shape": [int(shape[i]) for i in range(len(shape))]}
    return inputs, outputs


def disagreements(bundle: Bundle, profile: Profile, inputs: Tensors, outputs: Tensors) -> list[str]:
    """How a plan's inputs and outputs differ from its bundle's, in words; empty if they do not."""
    given: Tensors = {INPUT_NAME: {"dtype": "fp32", "shape": [-1, 1, bundle.size, bundle.size]}}
    answers: Tensors = {name: {"dtype": "fp32", "shape": [-1, len(bundle.classes)]} for name in OUTPUT_NAMES}
    if MAPS in outputs and bundle.maps is not None:  # a plan of an earlier graph of the bundle may lack them
        answers = {**answers, MAPS: {"dtype": "fp32", "shape": [-1, len(bundle.classes), *bundle.maps]}}
    wrong = []
    for what, found, expected in (("input", inputs, given), ("output", outputs, answers)):
        if sorted(found) != sorted(expected):
            wrong.append(f"it has {what}s {sorted(found)}, expected {sorted(expected)}")
            continue
        for name, tensor in expected.items():
            dtype, shape = found[name]["dtype"], list(found[name]["shape"])
            if profile.min == profile.max and shape[:1] == [profile.max]:
                shape[0] = -1  # a plan for one batch size may say so
            if {"dtype": dtype, "shape": shape} != tensor:
                wrong.append(f"its {what} {name} is {dtype} {shape}, expected fp32 {tensor['shape']}")
    return wrong


def graph_disagreement(info: OnnxInfo, size: int, classes: Sequence[str]) -> str:
    """How an ONNX file differs from what its bundle says, in words; empty if it does not.

    A dimension that the graph leaves open agrees with every number.
    """
    if list(info.inputs) != [INPUT_NAME]:
        return f"inputs {list(info.inputs)}, expected only '{INPUT_NAME}'"
    if not set(OUTPUT_NAMES) <= set(info.outputs):
        return f"outputs {list(info.outputs)}, expected {list(OUTPUT_NAMES)}"
    count = len(classes)
    expected: dict[str, tuple[int | None, ...]] = {INPUT_NAME: (None, 1, size, size)}
    expected |= dict.fromkeys(OUTPUT_NAMES, (None, count))
    if MAPS in info.outputs:
        expected[MAPS] = (None, count, None, None)
    for name, shape in expected.items():
        tensor = info.inputs.get(name) or info.outputs[name]
        if tensor.dtype != "float32":
            return f"{name} is {tensor.dtype}, expected float32"
        if len(tensor.shape) != len(shape) or any(
            isinstance(found, int) and want is not None and found != want
            for found, want in zip(tensor.shape, shape, strict=False)
        ):
            return f"{name} has shape {tensor.shape}, expected {('N', *shape[1:])}"
        if name == MAPS and not all(isinstance(side, int) for side in tensor.shape[2:]):
            return f"{name} has shape {tensor.shape}, expected (N, K, rows, columns)"
    recorded = info.metadata.get("tgkt_edge.classes")
    if recorded is not None and recorded != json.dumps(list(classes)):
        return f"its metadata names the classes {recorded}, the manifest {list(classes)}"
    return ""
