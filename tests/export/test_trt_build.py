"""TensorRT-RTX really builds plans of the real ResNet-50 graph here; it needs no GPU for that, only to run them."""

from __future__ import annotations

import dataclasses
import os
import resource
import shutil
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from tgkt_edge import trt
from tgkt_edge.bundle import MODEL_FILES, Bundle
from tgkt_edge.cli import app
from tgkt_edge.engines import Plan, fitting, plans, read_plan
from tgkt_edge.errors import BundleError, IncompatibleError, MissingDependency, TgktEdgeError, UsageError
from tgkt_edge.export.export import export
from tgkt_edge.files import sha256_of
from tgkt_edge.sensor import PRESETS
from tgkt_edge.sidecar import Here, Profile, sidecar_path
from tgkt_edge.trt_builder.build import build_plan
from tgkt_edge.trt_builder.flavours import BuildOptions
from tgkt_edge.trt_builder.monitor import make_logger
from tgkt_edge.trt_builder.write import build_plans

ADA = Here("tensorrt_rtx", None, "8.9", "NVIDIA GeForce RTX 4090", "x86_64")
SIZE = 32


@pytest.fixture(scope="module", autouse=True)
def rtx() -> trt.TensorRt:
    try:
        found = trt.find()
    except MissingDependency as error:
        pytest.skip(str(error))
    if found.flavour != "tensorrt_rtx":
        pytest.skip(f"{found.text} is installed here; these tests build for GPUs that are not here")
    return found


@dataclass(frozen=True)
class BuiltPlans:
    bundle: Bundle
    plans: dict[str, Plan]
    said: list[str]
    progress: list[tuple[str, int, int]]


@pytest.fixture(scope="module")
def built(full: tuple[Bundle, list[str]], tmp_path_factory: pytest.TempPathFactory) -> Iterator[BuiltPlans]:
    """Plans of all three precisions. Tests only read it."""
    path = tmp_path_factory.mktemp("plans") / "bundle"
    shutil.copytree(full[0].path, path)
    said: list[str] = []
    progress: list[tuple[str, int, int]] = []
    options = BuildOptions(target_sm=("89",), profile=Profile(1, 4, 8), level=2, workspace_mib=512)
    bundle = build_plans(path, options=options, say=said.append, progress=lambda *step: progress.append(step))
    yield BuiltPlans(bundle, {plan.sidecar.asked: plan for plan in plans(bundle)}, said, progress)
    shutil.rmtree(path)


def copy(bundle: Bundle, path: Path) -> Bundle:
    """A bundle that a test may damage."""
    shutil.copytree(bundle.path, path)
    return Bundle.open(path)


def test_every_precision_but_that_for_cpus_becomes_a_plan(built: BuiltPlans, rtx: trt.TensorRt) -> None:
    assert set(built.plans) == {"fp32", "fp16", "int8"}
    bundle = Bundle.open(built.bundle.path)
    for precision, plan in built.plans.items():
        header, sidecar = plan.header, plan.sidecar
        assert (header.flavour, header.version_text) == ("tensorrt_rtx", rtx.version)
        assert sidecar.version == header.version_text
        assert sidecar.plan == {"sha256": sha256_of(bundle.path / plan.name), "bytes": header.bytes}
        assert sidecar.onnx["file"] == MODEL_FILES[precision]
        assert sidecar.onnx["sha256"] == sha256_of(bundle.model(precision))
        assert sidecar.onnx["opset"] == 18
        assert (sidecar.compute_capabilities, sidecar.device) == (("8.9",), None)
        assert sidecar.profile == Profile(1, 4, 8)
        assert sidecar.inputs == {"frame": {"dtype": "fp32", "shape": [-1, 1, SIZE, SIZE]}}
        assert sidecar.outputs == {
            name: {"dtype": "fp32", "shape": [-1, 6]} for name in ("logits", "probabilities")
        }
        assert sidecar.build.items() >= {"optimisation": 2, "workspace_mib": 512, "tf32": False}.items()
        assert len(read_plan(bundle, plan)) == header.bytes
    assert built.plans["int8"].sidecar.calibration["frames"] == 12
    assert built.plans["fp16"].sidecar.calibration is None


def test_layers_have_the_precision_that_was_asked_for(built: BuiltPlans) -> None:
    """53 convolutions and two linear layers folded into one; int8 keeps its first and last layer in float."""
    found = {name: plan.sidecar.precision["network"] for name, plan in built.plans.items()}
    assert found["fp32"] == {"fp32": 54}
    assert found["fp16"] == {"fp16": 54}
    assert found["int8"] == {"int8": 52, "fp32": 2}
    for plan in built.plans.values():
        assert plan.sidecar.precision["engine"] is None
        assert plan.sidecar.precision["proven"] is False  # the inspector would need the GPU
    size = {name: plan.header.bytes for name, plan in built.plans.items()}
    assert size["int8"] < 0.4 * size["fp32"]
    assert size["fp16"] < 0.6 * size["fp32"]


