"""What doctor finds: in this environment, in folders that look like a Jetson's, and with libraries that crash."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import onnx
import pytest

from tests.support.checkout import REPOSITORY
from tests.support.openvino import need_openvino
from tgkt_edge.doctor import libraries, machine
from tgkt_edge.doctor.findings import Finding, scrub
from tgkt_edge.doctor.probe import probe
from tgkt_edge.trt import library as trt


def doctor(*flags: str, path: Path | None = None) -> subprocess.CompletedProcess[str]:
    """`tgkt-edge doctor` with a folder of libraries in front of all others."""
    search = os.pathsep.join(str(entry) for entry in (path, REPOSITORY) if entry)
    return subprocess.run(
        [sys.executable, "-m", "tgkt_edge", "doctor", *flags],
        capture_output=True, text=True, timeout=300, check=False, env={**os.environ, "PYTHONPATH": search},
    )  # fmt: skip


@pytest.fixture
def jetson(tmp_path: Path) -> Path:
    files = {
        "etc/nv_tegra_release": "# R36 (release), REVISION: 4.3, GCID: 1, BOARD: generic, EABI: aarch64\n",
        "etc/os-release": 'NAME="Ubuntu"\nPRETTY_NAME="Ubuntu 22.04.5 LTS"\n',
        "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=15W >\n< POWER_MODEL ID=2 NAME=MAXN_SUPER >\n",
        "var/lib/nvpmodel/status": "pmode:0000",
        "proc/device-tree/model": "NVIDIA Jetson Orin Nano\0",
        "proc/meminfo": "MemTotal: 7800000 kB\nMemAvailable: 524288 kB\n",
        "usr/lib/python3.10/dist-packages/tensorrt/__init__.py": "",
        "usr/lib/python3.10/dist-packages/cv2.so": "",
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    return tmp_path


def test_a_jetsons_release_power_mode_and_memory(jetson: Path) -> None:
    found = {finding.check: finding for finding in machine.system(jetson)}
    assert found["system"].text.endswith("Ubuntu 22.04.5 LTS.")
    assert found["jetson"].text == "NVIDIA Jetson Orin Nano, L4T 36.4.3 (JetPack 6)."
    assert found["power"].level == "warning"
    assert found["power"].text == "power mode 0 (15W). It limits the clocks."
    assert found["power"].advice.endswith("nvpmodel -m 2")
    assert found["memory"].level == "warning"
    assert found["memory"].text == "0.5 GiB available."
    (jetson / "var/lib/nvpmodel/status").write_text("pmode:0002")
    assert {f.check: f.level for f in machine.system(jetson)}["power"] == "ok"
    assert machine.has_gpu(jetson)


def test_tensorrt_makes_a_builder_where_it_is_installed(jetson: Path) -> None:
    if not trt.installed():
        pytest.skip("needs TensorRT or TensorRT-RTX: pip install 'tgkt-edge[trt-rtx]'")
    (finding,) = libraries.tensorrt(jetson)
    assert (finding.level, finding.text) == ("ok", f"{trt.find().text} can build plans.")


@pytest.mark.slow
def test_whether_plans_can_run_is_told_where_there_is_a_gpu_and_tensorrt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trt, "installed", lambda: ["tensorrt"])
    monkeypatch.setenv("PYTHONPATH", f"{REPOSITORY / 'tests/runtime/engines/fakes'}:{REPOSITORY}")
    assert libraries.cuda(gpu=False) == []
    (finding,) = libraries.cuda(gpu=True)
    assert (finding.level, finding.text) == ("ok", "TensorRT plans can run: CUDA works.")
    (tmp_path / "cuda.py").write_text("")
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}:{REPOSITORY}")
    (finding,) = libraries.cuda(gpu=True)
    assert finding.level == "warning"
    assert "TensorRT plans cannot run: MissingDependency: Running a TensorRT plan needs" in finding.text
    assert "[cuda12]'" in finding.text
    monkeypatch.setattr(trt, "installed", list)
    assert libraries.cuda(gpu=True) == []


def test_a_systems_library_that_is_not_seen_or_is_hidden(
    jetson: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trt, "installed", list)
    (finding,) = libraries.tensorrt(jetson)
    assert finding.level == "warning"
    assert "/usr/lib/python3.10/dist-packages" in finding.text
    assert "--system-site-packages" in finding.advice
    wheels = libraries.installed(("opencv-python-headless",))
    if wheels:
        found, works = libraries.opencv(jetson)
        assert works
        assert found[-1].level == "warning"
        assert "hides the system's in /usr/lib/python3.10/dist-packages" in found[-1].text


def test_the_operation_is_a_valid_model() -> None:
    model = onnx.load_model_from_string(libraries.add_model())
    onnx.checker.check_model(model, full_check=True)
    assert [node.op_type for node in model.graph.node] == ["Add"]


@pytest.mark.slow
def test_here_run_works_and_the_report_is_json() -> None:
    done = doctor("--json")
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert report["run_works"] is True
    by_check = {entry["check"]: entry for entry in report["findings"]}
    assert "ran an operation with CPUExecutionProvider" in by_check["onnxruntime"]["text"]
    assert {"system", "disk", "opencv", "train", "export", "camera"} <= set(by_check)
    assert all(entry["level"] in ("ok", "warning", "problem") for entry in report["findings"])


@pytest.mark.slow
def test_a_library_that_crashes_at_import_is_a_finding_and_exit_code_6(tmp_path: Path) -> None:
    (tmp_path / "cv2.py").write_text("import os, signal\nos.kill(os.getpid(), signal.SIGSEGV)\n")
    done = doctor(path=tmp_path)
    assert done.returncode == 6
    assert "OpenCV crashed with SIGSEGV." in done.stdout
    assert "ran an operation" in done.stdout  # the other checks went on
    assert "Traceback" not in done.stdout + done.stderr


@pytest.mark.slow
def test_probes_that_hang_fail_or_say_nonsense() -> None:
    assert probe("import time; time.sleep(600)", 1).error == "gave no answer in 1 s"
    assert probe("raise SystemExit(3)").error == "ended with exit code 3"
    assert probe("import nowhere_to_be_found").error.startswith("ModuleNotFoundError")
    assert "no answer but 'hello'" in probe("print('hello')").error
    assert probe("print('noise'); print('{\"a\": 1}')").value == {"a": 1}


def test_reports_name_no_person(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", "/srv/people/ada")
    monkeypatch.setenv("LOGNAME", "ada")
    text = "/srv/people/ada/x and /home/grace/y and /root/z, ada, adapter"
    assert scrub(text) == "~/x and ~/y and ~/z, USER, adapter"
    assert Finding("a", "ok", text).scrubbed().text == scrub(text)


def test_openvino_is_tried_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    need_openvino()
    (finding,) = libraries.openvino()
    assert finding.level == "ok"
    assert "ran an operation on the CPU" in finding.text
    monkeypatch.setattr(libraries, "OPENVINO_CODE", "raise RuntimeError('libtbb.so is missing')")
    (finding,) = libraries.openvino()
    assert finding.level == "warning"
    assert "OpenVINO is installed but RuntimeError: libtbb.so is missing." in finding.text
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    assert libraries.openvino() == []
