"""examples/: a C++ program and a Triton configuration for ``model.raw.onnx``, on a graph and frames that are real."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray

from tests.support import triton
from tests.support.bundles import CLASSES, SIZE, save_bundle
from tests.support.checkout import REPOSITORY
from tests.support.images import make_frames
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.export.raw.preprocessing import RawInput
from tgkt_edge.export.raw.write import with_preprocessing
from tgkt_edge.export.task import Task
from tgkt_edge.io.images import read_frame
from tgkt_edge.preprocess import preprocess
from tgkt_edge.runtime import open_engine
from tgkt_edge.sensor import PRESETS, SensorSpec

EXAMPLES = REPOSITORY / "examples"
HEADERS = os.environ.get("ONNXRUNTIME_INCLUDE", str(REPOSITORY / "tests" / "support" / "onnxruntime"))
NIR8 = SensorSpec("nir", "uint8", black=10, white=240)


@pytest.fixture(scope="module")
def classify(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The program, compiled as its head says, with the library of the onnxruntime wheel."""
    compiler = shutil.which("g++")
    libraries = sorted((Path(onnxruntime.__file__).parent / "capi").glob("libonnxruntime.so*"))
    if compiler is None or not libraries:
        pytest.skip("needs g++, and an onnxruntime with its shared library")
    folder = tmp_path_factory.mktemp("cpp")
    # The library's own name is libonnxruntime.so.1, which the loader looks for.
    for name in ("libonnxruntime.so", "libonnxruntime.so.1"):
        (folder / name).symlink_to(libraries[-1])
    source = EXAMPLES / "cpp-onnxruntime" / "classify.cpp"
    options = ["-std=c++17", "-O2", "-Wall", "-Wextra", "-Werror", "-I", HEADERS, "-L", str(folder)]
    subprocess.run(
        [
            compiler,
            *options,
            str(source),
            "-lonnxruntime",
            f"-Wl,-rpath,{folder}",
            "-o",
            str(folder / "classify"),
        ],
        check=True,
    )
    return folder / "classify"


def raw_model(
    folder: Path, spec: SensorSpec, shape: tuple[int, ...], kind: Any = "sensor"
) -> tuple[Bundle, Path]:
    bundle = save_bundle(folder / "bundle", spec)
    task = Task(bundle.path, CLASSES, spec, SIZE)
    model = with_preprocessing(task, onnx.load(str(bundle.model())), RawInput(shape[0], shape[1], kind), 1.0)
    onnx.save(model, folder / "model.raw.onnx")
    return bundle, folder / "model.raw.onnx"


def save_pgm(path: Path, frame: NDArray[Any]) -> Path:
    most = 255 if frame.dtype == np.uint8 else 65535
    head = f"P5\n# a comment\n{frame.shape[1]} {frame.shape[0]}\n{most}\n".encode()
    path.write_bytes(head + frame.astype(">u2" if most > 255 else "u1").tobytes())
    return path


