"""``tgkt-edge benchmark`` as a process: the table, the JSON, rows that cannot run, Ctrl-C, and what it does without."""

from __future__ import annotations

import json
import shutil
import signal
import statistics
import subprocess
import threading
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from tgkt_edge import trt
from tgkt_edge.benchmark.command import engine_names, synthetic
from tgkt_edge.benchmark.worker import Row, batches, padded
from tgkt_edge.bundle import MODEL_FILES, Bundle
from tgkt_edge.errors import UsageError
from tgkt_edge.runtime import ENGINES
from tgkt_edge.runtime.engine import Answer
from tgkt_edge.sensor import PRESETS, SensorSpec
from tgkt_edge.trt_builder.flavours import BuildOptions
from tgkt_edge.trt_builder.write import build_plans

QUICK = ("--seconds", "0.2", "--rounds", "4", "--threads", "1")


def turned(path: Path, out: Path) -> None:
    """The same graph with the logits' weights turned round, so that it gives other classes."""
    model = onnx.load(str(path))
    weight = next(w for w in model.graph.initializer if w.name == "matrix")
    weight.CopyFrom(onnx.numpy_helper.from_array(-onnx.numpy_helper.to_array(weight), weight.name))
    onnx.save_model(model, out)


@pytest.fixture
def bundle(kit: Any, tmp_path: Path) -> Bundle:
    """fp16 is the very same graph as fp32, int8-cpu gives other classes."""
    path = kit.save_bundle(tmp_path / "bundle").path
    shutil.copy(path / MODEL_FILES["fp32"], path / MODEL_FILES["fp16"])
    turned(path / MODEL_FILES["fp32"], path / MODEL_FILES["int8-cpu"])
    return Bundle.open(path).write()


@pytest.fixture
def labels(kit: Any, tmp_path: Path) -> Path:
    """Nine labelled frames."""
    folder = kit.save_frames(tmp_path / "labelled", kit.make_frames(9))
    lines = [f"labelled/frame_{i}.png,{kit.classes[i % 3]}" for i in range(9)]
    path = tmp_path / "labels.csv"
    path.write_text("\n".join(["frame,label", *lines]) + "\n", encoding="utf-8")
    assert folder.is_dir()
    return path


def by_row(result: dict[str, Any]) -> dict[tuple[str, str, int], dict[str, Any]]:
    return {(row["precision"], row["engine"], row["batch"]): row for row in result["rows"]}


def test_every_precision_and_batch_is_a_row_and_labels_give_accuracy(
    kit: Any, bundle: Bundle, labels: Path
) -> None:
    done = kit.run_cli(
        "benchmark", bundle.path, "--engine", "cpu", "--batch", "2", "--batch", "1", "--labels", labels, *QUICK,
        "--json", "-",
    )  # fmt: skip
    assert done.code == 0, done.stderr
    (result,) = done.records
    rows = by_row(result)
    assert set(rows) == {(p, "cpu", b) for p in ("fp32", "fp16", "int8-cpu") for b in (1, 2)}
    assert result["frames"] == {"kind": "labelled", "count": 9}
    answers = kit.run_cli("evaluate", bundle.path, "--data", labels, "--json").records[0]
    for (precision, _, batch), row in rows.items():
        assert row["ran"]
        assert row["why"] is None
        assert row["name"] == "onnxruntime, CPU"
        assert len(row["round_medians_ms"]) == 4
        ms = row["ms"]
        assert 0 < ms["min"] <= ms["median"] <= ms["p90"] <= ms["p99"] <= ms["max"]
        assert row["frames_per_second"] <= 1000 * batch / ms["min"]
        assert row["frames_per_second"] >= 1000 * batch / ms["max"]
        assert row["load_s"] > 0
        assert row["memory"]["resident"] > 2**20  # ONNX Runtime alone is more than a MiB
        assert row["memory"]["peak"] >= row["memory"]["resident"]
        assert row["speed"] == pytest.approx(rows["fp32", "cpu", batch]["ms"]["median"] / ms["median"])
        assert row["agreement"]["against"] == "fp32 on cpu, batch 2"
        assert row["agreement"]["frames"] == 9
        if precision != "int8-cpu":
            assert row["agreement"]["top1_agreement"] == 1
            assert row["accuracy"] == pytest.approx(answers["models"]["target"]["accuracy"])
        else:
            assert row["agreement"]["top1_agreement"] < 1
    assert "same class: on 9 labelled frames, as fp32 on cpu, batch 2" in done.stderr


