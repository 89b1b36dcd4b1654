"""TensorRT-RTX really builds plans of the real ResNet-50 graph here; it needs no GPU for that, only to run them."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tgkt_edge.bundle.bundle import MODEL_FILES, Bundle
from tgkt_edge.bundle.engine_metadata import Here, Profile
from tgkt_edge.bundle.engines import Plan, fitting, plans, read_plan
from tgkt_edge.cli.main import app
from tgkt_edge.export.export import export
from tgkt_edge.io.atomic import sha256_of
from tgkt_edge.trt import library as trt
from tgkt_edge.trt.messages import make_logger
from tgkt_edge.trt.options import BuildOptions
from tgkt_edge.trt.write import build_plans

ADA = Here("tensorrt_rtx", None, "8.9", "NVIDIA GeForce RTX 4090", "x86_64")
SIZE = 32


pytestmark = pytest.mark.usefixtures("rtx")


@dataclass(frozen=True)
class BuiltPlans:
    bundle: Bundle
    plans: dict[str, Plan]
    messages: list[str]
    progress: list[tuple[str, int, int]]


@pytest.fixture(scope="module")
def built(full: tuple[Bundle, list[str]], module_folder: Callable[[str], Path]) -> BuiltPlans:
    """Plans of all three precisions. Tests only read it."""
    path = module_folder("plans") / "bundle"
    shutil.copytree(full[0].path, path)
    messages: list[str] = []
    progress: list[tuple[str, int, int]] = []
    options = BuildOptions(target_sm=("89",), profile=Profile(1, 4, 8), level=2, workspace_mib=512)
    bundle = build_plans(
        path, options=options, say=messages.append, progress=lambda *step: progress.append(step)
    )
    return BuiltPlans(bundle, {plan.sidecar.asked: plan for plan in plans(bundle)}, messages, progress)


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
            "logits": {"dtype": "fp32", "shape": [-1, 6]},
            "probabilities": {"dtype": "fp32", "shape": [-1, 6]},
            "maps": {"dtype": "fp32", "shape": [-1, 6, 1, 1]},
        }
        assert sidecar.build.items() >= {"optimisation": 2, "workspace_mib": 512, "tf32": False}.items()
        assert len(read_plan(bundle, plan)) == header.bytes
    assert built.plans["int8"].sidecar.calibration["frames"] == 12
    assert built.plans["fp16"].sidecar.calibration is None


def test_layers_have_the_precision_that_was_asked_for(built: BuiltPlans) -> None:
    """53 convolutions, two linear layers folded into one, and that at every place for the maps; int8 keeps its first
    layer and both of these in float."""
    found = {name: plan.sidecar.precision["network"] for name, plan in built.plans.items()}
    assert found["fp32"] == {"fp32": 55}
    assert found["fp16"] == {"fp16": 55}
    assert found["int8"] == {"int8": 52, "fp32": 3}
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
    assert fitting(built.bundle, "int8", ada) == ([plan], [])
    other = Here("tensorrt_rtx", "1.9.0.10", "12.0", "RTX 5090", "x86_64")
    found, reasons = fitting(built.bundle, "int8", other)
    assert found == []
    assert "needs that version; here is 1.9.0.10" in reasons[0]
    assert "built for compute capability 8.9, the GPU here is RTX 5090" in reasons[0]


def test_progress_runs_from_nothing_to_all_for_each_plan(built: BuiltPlans) -> None:
    starts = [step for step in built.progress if step[1] == 0]
    ends = [step for step in built.progress if step[1] == step[2]]
    assert len(starts) == len(ends) == 3
    assert all(0 <= done <= total for _, done, total in built.progress)
    assert sum("building with TensorRT-RTX" in line for line in built.messages) == 3


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
    summary, building = "precision  against", "fp16: building with TensorRT-RTX"
    assert done.stderr.count(summary) == 1  # the bundle is there, whatever becomes of its plans
    assert done.stderr.index(summary) < done.stderr.index(building)
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
