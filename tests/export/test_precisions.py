"""FP16 and INT8 files: their structure, their gate, and what happens when a precision cannot pass."""

from __future__ import annotations

import copy
import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, numpy_helper

from tgkt_edge.bundle.bundle import MODEL_FILES, Bundle
from tgkt_edge.errors import GateError
from tgkt_edge.evaluation.accuracy_gate import Comparison, compare
from tgkt_edge.export import mixed_precision as fallback
from tgkt_edge.export.export import describe, export
from tgkt_edge.export.int8 import layers, quantise
from tgkt_edge.export.int8_calibration import Ranges, digest
from tgkt_edge.export.mixed_precision import GateFrames, answers, fit
from tgkt_edge.io.atomic import sha256_of

CLASSES = ("bedroom", "corridor", "kitchen", "office", "staircase", "warehouse")
SIZE = 32


def initialisers(model: onnx.ModelProto) -> dict[str, onnx.TensorProto]:
    return {weight.name: weight for weight in model.graph.initializer}


# Files


def test_every_precision_keeps_the_contract_of_the_bundle(
    full: tuple[Bundle, list[str]], bundle: Bundle
) -> None:
    made, _ = full
    assert made.precisions == ("fp32", "fp16", "int8", "int8-cpu")
    plain = onnx.load(str(bundle.model()))
    about = {entry.key: entry.value for entry in plain.metadata_props}
    for name in made.precisions:
        path = made.model(name)
        onnx.checker.check_model(str(path), full_check=True)
        model = onnx.load(str(path))
        assert {e.domain: e.version for e in model.opset_import if e.domain in ("", "ai.onnx")} == {"": 18}
        assert all(node.domain in ("", "ai.onnx") for node in model.graph.node)  # TensorRT knows no other
        ends = [*model.graph.input, *model.graph.output]
        assert [end.name for end in ends] == ["frame", "logits", "probabilities", "maps"]
        assert all(end.type.tensor_type.elem_type == TensorProto.FLOAT for end in ends)
        assert ends[0].type.tensor_type.shape.dim[0].dim_param
        assert {entry.key: entry.value for entry in model.metadata_props}.items() >= about.items()
    assert sha256_of(made.model()) == sha256_of(bundle.model())


def test_fp16_is_half_the_size_and_computes_in_half(full: tuple[Bundle, list[str]]) -> None:
    made, _ = full
    assert made.model("fp16").stat().st_size < 0.51 * made.model().stat().st_size
    model = onnx.load(str(made.model("fp16")))
    types = Counter(weight.data_type for weight in model.graph.initializer if len(weight.dims) > 0)
    assert set(types) <= {TensorProto.FLOAT16, TensorProto.INT64}
    (softmax,) = (node for node in model.graph.node if node.op_type == "Softmax")
    cast = next(node for node in model.graph.node if softmax.input[0] in node.output)
    assert cast.op_type == "Cast"
    assert cast.attribute[0].i == TensorProto.FLOAT


def test_int8_for_cpus_is_unsigned_by_signed_with_quantised_biases(full: tuple[Bundle, list[str]]) -> None:
    model = onnx.load(str(full[0].model("int8-cpu")))
    weights, maker = initialisers(model), {o: n for n in model.graph.node for o in n.output}
    convs = [node for node in model.graph.node if node.op_type == "Conv"]
    assert len(convs) == 53
    assert convs[0].input[1] in weights  # the first stays in float
    for conv in convs[1:]:
        data, weight, bias = (maker[name] for name in conv.input)
        assert {data.op_type, weight.op_type, bias.op_type} == {"DequantizeLinear"}
        assert weights[data.input[2]].data_type == TensorProto.UINT8
        assert weights[weight.input[0]].data_type == TensorProto.INT8
        assert weights[bias.input[0]].data_type == TensorProto.INT32
        channels = weights[weight.input[0]].dims[0]
        assert list(weights[weight.input[1]].dims) == [channels]  # a scale a channel


def test_int8_for_engines_is_symmetric_and_leaves_tensorrt_what_it_fuses(
    full: tuple[Bundle, list[str]],
) -> None:
    model = onnx.load(str(full[0].model("int8")))
    weights, maker = initialisers(model), {o: n for n in model.graph.node for o in n.output}
    for node in model.graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            zero = weights[node.input[2]]
            assert zero.data_type == TensorProto.INT8  # no int32: TensorRT refuses a quantised bias
            assert not numpy_helper.to_array(zero).any()
    convs = [node for node in model.graph.node if node.op_type == "Conv"]
    for conv in convs[1:]:
        assert [maker[name].op_type for name in conv.input[:2]] == ["DequantizeLinear"] * 2
        assert conv.input[2] in weights
    additions = [node for node in model.graph.node if node.op_type == "Add" and maker.keys() >= {*node.input}]
    assert len(additions) == 16  # and one of the bias of the maps
    for node in additions:
        assert [maker[name].op_type for name in node.input] == ["Conv", "DequantizeLinear"]
    used = {name for node in model.graph.node for name in node.input}
    assert set(weights) <= used


