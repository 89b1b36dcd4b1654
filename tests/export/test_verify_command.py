"""``tgkt-edge verify`` on the machine it stands on, and an outside judge of the files: Polygraphy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from typer.testing import CliRunner

from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.cli.main import app
from tgkt_edge.errors import BundleError, DataError, UsageError
from tgkt_edge.evaluation.accuracy_gate import network_inputs
from tgkt_edge.evaluation.verify import check, describe, verify
from tgkt_edge.export.export import export

SIZE = 32


@pytest.fixture(scope="module")
def several(bundle: Bundle, data: Path, module_folder: Callable[[str], Path]) -> Bundle:
    """FP32, FP16 and INT8 for CPUs."""
    out = module_folder("several") / "bundle"
    return export(
        bundle.path, out, precisions=["fp16", "int8-cpu"], calibrate=data / "target", verify=False,
        calibration_method="minmax",
    )  # fmt: skip


@pytest.fixture
def edited(several: Bundle, tmp_path: Path) -> Bundle:
    """A copy whose FP16 file has its logits' weights turned round, under a manifest that agrees with it."""
    shutil.copytree(several.path, tmp_path / "edited")
    path = tmp_path / "edited" / "model.fp16.onnx"
    model = onnx.load(str(path))
    classes = {"Gemm", "MatMul"}  # for the logits, and at every place for the maps
    names = {name for node in model.graph.node if node.op_type in classes for name in node.input}
    weights = [w for w in model.graph.initializer if w.name in names and len(w.dims) == 2]
    assert len(weights) == 2
    for weight in weights:
        weight.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(weight), weight.name))
    onnx.save_model(model, path)
    return Bundle.open(tmp_path / "edited").write()


def test_every_precision_is_compared_with_fp32(several: Bundle, data: Path) -> None:
    result = verify(several.path, frames=data / "target", max_drop=0.5)
    assert result["passed"]
    assert result["frames"] == 12
    assert result["files"] == 3
    assert list(result["verification"]) == ["fp32", "fp16", "int8-cpu"]
    assert result["verification"]["fp32"]["max_logit_difference"] == 0
    assert result["verification"]["fp16"]["max_logit_difference"] > 0
    for found in result["verification"].values():
        assert found["speed"] == pytest.approx(found["ms_fp32"] / found["ms"])
    only = verify(several.path, labels=data / "target_labels.csv", precisions=["fp16"], max_drop=0.5)
    assert list(only["verification"]) == ["fp32", "fp16"]
    accuracy = only["verification"]["fp32"]["accuracy"]
    assert accuracy == only["verification"]["fp16"]["reference_accuracy"]
    assert 0 <= accuracy <= 1


def test_a_precision_that_answers_otherwise_exits_3(edited: Bundle, data: Path) -> None:
    done = CliRunner().invoke(
        app, ["verify", str(edited.path), "--frames", str(data / "target"), "--precision", "fp16", "--json"]
    )
    assert done.exit_code == 3
    result = json.loads(done.stdout)
    assert not result["passed"]
    assert not result["verification"]["fp16"]["passed"]
    assert result["verification"]["fp32"]["passed"]
    assert "fp16 did not pass on 12 real frames" in done.stderr
    check(verify(edited.path, frames=data / "target", precisions=["fp16"], max_drop=1))  # allowed: no error


def test_maps_that_contradict_the_logits_do_not_pass_whatever_is_allowed(
    several: Bundle, data: Path, tmp_path: Path
) -> None:
    shutil.copytree(several.path, tmp_path / "torn")
    path = tmp_path / "torn" / "model.fp16.onnx"
    model = onnx.load(str(path))
    gemm = next(node for node in model.graph.node if node.op_type == "Gemm")
    weight = next(w for w in model.graph.initializer if w.name == gemm.input[1])
    weight.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(weight), weight.name))
    onnx.save_model(model, path)
    torn = Bundle.open(tmp_path / "torn").write()
    result = verify(torn.path, frames=data / "target", precisions=["fp16"], max_drop=1)
    assert not result["passed"]
    assert result["verification"]["fp16"]["maps_difference"] > 0.01
    assert any("fp16: the maps of evidence do not add up to the logits" in line for line in describe(result))


