"""A network with a linear head on pooled layers, with and without normals, exported in every precision."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
import torchvision
from torch import nn
from torchvision.models.resnet import Bottleneck

from tgkt_edge.export.fp16 import write_fp16
from tgkt_edge.export.graph import Deployed, export_onnx
from tgkt_edge.export.int8 import FORMS, beside_the_answer, quantise, sums_of_arithmetic
from tgkt_edge.export.int8_calibration import calibrate
from tgkt_edge.export.verify_fp32 import verify_fp32
from tgkt_edge.runtime.engines.onnxruntime import OnnxRuntimeEngine
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.nn.model import SceneClassifier, normalise

CLASSES = ("a", "b", "c")
SIZE = 32


@pytest.fixture(scope="module", params=[False, True], ids=["plain", "normals"])
def exported(
    request: pytest.FixtureRequest, inputs: Any, module_folder: Callable[[str], Path]
) -> tuple[Deployed, Path]:
    """A network of random weights that knows the frames, as ``translate`` leaves one, and its ONNX file."""
    torch.manual_seed(0)
    model = SceneClassifier(3, (2, 3, 4), request.param)
    model.backbone.load_state_dict(torchvision.models.resnet50(weights=None).state_dict(), strict=False)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
        elif isinstance(module, Bottleneck):
            nn.init.constant_(module.bn3.weight, 0.1)
    x = normalise(torch.from_numpy(inputs))
    with torch.no_grad():
        model.train()(x)
        features = model.eval().features(x)
        model.standard.mean.copy_(features.mean(0))
        model.standard.scale.copy_(features.std(0).clamp_min(1e-4))
        nn.init.normal_(model.classifier.weight, std=0.02)
    path = module_folder("pooled") / "model.onnx"
    deployed = Deployed(model)
    export_onnx(deployed, path, SIZE, CLASSES, load_sensor("depth"))
    return deployed, path


def answers(path: Path, inputs: Any) -> Any:
    engine = OnnxRuntimeEngine(path, SIZE, CLASSES, providers=["CPUExecutionProvider"])
    try:
        return engine.infer(inputs)[0]
    finally:
        engine.close()


@pytest.mark.slow
def test_the_file_answers_as_the_network(exported: tuple[Deployed, Path], codes: Any) -> None:
    deployed, path = exported
    result = verify_fp32(deployed, path, CLASSES, codes, SIZE)
    assert result.top1_agreement == 1
    graph = onnx.load(str(path)).graph
    kinds = [node.op_type for node in graph.node]
    assert kinds.count("Conv") == 53
    assert kinds.count("Gemm") + kinds.count("MatMul") == 1  # standardisation and classifier are one
    assert "BatchNormalization" not in kinds


@pytest.mark.slow
def test_half_precision_and_eight_bits_go_with_it(
    exported: tuple[Deployed, Path], inputs: Any, tmp_path: Path
) -> None:
    _, path = exported
    reference = answers(path, inputs)
    write_fp16(path, tmp_path / "fp16.onnx")
    np.testing.assert_allclose(
        answers(tmp_path / "fp16.onnx", inputs), reference, atol=0.1 * np.abs(reference).max()
    )
    ranges = calibrate(path, inputs, "minmax")
    for form in FORMS:
        onnx.save_model(quantise(path, ranges.ranges, form), tmp_path / f"{form}.onnx")
        found = answers(tmp_path / f"{form}.onnx", inputs)
        assert np.corrcoef(found.ravel(), reference.ravel())[0, 1] > 0.8


@pytest.mark.slow
def test_sums_of_arithmetic_stay_in_float(exported: tuple[Deployed, Path]) -> None:
    """Eight bits are for additions that join two branches: 16 of a ResNet-50, none of the normals or of a length."""
    graph = onnx.load(str(exported[1])).graph
    additions = [node.name for node in graph.node if node.op_type == "Add"]
    joining = set(additions) - sums_of_arithmetic(graph) - beside_the_answer(graph)
    assert len(joining) == 16
    convolved = {output for node in graph.node if node.op_type in ("Conv", "Relu") for output in node.output}
    assert all(
        set(node.input) <= convolved for node in graph.node if node.name in joining and node.op_type == "Add"
    )
