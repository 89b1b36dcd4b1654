"""Graphs that TensorRT does not take, full disks, Ctrl-C and damage: what is said, and what is left intact."""

from __future__ import annotations

import os
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tgkt_edge.bundle.bundle import MODEL_FILES, Bundle
from tgkt_edge.bundle.engine_metadata import Here, sidecar_path
from tgkt_edge.bundle.engines import fitting, plans, read_plan
from tgkt_edge.errors import BundleError, IncompatibleError, TgktEdgeError, UsageError
from tgkt_edge.io.atomic import sha256_of
from tgkt_edge.sensor import PRESETS
from tgkt_edge.trt.build import build_plan
from tgkt_edge.trt.options import BuildOptions
from tgkt_edge.trt.write import build_plans

pytestmark = pytest.mark.usefixtures("rtx")

ADA = Here("tensorrt_rtx", None, "8.9", "NVIDIA GeForce RTX 4090", "x86_64")


def copy(bundle: Bundle, path: Path) -> Bundle:
    """A bundle that a test may damage."""
    shutil.copytree(bundle.path, path)
    return Bundle.open(path)


def altered(bundle: Bundle, change: Callable[[onnx.ModelProto], None], precision: str = "int8") -> Bundle:
    """The bundle with another graph in the place of one, properly named in its manifest."""
    path = bundle.path / MODEL_FILES[precision]
    model = onnx.load(str(path))
    change(model)
    path.write_bytes(model.SerializeToString())
    return bundle.write()


ADA_ONLY = BuildOptions(target_sm=("89",), level=0)