def test_without_frames_it_says_that_nothing_was_compared(several: Bundle) -> None:
    done = CliRunner().invoke(app, ["verify", str(several.path), "--json"])
    assert done.exit_code == 0, done.stderr
    result = json.loads(done.stdout)
    assert (result["frames"], result["verification"]) == (0, {})
    assert set(result["engines"]) == {"fp32", "fp16", "int8-cpu"}
    assert "nothing was compared: give real frames" in done.stderr


def test_an_altered_file_is_found_whichever_precision_is_asked_for(several: Bundle, tmp_path: Path) -> None:
    shutil.copytree(several.path, tmp_path / "copy")
    path = tmp_path / "copy" / "model.int8-cpu.onnx"
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(BundleError, match=r"model.int8-cpu.onnx was altered"):
        verify(tmp_path / "copy", precisions=["fp16"])


def test_what_is_refused(several: Bundle, data: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="holds no int8 model; it has: fp32, fp16, int8-cpu"):
        verify(several.path, frames=data / "target", precisions=["int8"])
    with pytest.raises(UsageError, match="`frames` and `labels`: give one"):
        verify(several.path, frames=data / "target", labels=data / "target_labels.csv")
    with pytest.raises(UsageError, match="`max_drop=-1`: expected a share"):
        verify(several.path, max_drop=-1)
    with pytest.raises(DataError, match=r"`frames` .*does not exist"):
        verify(several.path, frames=tmp_path / "gone")


WITHOUT = """
import sys
for name in ("torch", "torchvision", "onnx", "onnxconverter_common", "onnxscript", "sklearn"):
    sys.modules[name] = None  # importing it raises ImportError, as on a device that lacks it
from tgkt_edge.cli.main import main
main()
"""


@pytest.mark.slow
def test_a_device_without_torch_and_onnx_verifies(several: Bundle, data: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT, "verify", several.path, "--frames", data / "target", "--max-drop", "0.5"],
        capture_output=True, text=True, timeout=300, check=False, env={**os.environ, "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "int8-cpu" in done.stderr
    assert "same class" in done.stderr


@pytest.mark.parametrize("precision", ["fp32", "fp16", "int8-cpu"])
def test_polygraphy_reads_and_runs_our_files(
    several: Bundle, precision: str, codes: Any, tmp_path: Path
) -> None:
    """Its loader, its ONNX Runtime runner and its comparison, on real frames, against what our engine answered."""
    pytest.importorskip("polygraphy")
    from polygraphy.backend.onnx import infer_shapes, onnx_from_path
    from polygraphy.backend.onnxrt import OnnxrtRunner, SessionFromOnnx
    from polygraphy.comparator import Comparator, RunResults, SimpleCompareFunc

    from tgkt_edge.runtime.engines.onnxruntime import OnnxRuntimeEngine
    from tgkt_edge.runtime.engines.select import open_engine

    path = str(several.model(precision))
    graph = infer_shapes(onnx_from_path(path)).graph
    assert [output.name for output in graph.output] == ["logits", "probabilities", "maps"]
    inputs = network_inputs(codes[:4], SIZE)
    feeds = [{"frame": frame[None]} for frame in inputs]
    judged: Any = Comparator.run([OnnxrtRunner(SessionFromOnnx(path))], data_loader=feeds)
    engine = open_engine(several, precision)
    ours: Any = RunResults()
    assert isinstance(engine, OnnxRuntimeEngine)
    answers = [engine.infer_maps(frame[None]) for frame in inputs]
    engine.close()
    names = ("logits", "probabilities", "maps")
    ours.add([dict(zip(names, a, strict=True)) for a in answers], runner_name="tgkt-edge")
    judged.extend(ours)
    assert len(judged) == 2
    compare = SimpleCompareFunc(atol=1e-5, rtol=1e-5)
    assert bool(Comparator.compare_accuracy(judged, compare_func=compare))
    # And it does see a difference.
    shifted: Any = RunResults()
    shifted.add(
        [dict(zip(names, (a[0] + 0.01, *a[1:]), strict=True)) for a in answers], runner_name="shifted"
    )
    judged.extend(shifted)
    assert not bool(Comparator.compare_accuracy(judged, compare_func=compare))
    assert np.isfinite(answers[0][0]).all()
