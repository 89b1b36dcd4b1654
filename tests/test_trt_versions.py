"""What the builder uses of TensorRT's API is there in the oldest and the newest version it is meant for.

The Python bindings on PyPI are the real ones; the library behind them is not needed to look at their classes, only
functions of its names, so that they load.
"""

from __future__ import annotations

import ast
import json
import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

VERSIONS = {"10.3.0": "JetPack 6", "10.13.3.9": "JetPack 7", "11.4.0.106": "the newest tried"}

C_FUNCTIONS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
)

CLASSES = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "cache": "ITimingCache",
    "parser": "OnnxParser",
    "error": "ParserError",
    "layer": "ILayer",
    "maker": "ILayer",
    "tensor": "ITensor",
    "t": "ITensor",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
}
"""Variables of tgkt_edge/trt_builder, and what they hold."""

OURS = {"find", "TensorRt", "INSTALL"}  # of tgkt_edge.trt itself

LOOK = """
import json, sys
sys.path.insert(0, sys.argv[1])
import tensorrt_bindings as trt
missing = []
for name in json.loads(sys.argv[2]):
    thing = trt
    for part in name.split("."):
        if not hasattr(thing, part):
            missing.append(name)
            break
        thing = getattr(thing, part)

class Monitor(trt.IProgressMonitor):
    def __init__(self):
        trt.IProgressMonitor.__init__(self)

class Log(trt.ILogger):
    def __init__(self):
        trt.ILogger.__init__(self)
    def log(self, severity, msg):
        pass

Monitor(), Log(), trt.Dims4([1, 1, 4, 4])
print(json.dumps({"version": trt.__version__, "missing": missing}))
"""


def used_names(folder: Path) -> list[str]:
    """Every `trt.A.B`, and every attribute of the variables in CLASSES, that the builder's source holds."""
    found = set()
    for file in folder.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            parts: list[str] = []
            expression: ast.AST = node
            while isinstance(expression, ast.Attribute):
                parts.insert(0, expression.attr)
                expression = expression.value
            if not parts or not isinstance(expression, ast.Name):
                continue
            if expression.id == "trt" and parts[0] not in OURS:
                found.add(".".join(parts))
            elif expression.id in CLASSES and file.stem in ("build", "flavours", "monitor", "proof"):
                found.add(f"{CLASSES[expression.id]}.{parts[0]}")
    return sorted(found)


@pytest.fixture(scope="module")
def names(repository: Path) -> list[str]:
    found = used_names(repository / "tgkt_edge" / "trt_builder")
    assert {"BuilderFlag.TF32", "OnnxParser.parse_from_file", "IBuilderConfig.progress_monitor"} <= set(found)
    assert len(found) > 50
    return found


def make_libraries(folder: Path, major: str) -> None:
    """Libraries of TensorRT's names whose functions do nothing."""
    compiler = shutil.which("gcc")
    if compiler is None:
        pytest.skip("needs gcc")
    source = folder / "functions.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in C_FUNCTIONS))
    for name in ("nvinfer", "nvonnxparser", "nvinfer_plugin"):
        library = f"lib{name}.so.{major}"
        subprocess.run(
            [compiler, "-shared", "-fPIC", f"-Wl,-soname,{library}", "-o", folder / library, source],
            check=True,
        )


@pytest.mark.parametrize("version", VERSIONS)
def test_every_name_the_builder_uses_is_there(version: str, names: list[str], tmp_path: Path) -> None:
    wheel = f"tensorrt-cu12-bindings=={version}"
    fetch = f"-m pip download -q --no-deps --only-binary=:all: -d {tmp_path} {wheel}".split()
    if subprocess.run([sys.executable, *fetch], capture_output=True, check=False, timeout=300).returncode:
        pytest.skip(f"{wheel} cannot be fetched for this Python and machine")
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as archive:
        archive.extractall(tmp_path / "bindings")
    make_libraries(tmp_path, version.partition(".")[0])
    done = subprocess.run(
        [sys.executable, "-c", LOOK, str(tmp_path / "bindings"), json.dumps([*names, "no.such.name"])],
        capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "LD_LIBRARY_PATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"version": version, "missing": ["no.such.name"]}