def test_the_table_has_a_line_a_row_and_says_what_was_not_measured(
    kit: Any, bundle: Bundle, tmp_path: Path
) -> None:
    out = tmp_path / "result.json"
    done = kit.run_cli(
        "benchmark", bundle.path, "--engine", "cpu", "--precision", "fp16", *QUICK, "--json", out
    )
    assert done.code == 0, done.stderr
    assert done.records == []
    lines = done.stderr.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("precision "))
    names = (
        "precision engine batch median p90 p99 frames/s speed load memory GPU same class accuracy stability"
    )
    assert lines[start].split() == names.split()
    assert [line.split()[:3] for line in lines[start + 1 : start + 3]] == [
        ["fp32", "cpu", "1"],
        ["fp16", "cpu", "1"],
    ]
    assert (
        "timed on 8 synthetic frames of the bundle's sensor; agreement and accuracy were not measured"
        in done.stderr
    )
    assert any(line.startswith("before: ") for line in lines)
    assert any(line.startswith("after: ") for line in lines)
    result = json.loads(out.read_text(encoding="utf-8"))
    assert result["frames"] == {"kind": "synthetic", "count": 8}
    for row in result["rows"]:
        assert row["agreement"] is None
        assert row["accuracy"] is None


def test_the_rounds_of_all_rows_take_turns(kit: Any, bundle: Bundle) -> None:
    done = kit.run_cli("benchmark", bundle.path, "--engine", "cpu", *QUICK, "--json", "-")
    (result,) = done.records
    rounds = [(began, row["precision"]) for row in result["rows"] for began in row["began_s"]]
    order = [precision for _, precision in sorted(rounds)]
    assert order == ["fp32", "fp16", "int8-cpu"] * 4
    for row in result["rows"]:
        assert row["calls"] >= 4
        assert min(row["round_medians_ms"]) <= row["ms"]["median"] <= max(row["round_medians_ms"])
        assert row["stability"]["mark"] in ("steady", "varies", "unsteady", "slowing")


def test_frames_give_agreement_and_no_accuracy(kit: Any, bundle: Bundle, tmp_path: Path) -> None:
    folder = kit.save_frames(tmp_path / "frames", kit.make_frames(7))
    done = kit.run_cli(
        "benchmark", bundle.path, "--engine", "cpu", "--batch", "3", "--frames", folder, *QUICK, "--json", "-"
    )
    assert done.code == 0, done.stderr
    rows = by_row(done.records[0])
    assert rows["fp16", "cpu", 3]["agreement"]["frames"] == 7  # the last batch was not full
    assert rows["fp16", "cpu", 3]["agreement"]["max_logit_difference"] == 0
    assert rows["int8-cpu", "cpu", 3]["agreement"]["top1_agreement"] < 1
    assert {row["accuracy"] for row in rows.values()} == {None}
    both = kit.run_cli("benchmark", bundle.path, "--frames", folder, "--labels", folder)
    assert both.code == 2
    assert "--frames and --labels: give one" in both.stderr


