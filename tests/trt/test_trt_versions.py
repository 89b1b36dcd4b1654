"""What builder and engine use of TensorRT's API is there in the oldest and the newest version they are meant for.

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

from tests.support.checkout import REPOSITORY
from tgkt_edge.trt import library as trt

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
"""Variables of the builder, and what they hold."""

OF_ENGINE = {
    "_runtime": "Runtime",
    "_engine": "ICudaEngine",
    "engine": "ICudaEngine",
    "context": "IExecutionContext",
    "settings": "IRuntimeConfig",
    "_rtx": "",
}
"""Variables and attributes of the runtime's engine, and what they hold; _rtx: TensorRT-RTX itself."""

RTX_ONLY = {
    "DynamicShapesKernelSpecializationStrategy",
    "DynamicShapesKernelSpecializationStrategy.EAGER",
    "ICudaEngine.create_runtime_config",
    "IRuntimeConfig.dynamic_shapes_kernel_specialization_strategy",
    "IRuntimeConfig.set_execution_context_allocation_strategy",
}
"""Asked of TensorRT-RTX alone."""

OURS = {"find", "TensorRt", "install_advice", "install_command"}  # of tgkt_edge.trt.library itself

LOOK = """
import json, sys
import tensorrt_bindings as trt
missing = []
for name in json.loads(sys.argv[1]):
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


def names_of_builder() -> set[str]:
    folder = REPOSITORY / "tgkt_edge" / "trt"
    files = [folder / f"{name}.py" for name in ("build", "options", "monitor", "precision_check", "messages")]
    return used_names(files, CLASSES)


def names_of_engine() -> set[str]:
    return used_names(
        [REPOSITORY / "runtime" / "engines" / f"{name}.py" for name in ("tensorrt", "io_check")], OF_ENGINE
    )


def used_names(files: list[Path], classes: dict[str, str]) -> set[str]:
    """Every `trt.A.B`, and every attribute of the variables and attributes in ``classes``, that the files hold."""
    found = set()
    for file in files:
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
            if expression.id not in classes:  # self._engine.name, ready.context.name
                expression, parts = ast.Name(parts[0]), parts[1:]
            if parts and expression.id in classes:
                kind = classes[expression.id]
                found.add(f"{kind}.{parts[0]}" if kind else ".".join(parts))
    return found


@pytest.fixture(scope="module")
def names() -> list[str]:
    builder, engine = names_of_builder(), names_of_engine()
    assert {"BuilderFlag.TF32", "OnnxParser.parse_from_file", "IBuilderConfig.progress_monitor"} <= builder
    assert {
        "Runtime.deserialize_cuda_engine", "Runtime.engine_host_code_allowed", "ICudaEngine.get_tensor_dtype",
        "ICudaEngine.device_memory_size_v2", "ICudaEngine.create_execution_context", "TensorIOMode.INPUT",
        "ExecutionContextAllocationStrategy.USER_MANAGED", "IExecutionContext.set_device_memory",
        "IExecutionContext.set_input_shape", "IExecutionContext.set_tensor_address",
        "IExecutionContext.execute_async_v3",
    } <= engine  # fmt: skip
    assert engine >= RTX_ONLY
    return sorted((builder | engine) - RTX_ONLY)


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


@pytest.mark.slow
@pytest.mark.parametrize("version", VERSIONS)
def test_every_name_that_is_used_is_there(version: str, names: list[str], tmp_path: Path) -> None:
    wheel = f"tensorrt-cu12-bindings=={version}"
    fetch = f"-m pip download -q --no-deps --only-binary=:all: -d {tmp_path} {wheel}".split()
    if subprocess.run([sys.executable, *fetch], capture_output=True, check=False, timeout=300).returncode:
        pytest.skip(f"{wheel} cannot be fetched for this Python and machine")
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as archive:
        archive.extractall(tmp_path / "bindings")
    make_libraries(tmp_path, version.partition(".")[0])
    done = subprocess.run(
        [sys.executable, "-c", LOOK, json.dumps([*names, "no.such.name"])],
        capture_output=True, text=True, check=False, timeout=120,
        env={**os.environ, "PYTHONPATH": str(tmp_path / "bindings"), "LD_LIBRARY_PATH": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == {"version": version, "missing": ["no.such.name"]}


def test_tensorrt_rtx_has_what_the_engine_uses_of_it(rtx: trt.TensorRt) -> None:
    for name in sorted({*names_of_engine(), "IExecutionContext.is_stream_capturable"}):
        thing = rtx.module
        for part in name.split("."):
            assert hasattr(thing, part), name
            thing = getattr(thing, part)
