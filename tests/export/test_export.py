"""From a finished run to a verified bundle, and what must never become one."""

from __future__ import annotations

import copy
import importlib.metadata
import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from onnx import numpy_helper
from torch import nn

from tgkt_edge import __version__
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.data.loading import load_frames
from tgkt_edge.errors import CheckpointError, GateError, IncompatibleError, UsageError
from tgkt_edge.evaluation.evaluate import evaluate
from tgkt_edge.export import from_run as module
from tgkt_edge.export.export import export
from tgkt_edge.export.graph import Deployed, export_onnx
from tgkt_edge.export.verify_fp32 import MAX_RELATIVE, verify_fp32
from tgkt_edge.io.atomic import sha256_of
from tgkt_edge.preprocess import resize_side, to_unit
from tgkt_edge.runtime.engines.onnxruntime import OnnxRuntimeEngine
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.nn.checkpoint import load_classifier
from tgkt_edge.train.nn.model import normalise
from tgkt_edge.train.run_folder.folder import Run

CLASSES = ("bedroom", "corridor", "kitchen", "office", "staircase", "warehouse")
SIZE = 32


# The bundle


def test_the_manifest_says_what_the_device_must_know(bundle: Bundle, run: Path) -> None:
    assert Bundle.open(bundle.path) == bundle
    assert bundle.classes == CLASSES
    assert bundle.size == SIZE
    assert bundle.sensor == load_sensor("depth").with_size(40, 30)
    assert bundle.precisions == ("fp32",)
    assert bundle.tool_version == __version__
    assert sorted(path.name for path in bundle.path.iterdir()) == ["manifest.json", "model.onnx"]
    model = bundle.model()
    assert bundle.files == {"model.onnx": {"sha256": sha256_of(model), "bytes": model.stat().st_size}}
    assert bundle.provenance["run"] == "run"
    assert bundle.provenance["target_sha256"] == sha256_of(Run(run).target)
    for library in (torch, onnx, onnxruntime):
        assert bundle.provenance[library.__name__] == library.__version__


def test_the_manifest_says_what_was_verified(bundle: Bundle) -> None:
    found = bundle.verification["fp32"]
    assert found["against"] == "torch"
    assert found["frames"] == 12  # all there are
    assert found["top1_agreement"] == 1.0
    assert found["max_logit"] > 0
    assert 0 <= found["mean_logit_difference"] <= found["max_logit_difference"]
    assert found["max_logit_difference"] <= MAX_RELATIVE * found["max_logit"]


def test_the_graph_stands_for_itself(bundle: Bundle) -> None:
    """Without the manifest, ONNX metadata still tell classes, sensor and size; and no path of this machine."""
    onnx.checker.check_model(str(bundle.model()), full_check=True)
    model = onnx.load(str(bundle.model()))
    about = {entry.key: json.loads(entry.value) for entry in model.metadata_props}
    assert about["tgkt_edge.classes"] == list(CLASSES)
    assert about["tgkt_edge.sensor"] == bundle.sensor.to_dict()
    assert about["tgkt_edge.size"] == SIZE
    assert about["tgkt_edge.resize_side"] == resize_side(SIZE)
    assert {entry.domain: entry.version for entry in model.opset_import}[""] == 18
    (entry,) = model.graph.input
    batch, *rest = entry.type.tensor_type.shape.dim
    assert entry.name == "frame"
    assert batch.dim_param  # a name, not a number: any batch
    assert [dim.dim_value for dim in rest] == [1, SIZE, SIZE]
    assert [output.name for output in model.graph.output] == ["logits", "probabilities", "maps"]
    assert str(Path.cwd()).encode() not in bundle.model().read_bytes()


def test_the_weight_norm_is_folded_and_training_layers_are_gone(bundle: Bundle, deployed: Deployed) -> None:
    operators = {node.op_type for node in onnx.load(str(bundle.model())).graph.node}
    assert not operators & {"BatchNormalization", "Dropout", "ReduceL2", "Loop", "If"}
    assert isinstance(deployed.model.classifier.weight, nn.Parameter)


def test_any_batch_size_gives_the_answers_of_torch(bundle: Bundle, deployed: Deployed, codes: Any) -> None:
    engine = OnnxRuntimeEngine(bundle.model(), SIZE, CLASSES)
    for n in (1, 2, 5):
        x = torch.from_numpy(to_unit(codes[:n, :SIZE, :SIZE]))[:, None]
        with torch.inference_mode():
            logits, probabilities = deployed(x)
        found = engine.infer(x.numpy())
        scale = logits.abs().max().item()
        np.testing.assert_allclose(found[0], logits.numpy(), atol=1e-4 * scale)
        np.testing.assert_allclose(found[1], probabilities.numpy(), atol=1e-4)
        np.testing.assert_allclose(found[1].sum(1), 1, rtol=1e-5)
    engine.close()


