"""An ONNX file that is not the bundle's is refused before the first frame. What all engines share: trt/."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.bundles import CLASSES, SIZE, save_bundle, save_model
from tests.support.cli import run_cli
from tests.support.images import make_frames, save_frames
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.errors import BundleError, IncompatibleError, UsageError
from tgkt_edge.runtime import OnnxRuntimeEngine, open_engine


def unit(count: int, size: int = 32) -> Any:
    return np.random.default_rng(1).random((count, 1, size, size), dtype=np.float32)


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"input": "image"}, r"inputs \['image'\], expected only 'frame'"),
        ({"output": "softmax"}, r"outputs \['logits', 'softmax'\]"),
        ({"size": 48}, r"frame has shape .*48.*expected \('N', 1, 32, 32\)"),
        ({"classes": ("a", "b")}, r"logits has shape .*2.*expected \('N', 3\)"),
        ({"metadata": ("bedroom", "office", "kitchen")}, "metadata names the classes"),
    ],
)
def test_graph_that_disagrees_with_the_manifest(tmp_path: Path, changes: dict[str, Any], text: str) -> None:
    save_model(tmp_path / "model.onnx", **changes)
    with pytest.raises(IncompatibleError, match=text):
        OnnxRuntimeEngine(tmp_path / "model.onnx", SIZE, CLASSES)


def test_double_precision_graph_is_refused(tmp_path: Path) -> None:
    import onnx
    from onnx import TensorProto, helper

    info = [helper.make_tensor_value_info("frame", TensorProto.DOUBLE, ["N", 1, 32, 32])]
    outputs = [
        helper.make_tensor_value_info(name, TensorProto.DOUBLE, None) for name in ("logits", "probabilities")
    ]
    nodes = [
        helper.make_node("Flatten", ["frame"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    model = helper.make_model(
        helper.make_graph(nodes, "double", info, outputs),
        opset_imports=[helper.make_opsetid("", 17)],
        ir_version=9,
    )
    onnx.save_model(model, tmp_path / "model.onnx")
    with pytest.raises(IncompatibleError, match=r"frame is tensor\(double\), expected tensor\(float\)"):
        OnnxRuntimeEngine(tmp_path / "model.onnx", SIZE, CLASSES)


@pytest.mark.parametrize("content", [b"", b"not an onnx file", None])
def test_file_that_is_no_onnx(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "model.onnx"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(IncompatibleError, match=r"model\.onnx cannot be loaded by ONNX Runtime"):
        OnnxRuntimeEngine(path, SIZE, CLASSES)


def test_unknown_provider_is_refused(depth_bundle: Bundle) -> None:
    with pytest.raises(UsageError, match=r"no 'NoExecutionProvider'; it has: .*CPUExecutionProvider"):
        OnnxRuntimeEngine(
            depth_bundle.model(), depth_bundle.size, depth_bundle.classes, providers=["NoExecutionProvider"]
        )


def test_one_thread_gives_the_same_classes(depth_bundle: Bundle) -> None:
    one = OnnxRuntimeEngine(depth_bundle.model(), depth_bundle.size, depth_bundle.classes, threads=1)
    many = open_engine(depth_bundle)
    np.testing.assert_allclose(one.infer(unit(2))[0], many.infer(unit(2))[0], rtol=1e-5, atol=1e-6)


def test_open_engine_refuses_what_does_not_exist(depth_bundle: Bundle) -> None:
    with pytest.raises(
        UsageError, match="`engine=tensorflow`: unknown; expected one of auto, tensorrt, cuda, cpu"
    ):
        open_engine(depth_bundle, engine="tensorflow")
    with pytest.raises(BundleError, match="holds no fp16 model; it has: fp32"):
        open_engine(depth_bundle, "fp16")
    assert open_engine(depth_bundle, "auto").name == "onnxruntime, CPU"


@pytest.mark.slow
def test_altered_model_exits_4(tmp_path: Path) -> None:
    bundle = save_bundle(tmp_path / "bundle")
    save_frames(tmp_path / "frames", make_frames(1))
    model = bundle.path / "model.onnx"
    data = bytearray(model.read_bytes())
    data[len(data) // 2] ^= 1
    model.write_bytes(data)
    done = run_cli("run", bundle.path, "--camera", tmp_path / "frames")
    assert done.code == 4
    assert done.records == []
    assert "was altered" in done.stderr
