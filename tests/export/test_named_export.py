"""Target networks of other kinds through export: FP32 and FP16 give the same answers, both INT8 graphs run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from torch import nn

from tgkt_edge.export.fp16 import write_fp16
from tgkt_edge.export.graph import Deployed, export_onnx
from tgkt_edge.export.int8 import FORMS, layers, quantise
from tgkt_edge.export.int8_calibration import calibrate
from tgkt_edge.export.verify_fp32 import verify_fp32
from tgkt_edge.runtime.engines.onnxruntime import OnnxRuntimeEngine
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.nn.model import normalise
from tgkt_edge.train.nn.named_network import NamedClassifier

CLASSES = ("a", "b", "c")
SIZE = 32

pytestmark = pytest.mark.slow


def settled(arch: str, normals: bool, inputs: Any) -> NamedClassifier:
    """Random weights whose statistics are those of the frames, and classes that differ among them."""
    torch.manual_seed(0)
    model = NamedClassifier(arch, len(CLASSES), normals)
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
    x = normalise(torch.from_numpy(inputs))
    with torch.no_grad():
        model.train()(x)
        features = model.eval().features(x)
        # One scale for all: of single features of random weights little but rounding may be left over the frames.
        model.standard.mean.copy_(features.mean(0))
        model.standard.scale.fill_(float(features.std()))
        nn.init.normal_(model.classifier.weight, std=model.width**-0.5)
    return model


def answers(path: Path, inputs: Any) -> Any:
    engine = OnnxRuntimeEngine(path, SIZE, CLASSES, providers=["CPUExecutionProvider"])
    try:
        return engine.infer(inputs)[0]
    finally:
        engine.close()


@pytest.mark.parametrize(
    ("arch", "normals", "convolutions"),
    [
        ("resnet18", True, 20),
        ("mobilenet_v3_large", True, 62),
        ("convnext_tiny", False, 22),
    ],
)
def test_a_network_keeps_its_answers(
    arch: str, normals: bool, convolutions: int, inputs: Any, codes: Any, tmp_path: Path
) -> None:
    deployed = Deployed(settled(arch, normals, inputs))
    path = tmp_path / "model.onnx"
    export_onnx(deployed, path, SIZE, CLASSES, load_sensor("depth"))
    assert verify_fp32(deployed, path, CLASSES, codes, SIZE).top1_agreement == 1
    model = onnx.load(str(path))
    kinds = [node.op_type for node in model.graph.node]
    assert kinds.count("Conv") == convolutions
    assert (
        "BatchNormalization" not in kinds
    )  # INT8 sees no layer of its own between convolution and activation
    reference = answers(path, inputs)
    spread = reference.std()

    write_fp16(path, tmp_path / "fp16.onnx")
    assert np.abs(answers(tmp_path / "fp16.onnx", inputs) - reference).max() < 0.3 * spread
    ranges = calibrate(path, inputs, "minmax").ranges
    for form in FORMS:
        onnx.save_model(quantise(path, ranges, form), tmp_path / f"{form}.onnx")
        eight = answers(tmp_path / f"{form}.onnx", inputs)
        assert np.isfinite(eight).all()
        assert not np.array_equal(eight, reference)
        # All layers back in float: what is left of eight bits are the engine form's residual additions.
        onnx.save_model(quantise(path, ranges, form, layers(model)), tmp_path / f"{form}-float.onnx")
        near = np.abs(answers(tmp_path / f"{form}-float.onnx", inputs) - reference).max()
        assert near <= (
            1e-4 * spread if form == "int8-cpu" else max(np.abs(eight - reference).max(), 0.3 * spread)
        )


@pytest.mark.parametrize(
    "arch",
    ["efficientnet_b0", "regnet_y_400mf", "resnext50_32x4d"],
)
def test_every_family_passes_the_check_against_torch(
    arch: str, inputs: Any, codes: Any, tmp_path: Path
) -> None:
    """Of random weights, whose batch norms magnify rounding: of efficientnet_b0 torch's own float32 is off by 1e-3."""
    deployed = Deployed(settled(arch, False, inputs))
    path = tmp_path / "model.onnx"
    export_onnx(deployed, path, SIZE, CLASSES, load_sensor("depth"))
    result = verify_fp32(deployed, path, CLASSES, codes, SIZE)
    assert result.max_logit_difference < 1e-2 * result.max_logit
