"""`tgkt-edge export BUNDLE --trt` as a process: what it needs, what it writes, how it fails."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.cli import cli_command, cli_environment, run_cli
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.bundle.engine_metadata import Profile
from tgkt_edge.bundle.engines import plans
from tgkt_edge.system.gpu import find_gpu
from tgkt_edge.trt import library as trt

pytestmark = pytest.mark.slow

WITHOUT = """
import sys
sys.modules.update(dict.fromkeys({absent!r}))
sys.argv[1:] = {arguments!r}
from tgkt_edge.cli.main import main
main()
"""
NO_TENSORRT = ("tensorrt", "tensorrt_rtx", "tensorrt_rtx_bindings")


def export(*arguments: object, absent: tuple[str, ...] = (), **env: str) -> subprocess.CompletedProcess[str]:
    """Run `tgkt-edge export` in a process in which some modules cannot be imported."""
    code = WITHOUT.format(absent=absent, arguments=["export", *map(str, arguments)])
    return subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, env=cli_environment(**env), timeout=300, check=False,
    )  # fmt: skip


@pytest.fixture
def bundle(depth_bundle: Bundle, tmp_path: Path) -> Bundle:
    shutil.copytree(depth_bundle.path, tmp_path / "bundle")
    return Bundle.open(tmp_path / "bundle")


def test_without_tensorrt_it_is_exit_6_and_says_what_to_install_where(bundle: Bundle) -> None:
    done = export(bundle.path, "--trt", absent=NO_TENSORRT)
    assert done.returncode == 6, done.stderr
    for text in (
        "On JetPack 6: sudo apt install python3-libnvinfer",
        "--system-site-packages",
        "On JetPack 7",
        "On x86",
        "[trt]'",
        "[trt-rtx]'",
    ):
        assert text in done.stderr
    assert "Traceback" not in done.stderr


def test_type_stubs_are_not_taken_for_tensorrt(bundle: Bundle, tmp_path: Path) -> None:
    stubs = tmp_path / "stubs" / "tensorrt"
    stubs.mkdir(parents=True)
    (stubs / "__init__.pyi").write_text("class Builder: ...\n")
    path = f"{stubs.parent}:{cli_environment()['PYTHONPATH']}"
    done = export(bundle.path, "--trt", absent=NO_TENSORRT[1:], PYTHONPATH=path)
    assert done.returncode == 6, done.stderr
    assert "On JetPack 6" in done.stderr


def test_a_tensorrt_that_does_not_load_says_why(bundle: Bundle, tmp_path: Path) -> None:
    broken = tmp_path / "broken" / "tensorrt"
    broken.mkdir(parents=True)
    (broken / "__init__.py").write_text(
        "raise ImportError('libnvinfer.so.10: cannot open shared object file')\n"
    )
    path = f"{broken.parent}:{cli_environment()['PYTHONPATH']}"
    done = export(bundle.path, "--trt", absent=NO_TENSORRT[1:], PYTHONPATH=path)
    assert done.returncode == 6
    assert "installed but cannot be loaded: tensorrt: libnvinfer.so.10: cannot open" in done.stderr


def test_a_bundle_alone_is_enough(bundle: Bundle, rtx: trt.TensorRt) -> None:
    """Neither torch nor onnx nor onnxruntime nor OpenCV: as on a Jetson with nothing but TensorRT."""
    done = export(
        bundle.path, "--trt", "--target-sm", "86", "--target-sm", "89", "--opt-batch", "2", "--max-batch", "4",
        absent=("torch", "onnx", "onnxruntime", "cv2", "onnxscript"),
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"fp32: building with {rtx.text}, batch 1 to 4, made for 2" in done.stderr
    assert "for compute capability 8.6, 8.9" in done.stderr
    assert done.stdout == ""
    written = Bundle.open(bundle.path)
    (plan,) = plans(written)
    assert plan.sidecar.profile == Profile(1, 2, 4)
    assert plan.sidecar.compute_capabilities == ("8.6", "8.9")
    assert all(written.file(name).is_file() for name in written.files)
    assert written.files["model.onnx"] == bundle.files["model.onnx"]


def test_without_a_gpu_the_target_must_be_named(bundle: Bundle, rtx: trt.TensorRt) -> None:
    if find_gpu()[0] is not None:
        pytest.skip("there is a GPU here, which is the target then")
    done = export(bundle.path, "--trt")
    assert done.returncode == 2
    assert "there is no NVIDIA GPU here" in done.stderr
    assert "--target-sm, one of 75, 80, 86, 89, 120" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["--trt", "--target-sm", "89", "--precision", "fp16"], 4, "holds no fp16 model to build from"),
        (["--trt", "--target-sm", "89", "--precision", "int8"], 4, "--precision int8 --calibrate FRAMES --trt"),
        (["--trt", "--calibrate", "/no", "--labels", "/no", "--max-drop", "0.7", "--overwrite"], 2,
         "--calibrate, --labels, --max-drop, --overwrite: without effect"),
        (["--trt", "--calibration-frames", "9", "--calibration-method", "minmax", "--no-verify", "--skip-bad"], 2,
         "--calibration-frames, --calibration-method, --no-verify, --skip-bad: without effect"),
        (["--trt", "--target-sm", "89", "--precision", "int8-cpu"], 2, "made for ONNX Runtime on CPUs"),
        (["--trt", "--max-batch", "0"], 2, "greater than or equal to 1"),
        (["--trt", "--min-batch", "4", "--opt-batch", "2"], 2, "--max-batch 8: expected 1 <= min <= opt <= max"),
        (["--trt", "--target-sm", "ada"], 2, "--target-sm ada: expected a compute capability"),
        (["--trt", "--target-sm", "89", "--version-compatible"], 2, "TensorRT-RTX does not know it"),
        ([], 2, "-o BUNDLE is missing"),
        (["--max-batch", "4", "-o", "out"], 2, "--max-batch: only for TensorRT plans. Give --trt, too"),
        (["--optimisation", "5", "-o", "out"], 2, "--optimisation: only for TensorRT plans. Give --trt, too"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused_and_nothing_is_written(
    bundle: Bundle, rtx: trt.TensorRt, arguments: list[str], code: int, message: str
) -> None:
    done = export(bundle.path, *arguments)
    assert done.returncode == code, done.stderr
    assert message in done.stderr
    assert "Traceback" not in done.stderr
    assert not (bundle.path / "engines").exists()


def test_a_run_needs_a_place_for_its_bundle(tmp_path: Path) -> None:
    done = export(tmp_path, "--trt")
    assert done.returncode == 2
    assert "-o BUNDLE is missing" in done.stderr


def test_an_altered_onnx_is_never_built(bundle: Bundle, rtx: trt.TensorRt) -> None:
    with bundle.model().open("ab") as file:
        file.write(b"\0")
    done = export(bundle.path, "--trt", "--target-sm", "89")
    assert done.returncode == 4
    assert "the manifest says" in done.stderr


def test_inspect_shows_the_plan_and_what_keeps_it_from_loading(bundle: Bundle, rtx: trt.TensorRt) -> None:
    assert export(bundle.path, "--trt", "--target-sm", "75", "--level", "1").returncode == 2  # no such flag
    assert export(bundle.path, "--trt", "--target-sm", "89").returncode == 0
    (plan,) = plans(Bundle.open(bundle.path))
    done = subprocess.run(
        cli_command("inspect", bundle.path / plan.name), capture_output=True, text=True, env=cli_environment(),
        check=True,
    )  # fmt: skip
    for text in (f"plan of {rtx.text}", "precision", "model.onnx", "batch", "1 to 8, made for 1", "8.9"):
        assert text in done.stdout
    seen = run_cli("inspect", bundle.path, "--json").records[0]
    assert seen["plans"][plan.name]["sidecar"]["profile"] == {"min": 1, "opt": 1, "max": 8}
    if find_gpu()[0] is None:
        assert "would not load here" in done.stdout
        assert "no NVIDIA GPU here" in json.dumps(seen["plans"][plan.name]["not_here"])


def test_inspect_tells_a_sidecar_that_was_edited_or_exchanged(
    bundle: Bundle, rtx: trt.TensorRt, tmp_path: Path
) -> None:
    assert export(bundle.path, "--trt", "--target-sm", "89").returncode == 0
    (plan,) = plans(Bundle.open(bundle.path))
    alone = tmp_path / "alone.plan"
    shutil.copy(bundle.path / plan.name, alone)
    beside = bundle.path / f"{plan.name}.json"
    shutil.copy(beside, tmp_path / "alone.plan.json")
    assert run_cli("inspect", alone, "--json").code == 0
    with alone.open("ab") as file:
        file.write(b"\0")
    done = run_cli("inspect", alone, "--json")
    assert done.code == 4
    assert "its sha256 differs" in done.records[0]["problems"][0]
    beside.write_text(beside.read_text(encoding="utf-8").replace('"8.9"', '"8.6"'), encoding="utf-8")
    for path in (bundle.path, bundle.path / plan.name):
        done = run_cli("inspect", path, "--json")
        assert done.code == 4
        assert "plan.json was altered" in done.records[0]["problems"][0]