def test_a_row_that_does_not_load_says_why_and_the_others_run(kit: Any, bundle: Bundle) -> None:
    (bundle.path / MODEL_FILES["fp16"]).write_bytes(b"no graph")
    Bundle.open(bundle.path).write()
    done = kit.run_cli("benchmark", bundle.path, "--engine", "cpu", *QUICK, "--json", "-")
    assert done.code == 0, done.stderr
    rows = by_row(done.records[0])
    assert [rows[p, "cpu", 1]["ran"] for p in ("fp32", "fp16", "int8-cpu")] == [True, False, True]
    broken = rows["fp16", "cpu", 1]
    assert broken["exit_code"] == 4
    assert "model.fp16.onnx cannot be loaded by ONNX Runtime" in broken["why"]
    assert (broken["ms"], broken["speed"], broken["calls"]) == (None, None, 0)
    assert "cannot run: fp16 on cpu, batch 1: " in done.stderr


def test_a_batch_that_the_graph_does_not_take_says_so(kit: Any, bundle: Bundle) -> None:
    model = onnx.load(str(bundle.model("fp16")))
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1
    onnx.save_model(model, bundle.path / MODEL_FILES["fp16"])
    Bundle.open(bundle.path).write()
    done = kit.run_cli(
        "benchmark", bundle.path, "--engine", "cpu", "--batch", "1", "--batch", "4", *QUICK, "--json", "-"
    )
    assert done.code == 0, done.stderr
    rows = by_row(done.records[0])
    assert rows["fp16", "cpu", 1]["ran"]
    assert rows["fp32", "cpu", 4]["ran"]
    assert not rows["fp16", "cpu", 4]["ran"]
    assert "inference failed" in rows["fp16", "cpu", 4]["why"]
    assert "invalid dimensions for input: frame" in rows["fp16", "cpu", 4]["why"]
    assert "cannot run: fp16 on cpu, batch 4: " in done.stderr


def test_a_batch_over_a_plans_maximum_is_told_with_the_engines_words(bundle: Bundle, tmp_path: Path) -> None:
    """Plans run on GPUs only, so what they answer (see test_runtime_engine) is played here."""
    np.save(tmp_path / "inputs.npy", synthetic(bundle.sensor, bundle.size))
    row = Row({
        "bundle": str(bundle.path), "precision": "fp32", "engine": "cpu", "batch": 9, "threads": 1,
        "inputs": str(tmp_path / "inputs.npy"),
    })  # fmt: skip
    row.engine = UpTo(8)
    with pytest.raises(UsageError, match="--batch 9: batch of 9 frames: the plan takes 1 to 8"):
        row.warm_up(1)


class UpTo:
    """An engine that takes so many frames."""

    name = "limited"

    def __init__(self, most: int) -> None:
        self.most = most

    def infer(self, batch: NDArray[np.float32]) -> Answer:
        raise ValueError(f"batch of {len(batch)} frames: the plan takes 1 to {self.most}")

    def close(self) -> None:
        pass


def test_without_a_library_every_row_says_so_and_it_is_exit_6(
    kit: Any, bundle: Bundle, tmp_path: Path
) -> None:
    done = kit.run_cli(
        "benchmark",
        bundle.path,
        "--engine",
        "cpu",
        *QUICK,
        "--json",
        "-",
        **absent(kit, tmp_path, "onnxruntime"),
    )
    assert done.code == 6, done.stderr
    (result,) = done.records
    assert {row["exit_code"] for row in result["rows"]} == {6}
    assert all("needs the Python package 'onnxruntime'" in row["why"] for row in result["rows"])
    assert "none of 3 rows could run here" in done.stderr
    assert "Traceback" not in done.stderr


def absent(kit: Any, tmp_path: Path, *names: str) -> dict[str, str]:
    """An environment in which these packages are not installed, in this process and in those that it starts."""
    for name in names:
        (tmp_path / "absent" / name).mkdir(parents=True)
        (tmp_path / "absent" / name / "__init__.py").write_text(
            f"raise ModuleNotFoundError({f'No module named {name}'!r}, name={name!r})\n", encoding="utf-8"
        )
    return {"PYTHONPATH": f"{tmp_path / 'absent'}:{kit.environment()['PYTHONPATH']}"}


