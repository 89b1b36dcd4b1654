"""`tgkt-edge run` and `verify` as processes: on a machine with an Orin, faked at its libraries, and on this one."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.cli import cli_environment, run_cli
from tests.support.images import make_frames, save_frames
from tests.support.plans import Real, add_plan
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.bundle.engines import plan_names
from tgkt_edge.io.atomic import sha256_of

pytestmark = pytest.mark.slow

FAKES = Path(__file__).with_name("fakes")


@pytest.fixture
def frames(tmp_path: Path) -> Path:
    return Path(save_frames(tmp_path / "frames", make_frames(6)))


@pytest.fixture
def orin(driver: Any) -> dict[str, str]:
    """The environment of a process that finds TensorRT, cuda-bindings and the driver of ``fakes``."""
    path = f"{FAKES}:{cli_environment()['PYTHONPATH']}"
    return {"PYTHONPATH": path, "LD_LIBRARY_PATH": str(driver("Orin", 7))}


def top(done: Any) -> list[dict[str, float]]:
    return [{entry["label"]: entry["probability"] for entry in record["top"]} for record in done.records]


def run_without(absent: tuple[str, ...], *arguments: object) -> subprocess.CompletedProcess[str]:
    code = f"import sys\nsys.modules.update(dict.fromkeys({absent!r}))\nsys.argv[1:] = {list(map(str, arguments))!r}\n"
    return subprocess.run(
        [sys.executable, "-c", f"{code}from tgkt_edge.cli.main import main\nmain()"],
        capture_output=True, text=True, env=cli_environment(), timeout=60, check=False,
    )  # fmt: skip


# With a GPU that is faked


def test_run_answers_with_tensorrt_and_says_so(bundle: Bundle, orin: dict[str, str], frames: Path) -> None:
    add_plan(bundle)
    cpu = run_cli("run", bundle.path, "--camera", frames, "--engine", "cpu")
    for engine in ("auto", "tensorrt"):
        done = run_cli("run", bundle.path, "--camera", frames, "--engine", engine, **orin)
        assert done.code == 0, done.stderr
        assert (
            "engine: TensorRT 10.3.0, Orin; engines/fp32-sm87-00000000.plan, fp32, batch 1 to 8"
            in done.stderr
        )
        assert "6 frames (0 bad, 0 dropped)" in done.stderr
        assert "skipped" not in done.stderr
        for ours, theirs in zip(top(done), top(cpu), strict=True):
            assert list(ours) == list(theirs)
            np.testing.assert_allclose(list(ours.values()), list(theirs.values()), rtol=1e-5)


def test_verify_compares_plans_and_says_what_ran(bundle: Bundle, orin: dict[str, str], frames: Path) -> None:
    add_plan(bundle)
    done = run_cli("verify", bundle.path, "--frames", frames, "--engine", "tensorrt", "--json", **orin)
    assert done.code == 0, done.stderr
    assert done.records[0]["engines"] == {"fp32": "TensorRT 10.3.0, Orin"}
    assert done.records[0]["why"]["fp32"] == [
        "engine: TensorRT 10.3.0, Orin; engines/fp32-sm87-00000000.plan, fp32, batch 1 to 8, made for 1"
    ]
    assert "engine: TensorRT 10.3.0, Orin" in done.stderr


def test_an_altered_plan_is_exit_4_if_named_and_passed_over_if_not(
    bundle: Bundle, orin: dict[str, str], frames: Path
) -> None:
    made = add_plan(bundle)
    with (made.path / plan_names(made)[0]).open("ab") as file:
        file.write(b"\0")
    done = run_cli("run", bundle.path, "--camera", frames, "--engine", "tensorrt", **orin)
    assert done.code == 4
    assert done.records == []
    assert "error: no fp32 plan of" in done.stderr
    assert "truncated?" in done.stderr
    assert "Traceback" not in done.stderr
    done = run_cli("run", bundle.path, "--camera", frames, **orin)
    assert done.code == 0
    assert "engine tensorrt is skipped: no fp32 plan of" in done.stderr
    assert "\nengine: onnxruntime, CPU; model.onnx, fp32" in done.stderr
    assert len(done.records) == 6


def test_a_gpu_without_memory_is_exit_1_if_named(bundle: Bundle, orin: dict[str, str], frames: Path) -> None:
    add_plan(bundle, scratch=1 << 50)
    done = run_cli("run", bundle.path, "--camera", frames, "--engine", "tensorrt", **orin)
    assert done.code == 1, done.stderr
    assert "GPU memory is used up" in done.stderr
    assert "Traceback" not in done.stderr


# On this machine


@pytest.mark.usefixtures("without_gpu")
def test_a_real_plan_without_a_gpu_is_exit_4_and_why(real: Real, frames: Path) -> None:
    before = {name: sha256_of(real.bundle.path / name) for name in real.bundle.files}
    for more in ([], ["--rebuild"]):
        done = run_cli("run", real.bundle.path, "--camera", frames, "--engine", "tensorrt", *more)
        assert done.code == 4, done.stderr
        assert done.records == []
        assert f"error: no fp32 plan of {real.bundle.path} loads here: engines/fp32-sm89-" in done.stderr
        assert "there is no NVIDIA GPU here" in done.stderr
        assert "--rebuild" not in done.stderr  # it would be of no use
        assert "Traceback" not in done.stderr
    assert {name: sha256_of(real.bundle.path / name) for name in real.bundle.files} == before


@pytest.mark.usefixtures("without_gpu")
def test_auto_goes_on_without_the_real_plan_and_says_why(real: Real, frames: Path) -> None:
    for more in ([], ["--rebuild"]):
        done = run_cli("run", real.bundle.path, "--camera", frames, *more)
        assert done.code == 0, done.stderr
        assert len(done.records) == 6
        lines = [line for line in done.stderr.splitlines() if line.startswith("engine")]
        assert [line.split(":")[0] for line in lines] == [
            "engine tensorrt is skipped", "engine",
        ]  # fmt: skip
        assert "there is no NVIDIA GPU here" in lines[0]
        assert lines[1].startswith("engine: onnxruntime, CPU")


@pytest.mark.usefixtures("without_gpu")
def test_rebuild_builds_and_keeps_the_earlier_plan_if_the_new_one_does_not_load(
    real: Real, frames: Path, driver: Any
) -> None:
    """The driver tells of an RTX 3080, so TensorRT-RTX really builds for it; that it cannot run it comes out then."""
    before = {name: sha256_of(real.bundle.path / name) for name in real.bundle.files}
    env = {"LD_LIBRARY_PATH": str(driver("RTX 3080", 6))}
    done = run_cli("run", real.bundle.path, "--camera", frames, "--engine", "tensorrt", "--rebuild", **env)
    assert done.code == 1, done.stderr
    assert "fp32: building with TensorRT-RTX" in done.stderr
    assert "batch 1 to 4, made for 2" in done.stderr  # as the earlier plan
    assert "error: the plan just built does not load here: " in done.stderr
    assert "Traceback" not in done.stderr
    done = run_cli("run", real.bundle.path, "--camera", frames, "--rebuild", **env)
    assert done.code == 0, done.stderr
    assert "engine tensorrt is skipped: the plan just built does not load here: " in done.stderr
    assert len(done.records) == 6
    done = run_cli("run", real.bundle.path, "--camera", frames, "--engine", "tensorrt", **env)
    assert done.code == 4
    assert (
        "built for compute capability 8.9, the GPU here is RTX 3080 (compute capability 8.6)" in done.stderr
    )
    assert "or run with --rebuild" in done.stderr
    assert {name: sha256_of(real.bundle.path / name) for name in real.bundle.files} == before


@pytest.mark.parametrize(
    ("absent", "engine", "words"),
    [
        (("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings"), "tensorrt", "On JetPack 6: sudo apt install"),
        (("onnxruntime",), "cpu", "[cpu]'"),
        (("onnxruntime",), "cuda", "[gpu]'"),
        (("onnxruntime",), "auto", "[cpu]'"),
    ],
)
def test_a_library_that_is_missing_is_exit_6(
    bundle: Bundle, frames: Path, absent: tuple[str, ...], engine: str, words: str
) -> None:
    done = run_without(absent, "run", bundle.path, "--camera", frames, "--engine", engine)
    assert done.returncode == 6, done.stderr
    assert words in done.stderr
    assert done.stdout == ""
    assert "Traceback" not in done.stderr


def test_flags_that_contradict_each_other_are_exit_2(bundle: Bundle, frames: Path) -> None:
    done = run_cli("run", bundle.path, "--camera", frames, "--engine", "cpu", "--rebuild")
    assert done.code == 2
    assert "--rebuild builds a TensorRT plan, which --engine cpu does not load" in done.stderr
    done = run_cli("run", bundle.path, "--camera", frames, "--engine", "vulkan")
    assert done.code == 2
    assert "expected one of auto, tensorrt, cuda, cpu, openvino, onnxruntime" in done.stderr
