"""``export --raw``: graphs that take raw counts, in a bundle: what it says of them, and what they answer."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import pytest

import tgkt_edge
from tests.support.images import make_frames, save_frames
from tests.support.training import CLASSES, SIDE
from tgkt_edge.bundle.bundle import RAW_FILES, Bundle
from tgkt_edge.data.raw_frames import load_raw_frames
from tgkt_edge.errors import BundleError, DataError, GateError, UsageError
from tgkt_edge.evaluation.raw_check import check_raw
from tgkt_edge.evaluation.verify import describe, verify
from tgkt_edge.export.export import export
from tgkt_edge.export.raw.preprocessing import RawInput
from tgkt_edge.export.raw.write import with_preprocessing
from tgkt_edge.export.task import Task
from tgkt_edge.preprocess import preprocess
from tgkt_edge.runtime import open_engine

HEIGHT, WIDTH = 30, 40


@pytest.fixture(scope="module")
def raw(bundle: Bundle, data: Path, module_folder: Callable[[str], Path]) -> Bundle:
    """The bundle with graphs of raw counts, fp32 and fp16. Tests only read it."""
    return export(
        bundle.path, module_folder("raw") / "bundle", precisions=["fp16"], calibrate=data / "target",
        max_drop=0.5, raw=True,
    )  # fmt: skip


@pytest.fixture(scope="module")
def counts(data: Path, raw: Bundle) -> list[tuple[str, Any]]:
    return load_raw_frames(data / "target", raw.sensor, 12)


def ask(path: Path, frame: Any, *names: str) -> list[Any]:
    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    found: list[Any] = session.run(list(names) or None, {"counts": frame[np.newaxis]})
    return found


def test_the_manifest_names_files_input_and_what_was_verified(raw: Bundle) -> None:
    values = json.loads((raw.path / "manifest.json").read_text())
    outputs = ["logits", "probabilities", "maps", "frame", "measured"]
    assert values["raw"] == {
        "name": "counts", "dtype": "uint16", "height": HEIGHT, "width": WIDTH, "outputs": outputs,
    }  # fmt: skip
    assert raw.raw_precisions == ("fp32", "fp16")
    assert {"model.raw.onnx", "model.raw.fp16.onnx"} <= set(values["files"])
    for name in ("raw", "raw-fp16"):
        found = values["verification"][name]
        assert (found["against"], found["frames"], found["passed"]) == ("preprocess", 12, True)
        assert found["max_code_difference"] <= 1
        assert found["top1_agreement"] == 1


def test_the_graph_stands_for_itself(raw: Bundle) -> None:
    path = raw.file(RAW_FILES["fp32"])
    onnx.checker.check_model(str(path), full_check=True)
    model = onnx.load(str(path))
    about = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert about["tgkt_edge.classes"] == list(CLASSES)
    assert about["tgkt_edge.raw"] == {"height": HEIGHT, "width": WIDTH}
    assert about["tgkt_edge.temperature"] == 1
    (entry,) = model.graph.input
    assert (entry.name, entry.type.tensor_type.elem_type) == ("counts", onnx.TensorProto.UINT16)
    shapes = {
        one.name: [dim.dim_value for dim in one.type.tensor_type.shape.dim]
        for one in (entry, *model.graph.output)
    }
    count = len(CLASSES)
    assert shapes == {
        "counts": [1, HEIGHT, WIDTH], "logits": [1, count], "probabilities": [1, count], "maps": [1, count, 1, 1],
        "frame": [1, 1, SIDE, SIDE], "measured": [1],
    }  # fmt: skip
    assert not {node.op_type for node in model.graph.node} & {"Loop", "If", "Scan"}


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_raw_frames_are_answered_as_preprocessing_and_the_plain_graph_do(
    raw: Bundle, counts: list[tuple[str, Any]], precision: str
) -> None:
    engine = open_engine(raw, precision, "cpu")
    for name, frame in counts:
        unit = preprocess(frame, raw.sensor, SIDE, name)
        logits, probabilities = engine.infer(unit[np.newaxis])
        found = ask(raw.file(RAW_FILES[precision]), frame, "logits", "probabilities", "frame", "measured")
        np.testing.assert_array_equal(found[2][0], unit)
        np.testing.assert_allclose(found[0], logits, atol=1e-4 * np.abs(logits).max())
        np.testing.assert_allclose(found[1], probabilities, atol=1e-4)
        assert found[3][0] == pytest.approx((frame != 0).mean())


def test_frames_of_another_size_are_refused_by_the_runtime(raw: Bundle) -> None:
    with pytest.raises(Exception, match="Got: 31 Expected: 30"):
        ask(raw.file(RAW_FILES["fp32"]), np.ones((31, 40), np.uint16))


def test_probabilities_have_the_bundles_temperature_and_logits_do_not(
    raw: Bundle, counts: list[tuple[str, Any]], tmp_path: Path
) -> None:
    task = Task(raw.path, raw.classes, raw.sensor, raw.size)
    for precision in ("fp32", "fp16"):
        model = onnx.load(str(raw.model(precision)))
        onnx.save(with_preprocessing(task, model, RawInput(HEIGHT, WIDTH), 2.5), tmp_path / "soft.onnx")
        logits, probabilities = ask(tmp_path / "soft.onnx", counts[0][1], "logits", "probabilities")
        plain = ask(raw.file(RAW_FILES[precision]), counts[0][1], "logits")[0]
        np.testing.assert_array_equal(logits, plain)
        spread = np.exp((logits - logits.max()) / 2.5)
        np.testing.assert_allclose(probabilities, spread / spread.sum(), rtol=1e-4)


def test_int32_counts_for_tensorrt(
    bundle: Bundle, data: Path, counts: list[tuple[str, Any]], tmp_path: Path
) -> None:
    made = tgkt_edge.export(
        bundle.path, tmp_path / "out", calibrate=data / "target", raw=True, raw_input="int32", overwrite=True
    )
    assert made.raw["dtype"] == "int32"
    assert made.verification["raw"]["max_code_difference"] <= 1
    answer = ask(made.file(RAW_FILES["fp32"]), counts[0][1].astype(np.int32), "frame")[0]
    np.testing.assert_array_equal(answer[0], preprocess(counts[0][1], made.sensor, SIDE))
    # They follow their bundle: made again, of the same input, where another precision is added.
    more = export(made.path, tmp_path / "more", precisions=["fp16"], calibrate=data / "target", max_drop=0.5)
    assert more.raw == made.raw
    assert more.raw_precisions == ("fp32", "fp16")


def test_verify_and_inspect_know_them(raw: Bundle, data: Path) -> None:
    result = verify(raw.path, frames=data / "target", engine="cpu", max_drop=0.5)
    assert set(result["verification"]) == {"fp32", "fp16", "raw", "raw-fp16"}
    assert result["verification"]["raw"]["max_code_difference"] <= 1
    assert any(line.startswith("raw-fp16") for line in describe(result))
    seen = tgkt_edge.inspect(raw.path)
    assert seen["raw"]["dtype"] == "uint16"
    assert set(seen["raw_models"]) == {"fp32", "fp16"}
    assert seen["raw_models"]["fp32"]["inputs"] == {
        "counts": {"dtype": "uint16", "shape": [1, HEIGHT, WIDTH]}
    }


def test_frames_of_another_size_than_the_graphs_are_named(raw: Bundle, tmp_path: Path) -> None:
    save_frames(tmp_path / "frames", make_frames(2))
    with pytest.raises(DataError, match=r"64x48 pixels, but the sensor is 40x30"):
        verify(raw.path, frames=tmp_path / "frames", engine="cpu", max_drop=1)


def test_frames_without_a_measurement_prove_nothing(raw: Bundle) -> None:
    dark = [("dark", np.zeros((HEIGHT, WIDTH), np.uint16))]
    engine = open_engine(raw, engine="cpu")
    with pytest.raises(UsageError, match="none of 1 frames holds a measurement"):
        check_raw(raw.file(RAW_FILES["fp32"]), raw.sensor, raw.size, engine, dark, 0.5, "uint16")


def test_a_graph_that_preprocesses_otherwise_does_not_pass(
    raw: Bundle, counts: list[tuple[str, Any]], tmp_path: Path
) -> None:
    model = onnx.load(str(raw.file(RAW_FILES["fp32"])))
    table = max(model.graph.initializer, key=lambda one: one.dims[0] if len(one.dims) == 1 else 0)
    values = onnx.numpy_helper.to_array(table).copy()
    values[values > 0] -= 3  # codes
    table.CopyFrom(onnx.numpy_helper.from_array(values, table.name))
    onnx.save(model, tmp_path / "model.raw.onnx")
    with pytest.raises(GateError, match=r"inputs differ by up to [234] of 65535 codes \(allowed 1\)"):
        check_raw(
            tmp_path / "model.raw.onnx",
            raw.sensor,
            raw.size,
            open_engine(raw, engine="cpu"),
            counts,
            0.5,
            "uint16",
        )


def test_an_altered_file_is_found(raw: Bundle, tmp_path: Path) -> None:
    shutil.copytree(raw.path, tmp_path / "bundle")
    with (tmp_path / "bundle" / "model.raw.onnx").open("r+b") as file:
        file.seek(1000)
        file.write(b"\xff\x00")
    with pytest.raises(BundleError, match=r"model.raw.onnx was altered"):
        verify(tmp_path / "bundle", engine="cpu")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ({"raw": "yes"}, "expected an input of a height and a width"),
        ({"raw": {"height": 0, "width": 4, "dtype": "uint16"}}, "positive numbers of pixels"),
        ({"raw": {"height": 3, "width": 4, "dtype": "float64"}}, "raw dtype = 'float64'"),
    ],
)
def test_a_manifest_with_another_input_is_damaged(raw: Bundle, given: Any, text: str, tmp_path: Path) -> None:
    values = json.loads((raw.path / "manifest.json").read_text())
    (tmp_path / "manifest.json").write_text(json.dumps(values | given))
    with pytest.raises(BundleError, match=text):
        Bundle.open(tmp_path)


def test_frames_are_needed_to_verify_with(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"`raw=True`: a bundle does not say where its target frames lie"):
        export(bundle.path, tmp_path / "out", raw=True)


def test_the_type_of_the_input_alone_is_refused(bundle: Bundle, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"`raw_input=int32`: only for graphs of raw counts"):
        tgkt_edge.export(bundle.path, tmp_path / "out", raw_input="int32")