def test_the_deployed_network_takes_raw_unit_frames_and_leaves_the_model_alone(run: Path, codes: Any) -> None:
    model, _ = load_classifier(Run(run).target)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    x = torch.from_numpy(to_unit(codes[:3, :SIZE, :SIZE]))[:, None]
    with torch.inference_mode():
        logits, probabilities = Deployed(model)(x)
        expected = model(normalise(x.repeat(1, 3, 1, 1)))
    torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(probabilities, expected.softmax(1), rtol=1e-4, atol=1e-4)
    assert before.keys() == model.state_dict().keys()
    assert all(torch.equal(before[name], value) for name, value in model.state_dict().items())


# Verification


def test_a_network_that_differs_from_its_graph_is_found(
    bundle: Bundle, deployed: Deployed, codes: Any
) -> None:
    result = verify_fp32(deployed, bundle.model(), CLASSES, codes[:4], SIZE)
    assert result.frames == 4
    other = copy.deepcopy(deployed)
    with torch.no_grad():  # one number of 23 million, by a thousandth of the largest logit
        other.model.classifier.bias[2] += 1e-3 * result.max_logit
    with pytest.raises(GateError, match=r"disagree on 4 real frames.*No bundle was written") as caught:
        verify_fp32(other, bundle.model(), CLASSES, codes[:4], SIZE)
    assert caught.value.exit_code == 3


def test_a_network_of_nan_does_not_pass(deployed: Deployed, tmp_path: Path, codes: Any) -> None:
    broken = copy.deepcopy(deployed)
    with torch.no_grad():
        broken.model.classifier.bias[2] = torch.nan
    export_onnx(broken, tmp_path / "model.onnx", SIZE, CLASSES, load_sensor("depth"))
    with pytest.raises(GateError):
        verify_fp32(broken, tmp_path / "model.onnx", CLASSES, codes[:2], SIZE)


def corrupting(whole: Any, deployed: Deployed, path: Path, *rest: Any, **options: Any) -> None:
    """Export, then alter one weight in the file, as a wrong conversion would."""
    whole(deployed, path, *rest, **options)
    model = onnx.load(str(path))
    weight = max(
        (w for w in model.graph.initializer if len(w.dims) == 2), key=lambda w: w.dims[0] * w.dims[1]
    )
    values = numpy_helper.to_array(weight).copy()
    values[:, 0] += 10 * np.abs(values).max()
    weight.CopyFrom(numpy_helper.from_array(values, weight.name))
    onnx.save_model(model, path)


def test_a_graph_that_fails_verification_leaves_nothing_behind(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "export_onnx", partial(corrupting, module.export_onnx))  # type: ignore[attr-defined]
    with pytest.raises(GateError, match="disagree on 12 real frames") as caught:
        export(run, tmp_path / "bundle")
    assert caught.value.exit_code == 3
    assert list(tmp_path.iterdir()) == []
    # With an older bundle there, that one stays.
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "manifest.json").write_text("the old one")
    with pytest.raises(GateError):
        export(run, tmp_path / "bundle", overwrite=True)
    assert [path.name for path in tmp_path.rglob("*")] == ["bundle", "manifest.json"]
    assert (tmp_path / "bundle" / "manifest.json").read_text() == "the old one"


# What is refused


