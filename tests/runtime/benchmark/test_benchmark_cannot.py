"""Rows that cannot run say why, the others run; and what is refused before anything is measured."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest

from tests.support.cli import cli_environment
from tgkt_edge.benchmark.command import benchmark
from tgkt_edge.benchmark.report import check
from tgkt_edge.bundle.bundle import MODEL_FILES, Bundle
from tgkt_edge.errors import TgktEdgeError
from tgkt_edge.trt import library as trt
from tgkt_edge.trt.options import BuildOptions
from tgkt_edge.trt.write import build_plans

Measure = Callable[..., Any]
Without = Callable[..., dict[str, str]]


@pytest.mark.slow
def test_a_row_that_does_not_load_says_why_and_the_others_run(measure: Measure, bundle: Bundle) -> None:
    (bundle.path / MODEL_FILES["fp16"]).write_bytes(b"no graph")
    Bundle.open(bundle.path).write()
    done = measure("--engine", "cpu")
    assert done.code == 0, done.stderr
    rows = done.rows
    assert [rows[p, "cpu", 1]["ran"] for p in ("fp32", "fp16", "int8-cpu")] == [True, False, True]
    broken = rows["fp16", "cpu", 1]
    assert broken["exit_code"] == 4
    assert "model.fp16.onnx cannot be loaded by ONNX Runtime" in broken["why"]
    assert (broken["ms"], broken["speed"], broken["calls"]) == (None, None, 0)
    assert "cannot run: fp16 on cpu, batch 1: " in done.stderr


@pytest.mark.slow
def test_a_batch_that_the_graph_does_not_take_says_so(measure: Measure, bundle: Bundle) -> None:
    model = onnx.load(str(bundle.model("fp16")))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save_model(model, bundle.path / MODEL_FILES["fp16"])
    Bundle.open(bundle.path).write()
    done = measure("--engine", "cpu", "--precision", "fp16", "--batch", "1", "--batch", "4")
    assert done.code == 0, done.stderr
    rows = done.rows
    assert rows["fp16", "cpu", 1]["ran"]
    assert rows["fp32", "cpu", 4]["ran"]
    assert not rows["fp16", "cpu", 4]["ran"]
    assert "inference failed" in rows["fp16", "cpu", 4]["why"]
    assert "invalid dimensions for input: frame" in rows["fp16", "cpu", 4]["why"]
    assert "cannot run: fp16 on cpu, batch 4: " in done.stderr


@pytest.mark.slow
def test_without_a_library_every_row_says_so_and_it_is_exit_6(measure: Measure, without: Without) -> None:
    done = measure(
        "--engine",
        "cpu",
        **without("onnxruntime"),
    )
    assert done.code == 6, done.stderr
    result = done.result
    assert {row["exit_code"] for row in result["rows"]} == {6}
    assert all("needs the Python package 'onnxruntime'" in row["why"] for row in result["rows"])
    assert "none of 3 rows could run here" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.slow
def test_an_engine_that_crashes_takes_only_its_row_with_it(measure: Measure, tmp_path: Path) -> None:
    package = tmp_path / "crash" / "onnxruntime"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    path = f"{package.parent}:{cli_environment()['PYTHONPATH']}"
    done = measure("--engine", "cpu", PYTHONPATH=path)
    assert done.code == 1
    assert {row["why"] for row in done.result["rows"]} == {"its process crashed with SIGSEGV"}


@pytest.mark.slow
def test_a_plan_that_does_not_load_here_says_why(measure: Measure, bundle: Bundle, rtx: trt.TensorRt) -> None:
    build_plans(bundle.path, ["fp32"], BuildOptions(target_sm=("89",), level=0))
    done = measure("--engine", "tensorrt", "--engine", "cpu")
    assert done.code == 0, done.stderr
    rows = done.rows
    assert rows["fp32", "cpu", 1]["ran"]
    assert "no fp32 plan of" in rows["fp32", "tensorrt", 1]["why"]
    assert "engines/fp32-sm89" in rows["fp32", "tensorrt", 1]["why"]
    assert "holds no fp16 plan" in rows["fp16", "tensorrt", 1]["why"]
    assert "is made for ONNX Runtime on CPUs" in rows["int8-cpu", "tensorrt", 1]["why"]
    alone = measure("--engine", "tensorrt")
    assert alone.code == 4
    assert "none of 3 rows could run here" in alone.stderr


@pytest.mark.slow
def test_a_damaged_bundle_is_exit_4_whatever_is_asked_for(measure: Measure, bundle: Bundle) -> None:
    path = bundle.path / MODEL_FILES["int8-cpu"]
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    done = measure("--precision", "fp16")
    assert done.code == 4
    assert "model.int8-cpu.onnx was altered" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--precision", "int8"], 4, "holds no int8 model; it has: fp32, fp16, int8-cpu"),
        (["--engine", "tflite"], 2, "--engine tflite: unknown; expected one of auto, "),
        (["--batch", "0"], 2, "--batch 0: expected at least 1"),
        (["--rounds", "0"], 2, "--rounds 0: expected at least 1"),
        (["--threads", "0"], 2, "--threads 0: expected at least 1"),
        (["--seconds", "0"], 2, "--seconds 0: expected more than 0"),
        (["--seconds", "nan"], 2, "--seconds nan: expected more than 0"),
        (["--frames", "nowhere"], 2, "--frames nowhere: does not exist"),
        (
            ["--json", "nowhere/result.json"],
            2,
            "--json nowhere/result.json: expected a file in a folder that exists",
        ),
    ],
)
def test_what_is_refused_before_anything_is_measured(
    measure: Measure, arguments: list[str], code: int, message: str
) -> None:
    done = measure(*arguments)
    assert done.code == code, done.stderr
    assert message in done.stderr
    assert "loading" not in done.stderr


def test_a_machine_without_memory_loads_nothing_and_says_so(bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / "root" / "proc").mkdir(parents=True)
    (tmp_path / "root" / "proc" / "meminfo").write_text("MemAvailable: 102400 kB\n")
    result = benchmark([bundle.path], engines=["cpu"], root=tmp_path / "root")
    for row in result["rows"]:
        assert row["why"].startswith("only 100 MiB of memory are free here, about 200 are needed")
    with pytest.raises(TgktEdgeError, match="none of 3 rows could run here") as caught:
        check(result)
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    ("codes", "code"),
    [([6, 6], 6), ([6, 4], 4), ([2, 6], 6), ([2, 2], 2), ([1, 2], 2), ([1], 1), ([0, 6], None)],
)
def test_the_exit_code_when_nothing_ran(codes: list[int], code: int | None) -> None:
    result = {
        "bundles": [{"path": "b"}],
        "interrupted": False,
        "rows": [{"ran": c == 0, "exit_code": c} for c in codes],
    }
    if code is None:
        check(result)
        return
    with pytest.raises(TgktEdgeError) as caught:
        check(result)
    assert caught.value.exit_code == code