def test_int8_weights_are_the_nearest_of_255_steps_a_channel(
    full: tuple[Bundle, list[str]], bundle: Bundle
) -> None:
    plain = initialisers(onnx.load(str(bundle.model())))
    model = onnx.load(str(full[0].model("int8")))
    weights, maker = initialisers(model), {o: n for n in model.graph.node for o in n.output}
    conv = [node for node in model.graph.node if node.op_type == "Conv"][7]
    dequantize = maker[conv.input[1]]
    original = next(
        numpy_helper.to_array(plain[name])
        for name in plain
        if dequantize.input[0].startswith(f"{name}_quant")
    )
    stored, scale = (numpy_helper.to_array(weights[name]) for name in dequantize.input[:2])
    np.testing.assert_allclose(scale, np.abs(original).max((1, 2, 3)) / 127, rtol=1e-5)
    restored = stored * scale[:, None, None, None]
    assert (np.abs(restored - original) <= 0.5001 * scale[:, None, None, None]).all()


# The gate


def test_the_manifest_tells_what_each_precision_costs(full: tuple[Bundle, list[str]], inputs: Any) -> None:
    made, messages = full
    for name in ("fp16", "int8", "int8-cpu"):
        found = made.verification[name]
        assert found["against"] == "fp32"
        assert found["frames"] == 12
        assert found["passed"]
        assert found["max_drop"] == 0.5
        assert found["drop"] == pytest.approx(1 - found["top1_agreement"])
        assert found["mean_kl"] >= 0
        assert found["max_logit_difference"] >= found["mean_logit_difference"] > 0
        assert found["speed"] == pytest.approx(found["ms_fp32"] / found["ms"])
        assert found["held_out"] is False
    assert made.verification["fp16"]["max_logit_difference"] < 5e-3 * made.verification["fp16"]["max_logit"]
    assert made.verification["int8"]["steps"][-1]["passed"]
    calibration = {"method": "minmax", "frames": 12, "sha256": digest(inputs)}
    assert made.provenance["calibration"] == {"int8": calibration, "int8-cpu": calibration}
    assert made.provenance["run"] == "run"  # of the bundle it came from
    assert made.verification["fp32"]["against"] == "torch"
    assert any("only 12 calibration frames" in line for line in messages)
    lines = describe(made)
    assert made.maps is not None
    assert lines[1] == f"maps of each class's evidence: {made.maps[0]} x {made.maps[1]} places"
    assert [line.split()[0] for line in lines[2:7]] == ["precision", *made.precisions]
    recorded = json.loads((made.path / "manifest.json").read_text())["verification"]
    assert recorded == made.verification


def test_each_int8_file_keeps_its_own_calibration(
    full: tuple[Bundle, list[str]], data: Path, tmp_path: Path
) -> None:
    old = full[0].provenance["calibration"]["int8"]
    options: Any = {"calibrate": data / "target", "calibration_frames": 5, "verify": False}
    again = export(full[0].path, tmp_path / "again", precisions=["int8-cpu"], **options)
    assert again.int8_calibration["int8"] == old
    assert again.int8_calibration["int8-cpu"]["frames"] == 5
    assert export(again.path, tmp_path / "third").provenance["calibration"] == again.provenance["calibration"]
    # as it was recorded before: one for all
    manifest = again.path / "manifest.json"
    values = json.loads(manifest.read_text())
    values["provenance"]["calibration"] = old
    manifest.write_text(json.dumps(values))
    assert Bundle.open(again.path).int8_calibration == {"int8": old, "int8-cpu": old}
    newer = export(again.path, tmp_path / "newer", precisions=["int8"], **options)
    assert newer.provenance["calibration"]["int8-cpu"] == old
    assert newer.provenance["calibration"]["int8"]["frames"] == 5