def test_tensorrt_itself_knows_its_plans_by_their_headers(built: BuiltPlans) -> None:
    """Its check of a header gets, without a GPU, as far as asking for one; what is no plan it refuses before."""
    log, errors = make_logger()
    runtime: Any = trt.Runtime(log)
    data = read_plan(built.bundle, built.plans["int8"])
    _, complaints = runtime.get_engine_validity(data)
    assert complaints == 0
    assert all("GPU" in line for line in errors.lines)
    _, complaints = runtime.get_engine_validity(b"none" + data[4:])
    assert complaints != 0


def test_a_machine_takes_the_plan_that_was_built_for_it(built: BuiltPlans) -> None:
    plan = built.plans["int8"]
    ada = dataclasses.replace(ADA, version=plan.header.version_text)
    assert fitting(built.bundle, "int8", ada) == (plan, [])
    other = Here("tensorrt_rtx", "1.9.0.10", "12.0", "RTX 5090", "x86_64")
    found, reasons = fitting(built.bundle, "int8", other)
    assert found is None
    assert "needs that version; here is 1.9.0.10" in reasons[0]
    assert "built for compute capability 8.9, the GPU here is RTX 5090" in reasons[0]


def test_progress_runs_from_nothing_to_all_for_each_plan(built: BuiltPlans) -> None:
    starts = [step for step in built.progress if step[1] == 0]
    ends = [step for step in built.progress if step[1] == step[2]]
    assert len(starts) == len(ends) == 3
    assert all(0 <= done <= total for _, done, total in built.progress)
    assert sum("building with TensorRT-RTX" in line for line in built.said) == 3


def test_a_plan_is_replaced_by_the_next_for_the_same_gpus_only(built: BuiltPlans, tmp_path: Path) -> None:
    bundle = copy(built.bundle, tmp_path / "bundle")
    stray = bundle.path / "engines" / "int8-sm89-00000000.plan"
    stray.write_bytes(b"left by a build that was killed")
    (bundle.path / "engines" / "mine.plan").write_bytes(b"not ours")
    two = BuildOptions(target_sm=("86", "120"), profile=Profile(2, 2, 2))
    both = build_plans(bundle.path, ["int8"], two)
    assert {plan.sidecar.compute_capabilities for plan in plans(both, "int8")} == {("8.9",), ("8.6", "12.0")}
    assert not stray.exists()
    assert (bundle.path / "engines" / "mine.plan").exists()
    again = build_plans(bundle.path, ["int8"], BuildOptions(target_sm=("89",), profile=Profile(1, 1, 1)))
    profiles = {plan.sidecar.compute_capabilities: plan.sidecar.profile for plan in plans(again, "int8")}
    assert profiles == {("8.9",): Profile(1, 1, 1), ("8.6", "12.0"): Profile(2, 2, 2)}
    assert sorted(file.name for file in (bundle.path / "engines").iterdir() if file.name != "mine.plan") == (
        sorted(Path(name).name for name in again.files if name.startswith("engines/"))
    )


# What does not work


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
    for text in ("model.int8.onnx (opset 18)", "node 'layer1/sharpen' (Sharpen)", "--engine onnxruntime"):
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
    with pytest.raises(IncompatibleError, match=r"is to be fp16, but .* none is \(54 fp32\)"):
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
    with pytest.raises(UsageError, match="int8-cpu: it is made for ONNX Runtime on CPUs; plans are fp32"):
        build_plans(bundle.path, ["int8-cpu"], ADA_ONLY)
    with pytest.raises(UsageError, match="fp4; plans are fp32"):
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
    assert none is None
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
    assert none is None
    assert "truncated?" in reason
    beside = sidecar_path(bundle.path / plan.name)
    beside.write_text(beside.read_text(encoding="utf-8").replace('"8.9"', '"8.6"'), encoding="utf-8")
    with pytest.raises(BundleError, match="was altered: its sha256"):
        plans(bundle)


# From a run


def test_a_run_becomes_a_bundle_with_plans_in_one_command(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    done = CliRunner().invoke(
        app, ["export", str(run), "-o", str(out), "--precision", "fp16", "--trt", "--target-sm", "89"]
    )
    assert done.exit_code == 0, done.output
    bundle = Bundle.open(out)
    assert bundle.precisions == ("fp32", "fp16")
    assert [plan.sidecar.asked for plan in plans(bundle)] == ["fp16"]
    assert "fp16: building with TensorRT-RTX" in done.stderr
    (plan,) = plans(bundle)
    more = export(out, tmp_path / "more")  # a bundle's plans are taken over
    assert more.files[plan.name] == bundle.files[plan.name]
    assert read_plan(more, plans(more)[0]) == read_plan(bundle, plan)


def test_a_build_that_cannot_be_is_refused_before_the_export(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    done = CliRunner().invoke(app, ["export", str(run), "-o", str(out), "--trt", "--target-sm", "33"])
    assert done.exit_code == 2
    assert "--target-sm 33: TensorRT-RTX" in done.stderr
    assert not out.exists()