def run(program: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("spec", "kind"), [(PRESETS["depth"], "sensor"), (PRESETS["depth"], "int32"), (NIR8, "sensor")],
    ids=["uint16", "int32", "uint8"],
)  # fmt: skip
def test_the_program_answers_as_the_package(
    classify: Path, spec: SensorSpec, kind: str, tmp_path: Path
) -> None:
    frames = [
        frame if spec.dtype == "uint16" else (frame // 256).astype(np.uint8) for frame in make_frames(4)
    ]
    answers_as_the_package(classify, spec, kind, frames, tmp_path)


@pytest.mark.parametrize(
    ("folder", "preset"),
    [("nyuv2/depth", "nyuv2"), ("sensor16/depth", "depth")],
    ids=["8 bits", "16 bits, holes"],
)
def test_the_program_answers_as_the_package_on_real_frames(
    classify: Path, folder: str, preset: str, data_dir: Path, tmp_path: Path
) -> None:
    files = sorted((data_dir / folder).glob("*.png"))
    if not files:
        pytest.skip(f"{data_dir / folder} does not exist")
    frames = [read_frame(files[i]) for i in np.unique(np.linspace(0, len(files) - 1, 4).astype(int))]
    answers_as_the_package(classify, PRESETS[preset], "sensor", frames, tmp_path)


def answers_as_the_package(
    classify: Path, spec: SensorSpec, kind: str, frames: list[NDArray[Any]], tmp_path: Path
) -> None:
    bundle, path = raw_model(tmp_path, spec, frames[0].shape, kind)
    engine = open_engine(bundle, engine="cpu")
    for frame in frames:
        probabilities = engine.infer(preprocess(frame, spec, SIZE)[np.newaxis])[1][0]
        done = run(classify, path, save_pgm(tmp_path / "frame.pgm", frame), *CLASSES)
        assert done.returncode == 0, done.stderr
        found = json.loads(done.stdout)
        assert found["label"] == CLASSES[int(probabilities.argmax())]
        assert found["probabilities"] == pytest.approx(probabilities.tolist(), abs=1e-6)
        expected = float(spec.valid(frame).mean()) if spec.has_invalid else 1.0
        assert found["measured"] == pytest.approx(expected, abs=1e-6)


def test_what_cannot_be_classified_is_told_by_the_exit_code(classify: Path, tmp_path: Path) -> None:
    frame = make_frames(1)[0]
    _, path = raw_model(tmp_path, PRESETS["depth"], frame.shape)
    good = save_pgm(tmp_path / "good.pgm", frame)
    (tmp_path / "cut.pgm").write_bytes(good.read_bytes()[:-5])
    (tmp_path / "text.pgm").write_text("P2 1 1 255 0")
    for arguments, code, text in (
        ((path,), 2, "usage"),
        ((path, tmp_path / "none.pgm"), 2, "cannot be opened"),
        ((path, tmp_path / "text.pgm"), 2, "expected a binary PGM"),
        ((path, tmp_path / "cut.pgm"), 2, "ends before its last pixel"),
        (
            (path, save_pgm(tmp_path / "narrow.pgm", (frame // 256).astype(np.uint8))),
            2,
            "8 bits, the graph takes 16",
        ),
        ((path, save_pgm(tmp_path / "small.pgm", frame[:-1])), 1, "Expected: "),
        ((good, good), 1, "ONNX Runtime: "),
        ((path, save_pgm(tmp_path / "dark.pgm", np.zeros_like(frame))), 3, ""),
    ):
        done = run(classify, *arguments)
        assert done.returncode == code, (arguments, done)
        assert text in done.stderr


TYPES = {"TYPE_UINT8": "uint8", "TYPE_UINT16": "uint16", "TYPE_INT32": "int32", "TYPE_FP32": "float32"}


def test_tritons_configuration_is_that_of_a_graph(tmp_path: Path) -> None:
    """With the numbers that the file names: 640x480, uint16, 6 classes. The graph of three has [1, 3]."""
    config = triton.parse((EXAMPLES / "triton" / "config.pbtxt").read_text())
    assert (config["backend"], config["max_batch_size"]) == ("onnxruntime", 0)
    (given,) = config["input"]
    _, path = raw_model(tmp_path, PRESETS["depth"], (given["dims"][1], given["dims"][2]))
    graph = onnx.load(str(path)).graph

    def tensor(value: Any) -> tuple[str, list[int]]:
        kind = value.type.tensor_type
        name = np.dtype(onnx.helper.tensor_dtype_to_np_dtype(kind.elem_type)).name
        return name, [dim.dim_value for dim in kind.shape.dim]

    assert {one.name: tensor(one) for one in graph.input} == {
        given["name"]: (TYPES[given["data_type"]], given["dims"])
    }
    outputs = {one.name: tensor(one) for one in graph.output}
    for one in config["output"]:
        dims = [1, len(CLASSES)] if one["name"] == "probabilities" else one["dims"]
        assert outputs[one["name"]] == (TYPES[one["data_type"]], dims)
    assert one["dims"] == [1]
    assert config["output"][0]["dims"] == [1, 6]
    assert set(outputs) == {"logits", "probabilities", "frame", "measured"}


def test_a_configuration_that_is_none_is_refused() -> None:
    for text in ("input [", "a: ;", "a { b: 1", "a: 1 a: 2"):
        with pytest.raises((ValueError, StopIteration)):
            triton.parse(text)
