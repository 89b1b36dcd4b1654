"""TensorRT-RTX builds the graphs that take raw counts; it needs no GPU for that. It takes no uint16."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import onnx
import pytest

from tests.support.bundles import CLASSES, SIZE, save_model
from tgkt_edge.export.raw.preprocessing import RawInput
from tgkt_edge.export.raw.write import with_preprocessing
from tgkt_edge.export.task import Task
from tgkt_edge.sensor import PRESETS, SensorSpec
from tgkt_edge.trt import library as trt
from tgkt_edge.trt.messages import make_logger
from tgkt_edge.trt.options import BuildOptions, configure

NIR8 = SensorSpec("nir", "uint8", black=0, white=255)


def build(spec: SensorSpec, kind: Any, folder: Path) -> tuple[Any, list[str], str]:
    """The plan or None, its network's outputs, and what TensorRT complained of."""
    save_model(folder / "model.onnx")
    task = Task(folder, CLASSES, spec, SIZE)
    model = with_preprocessing(task, onnx.load(str(folder / "model.onnx")), RawInput(30, 40, kind), 2.0)
    onnx.save(model, folder / "model.raw.onnx")
    log, errors = make_logger()
    builder = trt.Builder(log)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, log)
    if not parser.parse_from_file(str(folder / "model.raw.onnx")):
        return None, [], parser.get_error(0).desc()
    config = builder.create_builder_config()
    configure(config, BuildOptions(target_sm=("89",), level=0), trt.find(), ("8.9",))
    plan = builder.build_serialized_network(network, config)
    return plan, [network.get_output(i).name for i in range(network.num_outputs)], errors.last


@pytest.mark.slow
def test_int32_counts_with_holes_to_fill(rtx: trt.TensorRt, tmp_path: Path) -> None:
    plan, outputs, error = build(PRESETS["depth"], "int32", tmp_path)
    assert plan is not None, error
    assert outputs == ["logits", "probabilities", "frame", "measured"]


@pytest.mark.slow
def test_counts_of_eight_bits_as_they_are(rtx: trt.TensorRt, tmp_path: Path) -> None:
    plan, outputs, error = build(NIR8, "sensor", tmp_path)
    assert plan is not None, error
    assert outputs == ["logits", "probabilities", "frame"]


def test_sixteen_bits_as_they_are_it_refuses(rtx: trt.TensorRt, tmp_path: Path) -> None:
    """The reason why there is `raw_input=int32`; once it takes them, that can go."""
    plan, _, error = build(PRESETS["depth"], "sensor", tmp_path)
    assert plan is None
    assert "data type" in error
