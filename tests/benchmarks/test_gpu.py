"""The program for a borrowed GPU, tried out on a CPU: what is done lies there, what is not says why."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import gpu
import pytest
from gpu_jobs import Job

from tests.support.checkout import REPOSITORY


@pytest.mark.slow
def test_a_dry_run_leaves_a_file_a_job_and_a_summary(tmp_path: Path) -> None:
    """From another folder, with nothing but PYTHONPATH."""
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "benchmarks/gpu.py"), "--minutes", "9", "-o", "out", "--device", "cpu",
         "--tiny"],
        cwd=tmp_path, capture_output=True, text=True, timeout=580, check=False,
        env={"PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found: dict[str, dict[str, Any]] = {
        value["name"]: value
        for file in sorted((tmp_path / "out").glob("*.json"))
        for value in [json.loads(file.read_text())]
    }
    assert {name: one["state"] for name, one in found.items()} == {
        "tests": "skipped",
        "stages-4-fp32": "done",
        "data-demo": "done",
        "adapt-demo": "done",
        "accuracy-demo": "done",
        "export": "done",
        "onnxruntime": "done",
        "tensorrt-build": "skipped",
        "tensorrt": "skipped",
        "compiled": "skipped",
    }, {name: one.get("log") for name, one in found.items() if one["state"] == "failed"}
    assert set(found["stages-4-fp32"]["figures"]) == {"source", "tgmb", "tgkt", "student"}
    assert found["adapt-demo"]["figures"]["verdict"]["verdict"] in ("helped", "no evidence", "hurt")
    assert "accuracy" in json.dumps(found["accuracy-demo"]["figures"])
    assert found["onnxruntime"]["figures"]
    page = (tmp_path / "out" / "summary.md").read_text()
    assert "| tensorrt-build | skipped | 0.0 | it needs a GPU |" in page
    assert all(f"| {name} |" in page for name in found)


@pytest.mark.slow
def test_a_job_ends_when_its_time_is_over_with_what_it_started(tmp_path: Path) -> None:
    child = (
        f"import time; from pathlib import Path; Path({str(tmp_path / 'alive')!r}).touch(); time.sleep(60)"
    )
    code = f"import subprocess, sys; print('begun', flush=True); subprocess.run([sys.executable, '-c', {child!r}])"
    found = gpu.perform(Job("slow", ["-c", code], 600), left=6.0)
    assert (found["state"], found["reason"]) == ("cut", "took longer than 6 s")
    assert found["output"] == "begun\n"
    assert (tmp_path / "alive").exists()


def test_a_job_that_fails_says_what_it_printed() -> None:
    found = gpu.perform(Job("bad", ["-c", "raise SystemExit('no such GPU')"], 60), left=60)
    assert (found["state"], found["reason"]) == ("failed", "exit code 1")
    assert "no such GPU" in found["log"]


def test_what_cannot_begin_is_skipped_with_the_reason() -> None:
    job = Job("trt", ["-c", "print(1)"], 60, lambda: "not installed: tensorrt")
    assert gpu.perform(job, left=60)["reason"] == "not installed: tensorrt"
    assert gpu.perform(Job("late", ["-c", "print(1)"], 60), left=1)["reason"] == "no time is left"


def test_a_gpu_that_is_not_there_is_an_error() -> None:
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(SystemExit, match="torch sees no GPU"):
        gpu.refuse_missing("cuda")
