"""What a user's pip installs, and what it pulls into memory: on a device without PyTorch, and without any extra."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import venv
import zipfile
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from tests.support.checkout import REPOSITORY, Layout
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.sensor import PRESETS

pytestmark = pytest.mark.slow

HEAVY = (
    "torch",
    "torchvision",
    "onnx",
    "onnxconverter_common",
    "onnxruntime",
    "onnxscript",
    "cv2",
    "sklearn",
    "scipy",
    "h5py",
    "jinja2",
    "safetensors",
    "tensorboard",
    "tensorrt",
    "tensorrt_rtx_bindings",
    "paho",
    "prometheus_client",
    "starlette",
    "uvicorn",
)


def run(command: Iterable[object], cwd: Path, **more: str) -> subprocess.CompletedProcess[str]:
    """Run a command away from the checkout's own import path."""
    clean = {key: value for key, value in os.environ.items() if key not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    return subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**clean, **more},
        capture_output=True,
        text=True,
        timeout=600,
        check=False,
    )


REPORT_HEAVY = """
import importlib, json, sys
names, heavy = json.loads(sys.argv[1])
brought = {}
for name in names:
    importlib.import_module(name)
    new = [module for module in heavy if module in sys.modules]
    if new:
        brought[name] = new
        break
print(json.dumps(brought))
"""


@pytest.mark.parametrize("first", ["tgkt_edge.cli.main", "tgkt_edge.runtime", "all"])
def test_the_command_line_and_the_runtime_load_nothing_heavy(layout: Layout, first: str) -> None:
    names = layout.light if first == "all" else [first]
    assert {"tgkt_edge.cli.main", "tgkt_edge.preprocess", "tgkt_edge.runtime.pipeline"} <= set(layout.light)
    argument = json.dumps([names, HEAVY])
    done = run([sys.executable, "-c", REPORT_HEAVY, argument], REPOSITORY)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {}
    heavy = run([sys.executable, "-c", REPORT_HEAVY, json.dumps([["cv2"], HEAVY])], REPOSITORY)
    assert json.loads(heavy.stdout) == {"cv2": ["cv2"]}  # the report does see what is loaded


@pytest.fixture(scope="module")
def wheel(layout: Layout, module_folder: Callable[[str], Path]) -> Path:
    """A wheel of a clean copy: built in the checkout itself, an old build/ could slip into it."""
    source, out = module_folder("source") / "copy", module_folder("wheel")
    source.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy(REPOSITORY / name, source)
    for top in layout.tops:
        shutil.copytree(
            REPOSITORY / top,
            source / top,
            symlinks=True,
            ignore=shutil.ignore_patterns("__pycache__", ".*_cache", "*.egg-info"),
        )
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-w", out, source]
    done = run(command, out)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = out.glob("*.whl")
    return built


def test_the_wheel_holds_every_module_and_installs_no_generic_name(wheel: Path, layout: Layout) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        metadata = archive.read(next(n for n in names if n.endswith(".dist-info/METADATA"))).decode()
        entries = archive.read(next(n for n in names if n.endswith(".dist-info/entry_points.txt"))).decode()
    assert len(names) == len(set(names))
    tops = {name.split("/")[0] for name in names}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"tgkt_edge"}
    expected = {
        name.replace(".", "/") + ("/__init__.py" if file.name == "__init__.py" else ".py")
        for name, file in layout.modules.items()
    }
    assert {name for name in names if name.endswith(".py")} == expected
    assert "tgkt_edge/py.typed" in names
    for folder in ("runtime/sinks/live/assets", "train/report/templates"):
        expected = {f"tgkt_edge/{folder}/{file.name}" for file in (REPOSITORY / folder).iterdir()}
        assert len(expected) > 3
        assert {name for name in names if name.startswith(f"tgkt_edge/{folder}/")} == expected
    assert any(name.endswith("/LICENSE") for name in names)
    assert "tgkt-edge = tgkt_edge.cli.main:main" in entries
    assert "Requires-Python: >=3.10" in metadata
    base = [
        line for line in metadata.splitlines() if line.startswith("Requires-Dist") and "extra ==" not in line
    ]
    assert sorted(line.removeprefix("Requires-Dist: ") for line in base) == [
        "numpy",
        "pyyaml",
        "rich",
        "typer",
    ]


def install(wheel: Path, extra: str, folder: Path) -> Path:
    """A fresh virtual environment with the wheel and one extra; returns its bin folder."""
    probe = run([sys.executable, "-m", "pip", "download", "-q", "--no-deps", "-d", folder, "typer"], folder)
    if probe.returncode:
        pytest.skip("no package index can be reached to install the wheel from")
    venv.create(folder / "venv", with_pip=False)
    python = folder / "venv" / "bin" / "python"
    pip = [
        sys.executable,
        "-m",
        "pip",
        "--python",
        python,
        "--disable-pip-version-check",
        "install",
        "-q",
        "--no-compile",
    ]
    done = run([*pip, f"{wheel}{extra}"], folder)
    assert done.returncode == 0, done.stdout + done.stderr
    return python.parent