def test_a_device_without_torch_and_onnx_benchmarks(
    kit: Any, bundle: Bundle, labels: Path, tmp_path: Path
) -> None:
    without = absent(
        kit, tmp_path, "torch", "torchvision", "onnx", "onnxscript", "onnxconverter_common", "sklearn"
    )
    done = kit.run_cli("benchmark", bundle.path, "--labels", labels, *QUICK, "--json", "-", **without)
    assert done.code == 0, done.stderr
    assert by_row(done.records[0])["fp32", "cpu", 1]["accuracy"] is not None


def test_without_frames_it_needs_no_opencv(kit: Any, bundle: Bundle, tmp_path: Path) -> None:
    done = kit.run_cli("benchmark", bundle.path, "--engine", "cpu", *QUICK, **absent(kit, tmp_path, "cv2"))
    assert done.code == 0, done.stderr


def test_an_engine_that_crashes_takes_only_its_row_with_it(kit: Any, bundle: Bundle, tmp_path: Path) -> None:
    package = tmp_path / "crash" / "onnxruntime"
    package.mkdir(parents=True)
    (package / "__init__.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    path = f"{package.parent}:{kit.environment()['PYTHONPATH']}"
    done = kit.run_cli("benchmark", bundle.path, "--engine", "cpu", *QUICK, "--json", "-", PYTHONPATH=path)
    assert done.code == 1
    assert {row["why"] for row in done.records[0]["rows"]} == {"its process crashed with SIGSEGV"}


def test_a_plan_that_does_not_load_here_says_why(kit: Any, bundle: Bundle, rtx: trt.TensorRt) -> None:
    build_plans(bundle.path, ["fp32"], BuildOptions(target_sm=("89",), level=0))
    done = kit.run_cli(
        "benchmark", bundle.path, "--engine", "tensorrt", "--engine", "cpu", *QUICK, "--json", "-"
    )
    assert done.code == 0, done.stderr
    rows = by_row(done.records[0])
    assert rows["fp32", "cpu", 1]["ran"]
    assert "no fp32 plan of" in rows["fp32", "tensorrt", 1]["why"]
    assert "engines/fp32-sm89" in rows["fp32", "tensorrt", 1]["why"]
    assert "holds no fp16 plan" in rows["fp16", "tensorrt", 1]["why"]
    assert "is made for ONNX Runtime on CPUs" in rows["int8-cpu", "tensorrt", 1]["why"]
    alone = kit.run_cli("benchmark", bundle.path, "--engine", "tensorrt", *QUICK)
    assert alone.code == 4
    assert "none of 3 rows could run here" in alone.stderr


def test_a_damaged_bundle_is_exit_4_whatever_is_asked_for(kit: Any, bundle: Bundle) -> None:
    path = bundle.path / MODEL_FILES["int8-cpu"]
    damaged = bytearray(path.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    path.write_bytes(damaged)
    done = kit.run_cli("benchmark", bundle.path, "--precision", "fp16")
    assert done.code == 4
    assert "model.int8-cpu.onnx was altered" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--precision", "int8"], 4, "holds no int8 model; it has: fp32, fp16, int8-cpu"),
        (["--engine", "openvino"], 2, "--engine openvino: unknown; wanted one of auto, "),
        (["--batch", "0"], 2, "--batch 0: wanted at least 1"),
        (["--rounds", "0"], 2, "--rounds 0: wanted at least 1"),
        (["--threads", "0"], 2, "--threads 0: wanted at least 1"),
        (["--seconds", "0"], 2, "--seconds 0: wanted more than 0"),
        (["--seconds", "nan"], 2, "--seconds nan: wanted more than 0"),
        (["--frames", "nowhere"], 2, "--frames nowhere: does not exist"),
        (
            ["--json", "nowhere/result.json"],
            2,
            "--json nowhere/result.json: wanted a file in a folder that exists",
        ),
    ],
)
def test_what_is_refused_before_anything_is_measured(
    kit: Any, bundle: Bundle, arguments: list[str], code: int, message: str
) -> None:
    done = kit.run_cli("benchmark", bundle.path, *arguments)
    assert done.code == code, done.stderr
    assert message in done.stderr
    assert "loading" not in done.stderr