def test_a_node_that_tensorrt_does_not_know_is_named(full: tuple[Bundle, list[str]], tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        node = next(n for n in model.graph.node if n.op_type == "Relu")
        node.op_type, node.name = "Sharpen", "layer1/sharpen"

    bundle = altered(copy(full[0], tmp_path / "bundle"), change)
    with pytest.raises(IncompatibleError) as caught:
        build_plans(bundle.path, ["int8"], ADA_ONLY)
    for text in ("model.int8.onnx (opset 18)", "node 'layer1/sharpen' (Sharpen)", "`engine=onnxruntime`"):
        assert text in str(caught.value)


def test_a_graph_with_a_hole_is_refused_by_its_node(full: tuple[Bundle, list[str]], tmp_path: Path) -> None:
    def change(model: onnx.ModelProto) -> None:
        node = next(n for n in model.graph.node if n.op_type == "Relu")
        node.input[0], node.name = "nowhere", "dangling"

    bundle = altered(copy(full[0], tmp_path / "bundle"), change)
    with pytest.raises(IncompatibleError, match=r"node 'dangling' \(Relu\): invalid graph"):
        build_plans(bundle.path, ["int8"], ADA_ONLY)


def test_a_newer_opset_than_tensorrt_parses_is_refused(
    full: tuple[Bundle, list[str]], tmp_path: Path
) -> None:
    def change(model: onnx.ModelProto) -> None:
        model.opset_import[0].version = 27

    bundle = altered(copy(full[0], tmp_path / "bundle"), change)
    with pytest.raises(IncompatibleError, match="opset 27; TensorRT reads up to 25"):
        build_plans(bundle.path, ["int8"], ADA_ONLY)


def test_a_truncated_onnx_is_refused(full: tuple[Bundle, list[str]], tmp_path: Path) -> None:
    bundle = copy(full[0], tmp_path / "bundle")
    path = bundle.model("int8")
    path.write_bytes(path.read_bytes()[:-10000])
    with pytest.raises(BundleError, match="truncated"):
        build_plans(bundle.path, ["int8"], ADA_ONLY)
    with pytest.raises(IncompatibleError, match="no ONNX file, or a damaged one"):
        build_plans(bundle.write().path, ["int8"], ADA_ONLY)


def test_a_graph_of_another_precision_is_refused(full: tuple[Bundle, list[str]], tmp_path: Path) -> None:
    bundle = copy(full[0], tmp_path / "bundle")
    shutil.copy(bundle.model("fp32"), bundle.path / MODEL_FILES["fp16"])
    with pytest.raises(IncompatibleError, match=r"is to be fp16, but .* none is \(55 fp32\)"):
        build_plans(bundle.write().path, ["fp16"], ADA_ONLY)


def test_a_graph_of_another_task_is_refused(full: tuple[Bundle, list[str]], tmp_path: Path) -> None:
    with pytest.raises(IncompatibleError, match=r"is no graph of this bundle.*\[-1, 1, 64, 64\]"):
        build_plan(full[0].model("int8"), "int8", 64, ADA_ONLY)


def tiny(path: Path) -> Bundle:
    """A bundle of one linear layer; builds at once."""
    path.mkdir(parents=True)
    weight = numpy_helper.from_array(np.ones((16, 2), np.float32), "w")
    nodes = [
        helper.make_node("Flatten", ["frame"], ["flat"]),
        helper.make_node("MatMul", ["flat", "w"], ["logits"], name="head"),
        helper.make_node("Softmax", ["logits"], ["probabilities"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tiny",
        [helper.make_tensor_value_info("frame", TensorProto.FLOAT, ["N", 1, 4, 4])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2])
            for name in ("logits", "probabilities")
        ],
        [weight],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save_model(model, path / "model.onnx")
    return Bundle(path=path, classes=("a", "b"), sensor=PRESETS["depth"], size=4).write()


def test_what_tensorrt_cannot_build_is_said_in_its_words(tmp_path: Path) -> None:
    with pytest.raises(IncompatibleError, match=r"could not build .*model\.onnx: .*Turing.*not supported"):
        build_plans(tiny(tmp_path / "bundle").path, options=BuildOptions(target_sm=("75",)))


@contextmanager
def largest_file(size: int) -> Iterator[None]:
    """No file of this process can grow beyond ``size`` bytes: writing fails as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def snapshot(path: Path) -> dict[str, str]:
    return {str(file.relative_to(path)): sha256_of(file) for file in path.rglob("*") if file.is_file()}


@pytest.mark.parametrize("room", [100, 10_000])
def test_a_disk_that_is_full_leaves_the_earlier_plan(tmp_path: Path, room: int) -> None:
    bundle = build_plans(tiny(tmp_path / "bundle").path, options=ADA_ONLY)
    before = snapshot(bundle.path)
    assert len(before) == 4
    (plan,) = plans(bundle)
    assert plan.header.bytes > 10_000
    with largest_file(room), pytest.raises(TgktEdgeError, match=r"cannot write .*: File too large"):
        build_plans(bundle.path, options=ADA_ONLY)
    assert snapshot(bundle.path) == before


def test_ctrl_c_ends_a_build_and_leaves_the_earlier_plan(tmp_path: Path) -> None:
    bundle = build_plans(tiny(tmp_path / "bundle").path, options=ADA_ONLY)
    before, handler = snapshot(bundle.path), signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        build_plans(bundle.path, options=ADA_ONLY, progress=lambda *step: os.kill(os.getpid(), signal.SIGINT))
    assert signal.getsignal(signal.SIGINT) is handler
    assert snapshot(bundle.path) == before


def test_a_terminal_that_is_gone_does_not_end_a_build(tmp_path: Path) -> None:
    calls = []

    def fails(*step: Any) -> None:
        calls.append(step)
        raise BrokenPipeError

    bundle = build_plans(tiny(tmp_path / "bundle").path, options=ADA_ONLY, progress=fails)
    assert len(plans(bundle)) == len(calls) == 1


def test_precisions_that_cannot_be_built_are_refused_first(tmp_path: Path) -> None:
    bundle = tiny(tmp_path / "bundle")
    with pytest.raises(
        UsageError, match="`precisions=int8-cpu`: it is made for ONNX Runtime on CPUs; plans are fp32"
    ):
        build_plans(bundle.path, ["int8-cpu"], ADA_ONLY)
    with pytest.raises(UsageError, match="`precisions=fp4`; plans are fp32"):
        build_plans(bundle.path, ["fp4"], ADA_ONLY)
    with pytest.raises(BundleError, match="holds no fp16 model to build from; it has: fp32"):
        build_plans(bundle.path, ["fp32", "fp16"], ADA_ONLY)
    assert not (bundle.path / "engines").exists()


# Damage


def test_a_plan_of_another_version_is_told_apart(tmp_path: Path) -> None:
    bundle = build_plans(tiny(tmp_path / "bundle").path, options=ADA_ONLY)
    (plan,) = plans(bundle)
    data = bytearray((bundle.path / plan.name).read_bytes())
    data[25] -= 1
    (bundle.path / plan.name).write_bytes(data)
    edited = bundle.write()  # a manifest that vouches for it
    here = Here("tensorrt_rtx", plan.sidecar.version, "8.9", "RTX 4090", "x86_64")
    none, (reason,) = fitting(edited, "fp32", here)
    assert none == []
    assert "the plan's header says TensorRT-RTX" in reason
    with pytest.raises(BundleError, match="its sidecar says"):
        read_plan(edited, plans(edited)[0])


def test_a_truncated_plan_and_an_edited_sidecar_are_not_loaded(tmp_path: Path) -> None:
    bundle = build_plans(tiny(tmp_path / "bundle").path, options=ADA_ONLY)
    (plan,) = plans(bundle)
    whole = read_plan(bundle, plan)
    (bundle.path / plan.name).write_bytes(whole[:-100])
    with pytest.raises(BundleError, match="was altered or truncated"):
        read_plan(bundle, plan)
    none, (reason,) = fitting(bundle, "fp32", ADA)
    assert none == []
    assert "truncated?" in reason
    beside = sidecar_path(bundle.path / plan.name)
    beside.write_text(beside.read_text(encoding="utf-8").replace('"8.9"', '"8.6"'), encoding="utf-8")
    with pytest.raises(BundleError, match="was altered: its sha256"):
        plans(bundle)
