"""Proof of a plan's precision: the types that its layers really have."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tgkt_edge import trt
from tgkt_edge.errors import IncompatibleError, TgktEdgeError
from tgkt_edge.plan import TYPES
from tgkt_edge.trt_log import make_logger

_WORDS = {"int8": ("int8",), "fp16": ("fp16", "half"), "fp32": ("fp32", "float")}


def network_layers(network: trt.INetworkDefinition) -> dict[str, int]:
    """How many multiplying layers (convolutions, matrix products) take each type; a dequantised input is int8.

    In a strongly typed network these are the types that the builder must keep.
    """
    makers, layers = {}, [network.get_layer(i) for i in range(network.num_layers)]
    for layer in layers:
        for i in range(layer.num_outputs):
            makers[layer.get_output(i).name] = layer
    count: Counter[str] = Counter()
    for layer in layers:
        if layer.type in (trt.LayerType.CONVOLUTION, trt.LayerType.MATRIX_MULTIPLY):
            tensor = layer.get_input(0)
            maker = makers.get(tensor.name)
            if maker is not None and maker.type == trt.LayerType.DEQUANTIZE:
                tensor = maker.get_input(0)
            count[TYPES.get(tensor.dtype.name, tensor.dtype.name.lower())] += 1
    return dict(count)


def check_network(onnx: Path, precision: str, layers: Mapping[str, int]) -> None:
    """IncompatibleError unless some multiplying layer has the precision that was asked for.

    Others may have a higher one: the first and last layer of an int8 graph, and those that the accuracy gate put back.
    """
    if not layers.get(precision):
        found = ", ".join(f"{count} {name}" for name, count in sorted(layers.items())) or "none"
        raise IncompatibleError(
            f"{onnx} is to be {precision}, but of its convolutions and matrix products none is ({found}). Export the "
            f"bundle again with --precision {precision}."
        )


def engine_layers(plan: bytes) -> dict[str, int]:
    """What TensorRT's engine inspector says of a plan: layers by the type of what they read. Needs the GPU.

    Raises:
        TgktEdgeError: the plan does not load here.
    """
    log, errors = make_logger()
    runtime = trt.Runtime(log)
    runtime.engine_host_code_allowed = True  # this very process built it
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise TgktEdgeError(f"the plan just built does not load here: {errors.last} No plan was written.")
    text = engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    return layer_types(json.loads(text))


def layer_types(information: Mapping[str, Any]) -> dict[str, int]:
    """Count an engine inspector's layers by the narrowest type they read.

    Args:
        information: its JSON. A tensor's type is part of a text such as "Half", "Int8" or "Channel major FP16 format
            where channel % 8 == 0", as the version has it.
    """
    count: Counter[str] = Counter()
    for entry in information["Layers"]:
        if not isinstance(entry, dict):  # only names: built without detailed verbosity
            continue
        text = " ".join(str(read.get("Format/Datatype", "")) for read in entry.get("Inputs", ())).lower()
        for name, words in _WORDS.items():
            if any(word in text for word in words):
                count[name] += 1
                break
    return dict(count)


def prove(onnx: Path, precision: str, layers: Mapping[str, int], plan: bytes | None) -> dict[str, Any]:
    """What the sidecar says of the precision.

    Args:
        layers: of the network. plan: to ask the engine inspector about; None: no GPU here runs it.

    Raises:
        IncompatibleError: (exit 4) the inspector finds no layer of the precision.
    """
    about = {"asked": precision, "network": dict(layers)}
    if plan is None:
        how = "types of the strongly typed network; the engine inspector needs the GPU"
        return {**about, "engine": None, "proven": False, "how": how}
    kinds = engine_layers(plan)
    if not kinds:
        how = "types of the strongly typed network; the engine inspector tells none"
        return {**about, "engine": None, "proven": False, "how": how}
    if not kinds.get(precision):
        raise IncompatibleError(
            f"{onnx} was to become a plan in {precision}, but the engine inspector finds no such layer ({kinds}). "
            f"No plan was written."
        )
    return {**about, "engine": kinds, "proven": True, "how": "engine inspector"}
