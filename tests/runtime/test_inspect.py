"""What files say of themselves, read without the libraries that wrote them; checked against those libraries."""

from __future__ import annotations

import json
import struct
import subprocess
import sys
from pathlib import Path

import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from typer.testing import CliRunner

from tests.support.bundles import save_bundle
from tests.support.cli import cli_environment, run_cli
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.bundle.engine_header import read_header
from tgkt_edge.bundle.engine_metadata import Here
from tgkt_edge.bundle.inspect_bundle import describe, inspect
from tgkt_edge.bundle.inspect_engine import inspect_plan
from tgkt_edge.bundle.onnx_file import OnnxTensor, read_onnx
from tgkt_edge.cli.main import app
from tgkt_edge.errors import BundleError, IncompatibleError, UsageError


@pytest.fixture
def model(depth_bundle: Bundle) -> Path:
    return depth_bundle.path / "model.onnx"


def test_an_onnx_file_is_read_as_the_onnx_library_reads_it(model: Path) -> None:
    ours, theirs = read_onnx(model), onnx.load(str(model))
    graph = theirs.graph
    assert (ours.ir_version, ours.opset) == (theirs.ir_version, theirs.opset_import[0].version)
    assert dict(ours.operators) == {
        kind: sum(node.op_type == kind for node in graph.node)
        for kind in {node.op_type for node in graph.node}
    }
    arrays = [numpy_helper.to_array(weight) for weight in graph.initializer]
    assert ours.parameters == sum(array.size for array in arrays)
    assert ours.parameter_bytes == sum(array.nbytes for array in arrays)
    assert ours.metadata == {entry.key: entry.value for entry in theirs.metadata_props}
    assert list(ours.inputs) == [value.name for value in graph.input]
    assert list(ours.outputs) == [value.name for value in graph.output]
    frame = graph.input[0].type.tensor_type
    shape = tuple(dim.dim_param or dim.dim_value for dim in frame.shape.dim)
    assert ours.inputs["frame"] == OnnxTensor("float32", shape)
    assert ours.precision == "fp32"


def test_types_and_unpacked_dimensions_are_understood(tmp_path: Path) -> None:
    half = numpy_helper.from_array(
        numpy_helper.to_array(helper.make_tensor("w", TensorProto.FLOAT16, [3, 2], [1] * 6)), "w"
    )
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT16, [None, 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT16, None)],
        [half],
    )
    path = tmp_path / "half.onnx"
    onnx.save_model(helper.make_model(graph), path)
    info = read_onnx(path)
    assert (info.precision, info.parameters, info.parameter_bytes) == ("fp16", 6, 12)
    assert info.inputs["x"].shape == (None, 3)


def test_damaged_files_are_refused_wherever_they_are_cut(model: Path, tmp_path: Path) -> None:
    """Never a crash, never a half-read answer: the graph is one field, and it is nearly the whole file."""
    data, path = model.read_bytes(), tmp_path / "cut.onnx"
    for length in (0, 1, 7, len(data) // 3, len(data) // 2, len(data) - 400):
        path.write_bytes(data[:length])
        with pytest.raises(IncompatibleError, match=r"cut\.onnx is no ONNX file, or a damaged one"):
            read_onnx(path)
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    with pytest.raises(IncompatibleError, match="is no ONNX file"):
        read_onnx(path)


def plan(
    path: Path, magic: bytes = b"ftrt", layout: int = 0, version: tuple[int, ...] = (10, 3, 0, 26)
) -> Path:
    path.write_bytes(magic + struct.pack("<I", layout) + bytes(16) + bytes(version) + bytes(1000))
    return path


def test_a_plan_tells_its_library_and_version(tmp_path: Path) -> None:
    header = read_header(plan(tmp_path / "a.plan"))
    assert (header.flavour, header.version_text, header.bytes) == ("tensorrt", "10.3.0.26", 1028)
    seen = inspect(plan(tmp_path / "b.plan", b"vtrt", version=(1, 7, 1, 116)))
    assert seen.items() >= {
        "kind": "plan", "bytes": 1028, "library": "TensorRT-RTX", "version": "1.7.1.116",
        "sidecar": None, "problems": [],
    }.items()  # fmt: skip
    assert "It has no sidecar" in describe(seen, tmp_path / "b.plan")[1]


def test_a_plan_without_a_sidecar_is_compared_by_its_version(tmp_path: Path) -> None:
    path = plan(tmp_path / "a.plan")
    assert inspect_plan(path, Here("tensorrt", "10.3.0", "8.7", "Orin"))["not_here"] == []
    assert "here is 10.7.0" in inspect_plan(path, Here("tensorrt", "10.7.0", "8.7", "Orin"))["not_here"][0]
    assert inspect_plan(path, Here(why_not=["no TensorRT"]))["not_here"] == ["no TensorRT"]


def test_a_damaged_plan_is_refused(tmp_path: Path) -> None:
    short = tmp_path / "short.plan"
    short.write_bytes(b"ftrt" + bytes(10))
    with pytest.raises(BundleError, match="14 bytes: too short for a TensorRT plan"):
        inspect(short)
    with pytest.raises(BundleError, match="layout version 9"):
        inspect(plan(tmp_path / "new.plan", layout=9))
    with pytest.raises(BundleError, match="is no TensorRT plan"):
        read_header(plan(tmp_path / "other.plan", magic=b"ELF "))


def test_the_command_shows_a_bundle(depth_bundle: Bundle) -> None:
    done = CliRunner().invoke(app, ["inspect", str(depth_bundle.path)])
    assert done.exit_code == 0, done.output
    for text in (*depth_bundle.classes, "model.onnx: ONNX, fp32", "unit_m 0.001", "32 pixels"):
        assert text in done.stdout
    seen = json.loads(CliRunner().invoke(app, ["inspect", str(depth_bundle.path), "--json"]).stdout)
    assert seen["classes"] == list(depth_bundle.classes)
    assert seen["models"]["fp32"]["parameters"] > 0
    assert seen["problems"] == []


@pytest.mark.slow
def test_an_altered_file_is_shown_and_is_exit_4(tmp_path: Path) -> None:
    bundle = save_bundle(tmp_path / "bundle")
    with (bundle.path / "model.onnx").open("ab") as file:
        file.write(b"\0")
    done = run_cli("inspect", bundle.path, "--json")
    assert done.code == 4
    (seen,) = done.records
    assert "the manifest says" in seen["problems"][0]
    assert seen["models"] == {}


def test_anything_else_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or folder"):
        inspect(tmp_path / "nothing")
    with pytest.raises(IncompatibleError, match=r"neither a bundle \(manifest\.json\) nor a run"):
        inspect(tmp_path)
    damaged = tmp_path / "source.safetensors"
    for data in (bytes(range(256)) * 9, (2**62).to_bytes(8, "little") + b"{}", bytes(64)):
        damaged.write_bytes(data)  # whatever it was, nothing says that it was ONNX
        with pytest.raises(
            IncompatibleError, match=r"is no model file that is known here.* Expected a bundle"
        ):
            inspect(damaged)


@pytest.mark.slow
def test_it_needs_no_library(depth_bundle: Bundle) -> None:
    code = (
        "import sys\n"
        "sys.modules.update(dict.fromkeys(('onnx', 'onnxruntime', 'torch', 'tensorrt', 'cv2')))\n"
        "from pathlib import Path\nfrom tgkt_edge.bundle.inspect_bundle import inspect\n"
        f"assert inspect(Path({str(depth_bundle.path)!r}))['models']['fp32']['opset']\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=cli_environment())
    assert done.returncode == 0, done.stderr
