"""Proof of a plan's precision: the types that its layers really have."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tgkt_edge.bundle.engine_header import TYPES
from tgkt_edge.errors import IncompatibleError, TgktEdgeError
from tgkt_edge.trt import library as trt
from tgkt_edge.trt.messages import make_logger

_WORDS = {"int8": ("int8",), "fp16": ("fp16", "half"), "bf16": ("bf16", "bfloat"), "fp32": ("fp32", "float")}
_MULTIPLYING = ("conv", "gemm", "matmul", "matrixmultiply")  # in a layer's type, as the inspector has it


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
            f"bundle again with `precisions={precision}`."
        )


def engine_layers(plan: bytes) -> dict[str, int]:
    """What TensorRT's engine inspector says of a plan's layers, see :func:`layer_types`. Needs the GPU.

    Raises:
        TgktEdgeError: the plan does not load here.
    """
    log, errors = make_logger()
    runtime = trt.Runtime(log)
    runtime.engine_host_code_allowed = True  # this very process built it
    engine = runtime.deserialize_cuda_engine(plan)
    if engine is None:
        raise TgktEdgeError(f"the plan just built does not load here: {errors.last} No plan was written.")
    return layer_types(
        engine.create_engine_inspector().get_engine_information(trt.LayerInformationFormat.JSON)
    )


def layer_types(text: str) -> dict[str, int]:
    """Count an engine inspector's multiplying layers by the type of their weights, else the narrowest they read.

    Args:
        text: its JSON. A type is part of a text such as "Half", "Int8" or "Channel major FP16 format where channel % 8
            == 0", as the version has it. Of tensors with a free dimension TensorRT says "N/A due to dynamic shapes",
            so that with a range of batch sizes only the weights' types are reported.

    Returns:
        type -> layers; "untold" for those without a type. Empty where the text is none that is understood.
    """
    try:
        information = json.loads(text)
    except ValueError:
        return {}
    layers = information.get("Layers") if isinstance(information, dict) else None
    count: Counter[str] = Counter()
    for entry in layers if isinstance(layers, list) else ():
        if not isinstance(entry, dict):  # only names: built without detailed verbosity
            continue
        weights, reads = entry.get("Weights"), entry.get("Inputs")
        reported = str(weights.get("Type", "")) if isinstance(weights, dict) else ""
        kind = f"{entry.get('LayerType')} {entry.get('ParameterType')}".lower()
        if reported or any(word in kind for word in _MULTIPLYING):
            tensors = [one for one in reads if isinstance(one, dict)] if isinstance(reads, list) else []
            count[_type(reported or " ".join(str(one.get("Format/Datatype", "")) for one in tensors))] += 1
    return dict(count)


def _type(text: str) -> str:
    """The narrowest type that a text of the inspector names, or "untold"."""
    return next((name for name, words in _WORDS.items() if any(w in text.lower() for w in words)), "untold")


def prove(onnx: Path, precision: str, layers: Mapping[str, int], plan: bytes | None) -> dict[str, Any]:
    """What the sidecar says of the precision.

    Args:
        layers: of the network. plan: to ask the engine inspector about; None: no GPU here runs it.

    Raises:
        IncompatibleError: (exit 4) the inspector tells the type of every layer, and none has the precision.
    """
    about = {"asked": precision, "network": dict(layers)}
    if plan is None:
        how = "types of the strongly typed network; the engine inspector needs the GPU"
        return {**about, "engine": None, "proven": False, "how": how}
    kinds = engine_layers(plan)
    reported, of = sum(kinds.values()) - kinds.get("untold", 0), sum(layers.values())
    if 2 * reported <= of:  # the others may be in layers that TensorRT compiled as a whole: too few to go by
        how = f"types of the strongly typed network; the engine inspector reports {reported or 'none'} of {of} layers"
        return {**about, "engine": kinds or None, "proven": False, "how": how}
    if kinds.get(precision):
        return {**about, "engine": kinds, "proven": True, "how": "engine inspector"}
    if kinds.get("untold"):
        how = f"types of the strongly typed network; of those that the engine inspector reports none is {precision}"
        return {**about, "engine": kinds, "proven": False, "how": how}
    raise IncompatibleError(
        f"{onnx} was to become a plan in {precision}, but the engine inspector finds no such layer ({kinds}). "
        f"No plan was written."
    )