def test_the_layers_that_suffer_most_go_back_to_float_until_it_passes(
    bundle: Bundle, inputs: Any, ranges: Ranges, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Real quantisation and real sensitivity; only the verdict is set, so that the second trial passes."""
    gate = GateFrames(inputs, None, answers(bundle.model(), SIZE, CLASSES, inputs))
    names = layers(onnx.load(str(bundle.model())))
    assert len(names) == 52
    order = {names[40]: 0.3, names[3]: 0.2, names[9]: 0.1}
    monkeypatch.setattr(fallback, "sensitivity", lambda *given: order)
    verdicts = iter(["it loses 3.00%", "it loses 2.00%", ""])
    monkeypatch.setattr(Comparison, "complaint", lambda self, max_drop: next(verdicts))
    messages: list[str] = []
    out = tmp_path / "model.int8-cpu.onnx"
    result, steps = fit(
        bundle.model(), out, ranges.ranges, "int8-cpu", gate, 0.01, SIZE, CLASSES, messages.append
    )
    assert result is not None
    assert [step["float_layers"] for step in steps] == [[], [names[40]], [names[40], names[3]]]
    assert [step["passed"] for step in steps] == [False, False, True]
    assert len(messages) == 4  # each step, and which layers are the most sensitive
    assert [line.partition(": not passed, ")[2] for line in messages] == [
        "it loses 3.00%",
        "",
        "it loses 2.00%",
        "",
    ]
    model = onnx.load(str(out))
    weights = initialisers(model)
    in_float = [n.name for n in model.graph.node if n.op_type == "Conv" and n.input[1] in weights]
    assert sorted(in_float[1:]) == sorted([names[40], names[3]])


def test_sensitivity_finds_the_layer_that_8_bits_ruin(
    bundle: Bundle, inputs: Any, ranges: Ranges, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One layer of four is given a range a thousand times too wide: its activations all but vanish."""
    found = copy.deepcopy(ranges.ranges)
    model = onnx.load(str(bundle.model()))
    names = layers(model)
    chosen = (names[2], names[20], names[35], names[50])
    ruined = next(node for node in model.graph.node if node.name == names[20])
    high = found[ruined.input[0]].range_value[1]
    found[ruined.input[0]].highest = np.array(1000 * float(np.squeeze(high)), np.float32)
    monkeypatch.setattr(fallback, "layers", lambda graph: chosen)
    real = quantise
    monkeypatch.setattr(
        fallback, "quantise",
        lambda path, r, form, keep: real(path, r, form, [n for n in names if n not in chosen or n in keep]),
    )  # fmt: skip
    gate = GateFrames(inputs, None, answers(bundle.model(), SIZE, CLASSES, inputs))
    path = tmp_path / "model.onnx"
    path.write_bytes(bundle.model().read_bytes())
    order = fallback.sensitivity(path, found, "int8-cpu", gate, SIZE, CLASSES, lambda line: None)
    assert next(iter(order)) == names[20]
    assert order[names[20]] > 10 * order[names[50]]
    assert [file.name for file in tmp_path.iterdir()] == ["model.onnx"]  # no trial is left behind


def failing(kinds: set[str]) -> Callable[..., Comparison]:
    """GateFrames.measure, with no file of these names ever good enough."""
    real = GateFrames.measure

    def measure(self: GateFrames, path: Path, size: int, classes: tuple[str, ...]) -> Comparison:
        if path.name not in {MODEL_FILES[kind] for kind in kinds}:
            return real(self, path, size, classes)
        found = self.reference[0].copy()
        found[:, :] = np.roll(found, 1, axis=1)  # every frame gets another class
        return compare(self.reference, (found, np.roll(self.reference[1], 1, axis=1)), self.labels)

    return measure


def test_int8_that_cannot_pass_gives_way_to_fp16(
    bundle: Bundle, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GateFrames, "measure", failing({"int8-cpu"}))
    names = layers(onnx.load(str(bundle.model())))
    monkeypatch.setattr(fallback, "sensitivity", lambda *given: dict.fromkeys(names, 0.1))
    monkeypatch.setattr(fallback, "MOST_FLOAT", 0.04)  # two of 52
    made = export(
        bundle.path, tmp_path / "out", precisions=["int8-cpu"], calibrate=data / "target", max_drop=0.1,
        calibration_method="minmax",
    )  # fmt: skip
    assert made.precisions == ("fp32", "fp16")
    assert made.verification["int8-cpu"]["replaced_by"] == "fp16"
    assert [len(step["float_layers"]) for step in made.verification["int8-cpu"]["steps"]] == [0, 1, 2]
    assert made.verification["fp16"]["passed"]
    assert any("int8-cpu could not keep within the allowed drop" in line for line in describe(made))


def test_what_cannot_pass_at_all_leaves_no_bundle_and_the_old_one_whole(
    bundle: Bundle, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(GateFrames, "measure", failing({"fp16"}))
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "manifest.json").write_text("the old one")
    for out in (tmp_path / "bundle", tmp_path / "new"):
        with pytest.raises(
            GateError,
            match=r"fp16 does not pass on 12 real frames: it loses 100\.00%, .*No bundle was written",
        ) as caught:
            export(bundle.path, out, precisions=["fp16"], calibrate=data / "target", overwrite=True)
        assert caught.value.exit_code == 3
    assert [path.name for path in tmp_path.rglob("*")] == ["bundle", "manifest.json"]
    assert (tmp_path / "bundle" / "manifest.json").read_text() == "the old one"


def test_labels_make_it_a_matter_of_accuracy(bundle: Bundle, data: Path, tmp_path: Path) -> None:
    made = export(
        bundle.path, tmp_path / "out", precisions=["fp16"], calibrate=data / "target",
        labels=data / "target_labels.csv",
    )  # fmt: skip
    found = made.verification["fp16"]
    assert 0 <= found["accuracy"] <= 1
    assert found["drop"] == max(0.0, found["reference_accuracy"] - found["accuracy"])
    assert found["held_out"] is None