@pytest.fixture(scope="module")
def bare(wheel: Path, module_folder: Callable[[str], Path]) -> Path:
    """bin folder of an environment with no extra."""
    return install(wheel, "", module_folder("bare"))


@pytest.fixture(scope="module")
def device(wheel: Path, module_folder: Callable[[str], Path]) -> Path:
    """bin folder of an environment with the extra `cpu`, as on a device."""
    return install(wheel, "[cpu]", module_folder("device"))


@pytest.fixture(scope="module")
def near_or_far(module_folder: Callable[[str], Path]) -> Path:
    """A folder with a bundle that tells near frames from far ones by their mean, and two frames of 1 m and 7 m."""
    folder = module_folder("near_or_far")
    (folder / "bundle").mkdir()
    nodes = [
        helper.make_node("GlobalAveragePool", ["frame"], ["p"]),
        helper.make_node("Flatten", ["p"], ["f"]),
        helper.make_node("Gemm", ["f", "w", "b"], ["logits"]),
        helper.make_node("Softmax", ["logits"], ["probabilities"], axis=1),
    ]
    weights = {
        "w": np.array([[-8, 8]], np.float32),
        "b": np.array([4, -4], np.float32),
    }  # logits (4 - 8 m, 8 m - 4), m the mean
    graph = helper.make_graph(
        nodes,
        "near_or_far",
        [helper.make_tensor_value_info("frame", TensorProto.FLOAT, ["N", 1, 16, 16])],
        [
            helper.make_tensor_value_info(name, TensorProto.FLOAT, ["N", 2])
            for name in ("logits", "probabilities")
        ],
        [numpy_helper.from_array(values, name) for name, values in weights.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    model.metadata_props.add(key="tgkt_edge.classes", value=json.dumps(["near", "far"]))
    onnx.save_model(model, str(folder / "bundle" / "model.onnx"))
    Bundle(path=folder / "bundle", classes=("near", "far"), sensor=PRESETS["depth"], size=16).write()
    (folder / "frames").mkdir()
    for name, millimetres in (("a.png", 1000), ("b.png", 7000)):
        assert cv2.imwrite(str(folder / "frames" / name), np.full((48, 64), millimetres, np.uint16))
    return folder


IMPORT_ALL = """
import importlib, json, sys
for name in json.loads(sys.argv[1]):
    importlib.import_module(name)
for name in json.loads(sys.argv[2]):
    try:
        importlib.import_module(name)
    except ModuleNotFoundError:
        continue
    sys.exit(name + " is installed: this proves nothing")
print(importlib.import_module("tgkt_edge").__file__)
"""


@pytest.mark.parametrize("where", ["bare", "device"])
def test_all_but_train_and_export_imports_without_pytorch(
    where: str, request: pytest.FixtureRequest, layout: Layout, tmp_path: Path
) -> None:
    folder: Path = request.getfixturevalue(where)
    absent = [name for name in HEAVY if where == "bare" or name not in ("cv2", "onnxruntime")]
    argument = json.dumps(layout.light)
    done = run([folder / "python", "-c", IMPORT_ALL, argument, json.dumps(absent)], tmp_path)
    assert done.returncode == 0, done.stderr
    assert Path(done.stdout.strip()).is_relative_to(folder.parent)  # the wheel's, not the checkout's


def test_the_installed_command_explains_itself(bare: Path, tmp_path: Path) -> None:
    for command in ([bare / "tgkt-edge"], [bare / "python", "-m", "tgkt_edge"]):
        for flags in (["--help"], ["run", "--help"]):
            done = run([*command, *flags], tmp_path)
            assert done.returncode == 0, done.stderr
            assert "Usage: tgkt-edge" in done.stdout
    assert run([bare / "tgkt-edge", "--version"], tmp_path).stdout.startswith("tgkt-edge ")


def test_a_missing_library_exits_6_and_names_the_extra(bare: Path, near_or_far: Path, wheel: Path) -> None:
    done = run([bare / "tgkt-edge", "run", "bundle", "--camera", "frames"], near_or_far)
    assert done.returncode == 6, done.stderr
    assert done.stdout == ""
    assert f"pip install 'tgkt-edge[cpu] @ {wheel.as_uri()}'" in done.stderr  # where pip finds it
    assert "Traceback" not in done.stderr


def test_a_device_classifies_frames_without_pytorch(device: Path, near_or_far: Path) -> None:
    done = run([device / "tgkt-edge", "run", "bundle", "--camera", "frames"], near_or_far)
    assert done.returncode == 0, done.stderr
    start, *records = [json.loads(line) for line in done.stdout.splitlines()]
    assert start["event"] == "start"
    assert [record["label"] for record in records] == ["near", "far"]