def interrupted(kit: Any, bundle: Bundle, at: str, *flags: str) -> tuple[int, dict[str, Any], str, list[int]]:
    """Ctrl-C to the whole group once stderr has a line with ``at``; and the children it had by then."""
    process = subprocess.Popen(
        kit.command("benchmark", bundle.path, "--engine", "cpu", "--json", "-", *flags),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=kit.environment(), start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stderr:
        lines.append(line)
        if at in line:
            break
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    kit.until(lambda: children.read_text().split(), "a row's process")
    started = [int(pid) for pid in children.read_text().split()]
    timer = threading.Timer(1.0, process.send_signal, [signal.SIGINT])
    timer.start()
    stdout, rest = process.communicate(timeout=60)
    timer.join()
    return process.returncode, json.loads(stdout), "".join(lines) + rest, started


def test_ctrl_c_prints_what_was_measured_and_leaves_no_process(kit: Any, bundle: Bundle) -> None:
    code, result, errors, started = interrupted(
        kit, bundle, "measuring 3 rows in turns", "--rounds", "1000", "--seconds", "20"
    )
    assert code == 130, errors
    assert result["interrupted"]
    for row in result["rows"]:
        assert row["ran"]
        assert 1 <= len(row["round_medians_ms"]) < 1000
    assert "interrupted: the table holds what was measured until then" in errors
    assert "Traceback" not in errors
    assert len(started) == 3
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]


def test_ctrl_c_in_a_long_first_turn_says_which_rows_have_no_figures(kit: Any, bundle: Bundle) -> None:
    code, result, errors, started = interrupted(
        kit, bundle, "measuring 3 rows in turns", "--rounds", "1", "--seconds", "600"
    )
    assert code == 130, errors
    assert {row["why"] for row in result["rows"]} == {"interrupted before its first round"}
    assert "cannot run: fp32 on cpu, batch 1; fp16 on cpu, batch 1" in errors
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]


def test_engines_are_those_that_run_knows_each_once() -> None:
    assert set(engine_names()) == set(ENGINES) - {"auto", "onnxruntime"}


@pytest.mark.parametrize("name", ["depth", "nir", "sunrgbd"])
def test_synthetic_frames_are_as_the_sensor_sends_them(name: str) -> None:
    frames = synthetic(PRESETS[name], 48)
    assert frames.shape == (8, 1, 48, 48)
    assert frames.dtype == np.float32
    assert frames.min() > 0
    assert frames.max() < 1
    assert frames.std() > 0.1
    assert len(np.unique(frames[0])) > 40
    assert not np.array_equal(frames[0], frames[1])


def test_synthetic_frames_of_a_sensor_with_two_counts_only() -> None:
    """Black 0 and white 1 leave nothing between: the ends are the frames."""
    found = np.unique(synthetic(SensorSpec("nir", "uint8", black=0, white=1), 16))
    assert set(found) <= {0.0, 1.0}


def test_frames_become_batches_and_none_is_lost() -> None:
    frames = np.arange(5, dtype=np.float32).reshape(5, 1, 1, 1)
    assert [batch.ravel().tolist() for batch in batches(frames, 2)] == [[0, 1], [2, 3]]
    assert [batch.ravel().tolist() for batch in batches(frames, 7)] == [[0, 1, 2, 3, 4, 0, 1]]
    full = [(count, part.ravel().tolist()) for count, part in padded(frames, 2)]
    assert full == [(2, [0, 1]), (2, [2, 3]), (1, [4, 4])]
    assert statistics.fmean(len(batch) for batch in batches(np.repeat(frames, 20, axis=0), 1)) == 1
    assert len(batches(np.repeat(frames, 20, axis=0), 1)) == 32