def test_an_existing_bundle_is_refused_and_untouched_then_replaced(run: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    out.mkdir()
    (out / "notes.txt").write_text("mine")
    with pytest.raises(UsageError, match="already exists and is not empty") as caught:
        export(run, out)
    assert caught.value.exit_code == 2
    assert [path.name for path in tmp_path.rglob("*")] == ["bundle", "notes.txt"]
    # What no export left there is not deleted, even when asked to; an earlier bundle is.
    with pytest.raises(UsageError, match="replaces an earlier bundle only"):
        export(run, out, overwrite=True)
    assert (out / "notes.txt").read_text() == "mine"
    (out / "manifest.json").write_text("the old one")
    assert export(run, out, overwrite=True).precisions == ("fp32",)
    assert sorted(path.name for path in out.iterdir()) == ["manifest.json", "model.onnx"]


def test_without_target_frames_there_is_no_verification(run: Path, data: Path, tmp_path: Path) -> None:
    with pytest.raises(
        UsageError, match=r"cannot verify: .*does not exist.*`calibrate=T`, or `verify=False`"
    ):
        export(run, tmp_path / "bundle", calibrate=tmp_path / "gone")
    assert list(tmp_path.iterdir()) == []
    assert export(run, tmp_path / "unverified", verify=False).verification == {}
    other = export(run, tmp_path / "verified", calibrate=data / "clip")
    assert other.verification["fp32"]["frames"] == 6


def test_onnx_runtime_may_be_installed_as_another_package(
    bundle: Bundle, deployed: Deployed, codes: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """onnxruntime-gpu brings the same module, and takes CUDA unless told: TF32 there would exceed MAX_RELATIVE."""

    def unknown(name: str) -> str:
        raise importlib.metadata.PackageNotFoundError(name)

    asked: list[Any] = []

    class Watched(OnnxRuntimeEngine):
        def __init__(self, *args: Any, **more: Any) -> None:
            asked.append(more.get("providers"))
            super().__init__(*args, **more)

    monkeypatch.setattr(importlib.metadata, "version", unknown)
    made = export(bundle.path, tmp_path / "again")
    assert made.provenance["onnxruntime"] == onnxruntime.__version__
    monkeypatch.setattr("tgkt_edge.export.verify_fp32.OnnxRuntimeEngine", Watched)
    verify_fp32(deployed, bundle.model(), CLASSES, codes[:2], SIZE)
    assert asked == [["CPUExecutionProvider"]]


def test_unfinished_and_damaged_runs(run: Path, tmp_path: Path) -> None:
    with pytest.raises(IncompatibleError, match="no run here"):
        export(tmp_path / "nowhere", tmp_path / "bundle")
    copied = tmp_path / "run"
    shutil.copytree(run, copied)
    damaged = bytearray(Run(copied).target.read_bytes())
    damaged[-1000] ^= 1
    Run(copied).target.write_bytes(damaged)
    with pytest.raises(CheckpointError, match="was altered"):
        export(copied, tmp_path / "bundle")
    Run(copied).target.unlink()
    with pytest.raises(CheckpointError, match="no such checkpoint"):
        export(copied, tmp_path / "bundle")
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_precision_this_version_does_not_know(run: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="`precisions=fp4`"):
        export(run, tmp_path / "bundle", precisions=["fp32", "fp4"])
    assert list(tmp_path.iterdir()) == []


# The bundle answers as the run does


def test_run_and_bundle_give_the_same_labels(run: Path, bundle: Bundle, data: Path, tmp_path: Path) -> None:
    labels = data / "target_labels.csv"
    files = tmp_path / "run.jsonl", tmp_path / "bundle.jsonl"
    of_run = evaluate(run, labels, device="cpu", models=["target"], predictions=files[0])
    of_bundle = evaluate(bundle.path, labels, predictions=files[1])
    # Probabilities agree to a few units in the last place, so what is computed from them does nearly.
    calibrations = [result["models"]["target"].pop("calibration") for result in (of_run, of_bundle)]
    for key in ("nll", "ece"):
        assert calibrations[0][key] == pytest.approx(calibrations[1][key], abs=1e-4)
    assert of_run == of_bundle
    lines = [[json.loads(line) for line in file.read_text().splitlines()] for file in files]
    assert len(lines[0]) == len(lines[1]) == 12
    for one, other in zip(*lines, strict=True):
        assert (one["frame"], one["label"]) == (other["frame"], other["label"])
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-4)


def test_a_real_photographs_worth_of_depth_reaches_the_engine_unclipped(
    bundle: Bundle, deployed: Deployed, tmp_path: Path
) -> None:
    """End to end through a 16-bit PNG: counts above 255 and above 32767 matter to the answer."""
    raw = np.linspace(500, 60000, 1200).round().astype(np.uint16).reshape(30, 40)
    ok, png = cv2.imencode(".png", raw)
    assert ok
    (tmp_path / "1.png").write_bytes(png.tobytes())
    found = load_frames(tmp_path, bundle.sensor, resize_side(SIZE))[0].codes
    assert found.max() == 65535  # 60 m lie beyond the far end of 8 m
    assert found.min() < 5000  # 0.5 m of 8 m: 4096
    assert verify_fp32(deployed, bundle.model(), CLASSES, found, SIZE).frames == 1
