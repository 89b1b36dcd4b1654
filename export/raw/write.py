"""Writing ``model.raw.onnx`` and its like: a precision's graph with preprocessing before it, checked on real frames."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, compose, helper, numpy_helper

from tgkt_edge.bundle.bundle import INPUT_NAME, OUTPUT_NAMES, RAW_FILES
from tgkt_edge.bundle.onnx_file import MAPS
from tgkt_edge.data.raw_frames import load_raw_frames
from tgkt_edge.errors import DataError, UsageError
from tgkt_edge.evaluation.raw_check import RAW_FRAMES, check_raw, raw_name
from tgkt_edge.export.raw.preprocessing import (
    COUNTS,
    MEASURED,
    PREFIX,
    RawInput,
    preprocessing_graph,
)
from tgkt_edge.export.task import Say, Task
from tgkt_edge.export_options import RawInputType
from tgkt_edge.preprocess import resize_side
from tgkt_edge.runtime.engines.onnxruntime import OnnxRuntimeEngine


def add_raw(
    task: Task,
    precisions: list[str],
    target: Path | None,
    *,
    given: RawInput | None,
    kind: RawInputType,
    temperature: float,
    verify: bool,
    skip_bad: bool,
    flag: str,
    max_drop: float,
    say: Say,
) -> tuple[dict[str, Any], dict[str, Any]]:
    """Write the file of raw counts beside that of each precision.

    Args:
        target: frames of the sensor; None: there are none. given: as an earlier bundle had it; None: the size is the
            sensor's, or that of the first frame.
        kind: of the input's elements. temperature: the bundle's, that probabilities are made with.

    Returns:
        What the manifest says of the input, and what was verified, by "raw" and "raw-PRECISION".

    Raises:
        UsageError: (exit 2) the size is not known, or there are no frames to verify with.
        GateError: (exit 3) a graph does not answer as preprocessing and the plain graph do.
    """
    sized = isinstance(task.sensor.size, tuple) or given is not None
    frames = []
    if verify or not sized:
        if target is None:
            raise UsageError(
                "`raw=True`: a bundle does not say where its target frames lie: give real frames of this sensor with "
                "`calibrate=T`"
            )
        try:
            spec = task.sensor if given is None else task.sensor.with_size(given.width, given.height)
            frames = load_raw_frames(target, spec, RAW_FRAMES, skip_bad=skip_bad, flag=flag)
        except DataError as error:
            raise UsageError(f"{error} Give real frames of this sensor with `calibrate=T`.") from error
    if given is None:
        if isinstance(task.sensor.size, tuple):
            width, height = task.sensor.size
        else:
            height, width = frames[0][1].shape
        given = RawInput(height, width, kind)
    element = given.element(task.sensor)
    if task.sensor.is_float:
        say(
            "raw: numbers of this sensor are floating-point, decoded in float64, which TensorRT does not compute"
        )
    verification = {}
    outputs: list[str] = []
    for name in precisions:
        path = task.folder / RAW_FILES[name]
        model = with_preprocessing(task, onnx.load(str(task.file(name))), given, temperature)
        onnx.save_model(model, str(path))
        onnx.checker.check_model(str(path), full_check=True)
        outputs = [output.name for output in model.graph.output]
        if not verify:
            continue
        engine = OnnxRuntimeEngine(
            task.file(name), task.size, task.classes, providers=["CPUExecutionProvider"]
        )
        try:
            verification[raw_name(name)] = check_raw(
                path, task.sensor, task.size, engine, frames, max_drop, element
            )
        finally:
            engine.close()
    about = {
        "name": COUNTS, "dtype": element, "height": given.height, "width": given.width, "outputs": outputs,
    }  # fmt: skip
    return about, verification


def with_preprocessing(
    task: Task, model: onnx.ModelProto, given: RawInput, temperature: float
) -> onnx.ModelProto:
    """A precision's graph with preprocessing before it, for one frame a call.

    Outputs are the graph's own, (1, K) each, probabilities made with ``temperature``; ``frame``, what the network saw;
    and where the sensor has invalid counts ``measured``.
    """
    (opset,) = (entry.version for entry in model.opset_import if entry.domain in ("", "ai.onnx"))
    before = preprocessing_graph(task.sensor, task.size, given, opset, model.ir_version)
    if temperature != 1:
        _soften(model.graph, temperature)
    del model.graph.value_info[:]  # of any batch size
    about = {entry.key: entry.value for entry in model.metadata_props}
    joined = compose.merge_models(before, model, io_map=[(INPUT_NAME, INPUT_NAME)])
    graph = joined.graph
    del graph.output[:]
    count = len(task.classes)
    shapes: dict[str, list[int]] = {key: [1, count] for key in OUTPUT_NAMES}
    for output in model.graph.output:
        if output.name == MAPS:
            shapes[MAPS] = [1, *(dim.dim_value for dim in output.type.tensor_type.shape.dim[1:])]
    shapes[INPUT_NAME] = [1, 1, task.size, task.size]
    if any(MEASURED in node.output for node in before.graph.node):
        shapes[MEASURED] = [1]
    for name, shape in shapes.items():
        graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, shape))
    del joined.metadata_props[:]
    about |= {
        "tgkt_edge.raw": json.dumps({"height": given.height, "width": given.width}),
        "tgkt_edge.temperature": json.dumps(temperature),
        "tgkt_edge.resize_side": json.dumps(resize_side(task.size)),
    }
    for key, value in about.items():
        joined.metadata_props.add(key=key, value=value)
    joined.producer_name = model.producer_name
    return joined


def _soften(graph: onnx.GraphProto, temperature: float) -> None:
    """Divide the logits by the temperature where probabilities are made of them; the logits stay."""
    (softmax,) = (node for node in graph.node if "probabilities" in node.output)
    position = list(graph.node).index(softmax)
    name, soft = f"{PREFIX}temperature", f"{PREFIX}softened"
    graph.initializer.append(numpy_helper.from_array(np.array(temperature, np.float32), name))
    graph.node.insert(position, helper.make_node("Div", [softmax.input[0], name], [soft], name=soft))
    softmax.input[0] = soft
