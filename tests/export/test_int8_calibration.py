"""Calibration, and the frames and options that export refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import TensorProto

from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.errors import UsageError
from tgkt_edge.export.export import export
from tgkt_edge.export.int8_calibration import METHODS, Ranges, calibrate, digest

CLASSES = ("bedroom", "corridor", "kitchen", "office", "staircase", "warehouse")
SIZE = 32


@pytest.mark.parametrize("method", list(METHODS))
def test_calibration_covers_what_the_network_computes(bundle: Bundle, inputs: Any, method: str) -> None:
    messages: list[str] = []
    found = calibrate(bundle.model(), inputs, method, messages.append)
    model = onnx.load(str(bundle.model()))
    first = next(node for node in model.graph.node if node.op_type == "Conv")
    low, high = (float(np.squeeze(v)) for v in found.ranges[first.output[0]].range_value)
    probe = onnx.ModelProto()
    probe.CopyFrom(model)
    probe.graph.output.append(onnx.helper.make_tensor_value_info(first.output[0], TensorProto.FLOAT, None))
    session = onnxruntime.InferenceSession(probe.SerializeToString(), providers=["CPUExecutionProvider"])
    seen = session.run([first.output[0]], {"frame": inputs})[0]
    if method == "minmax":
        assert (low, high) == pytest.approx((seen.min(), seen.max()), rel=1e-5)
    inside = ((seen >= low) & (seen <= high)).mean()
    assert inside > 0.9
    assert (low, high) >= (seen.min() - 1e-3, 0)
    assert found.about["method"] == method
    assert found.about["frames"] == 12
    assert len(messages) == 1  # twelve are few
    assert "only 12 calibration frames" in messages[0]


def test_frames_in_portions_give_the_ranges_of_all_at_once(
    bundle: Bundle, inputs: Any, ranges: Ranges, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tgkt_edge.export.int8_calibration._TOGETHER", 100)
    whole = calibrate(bundle.model(), inputs, "minmax").ranges
    assert len(ranges.ranges.data) > 100
    for name, value in ranges.ranges.data.items():
        np.testing.assert_allclose(value.range_value, whole.data[name].range_value, rtol=1e-5)


def test_the_digest_is_of_what_the_network_sees(inputs: Any) -> None:
    assert digest(inputs) == digest(inputs.copy())
    changed = inputs.copy()
    changed[5, 0, 3, 3] += 1e-5
    assert digest(changed) != digest(inputs)
    assert digest(inputs[::-1]) != digest(inputs)
    assert digest(inputs.reshape(6, 2, SIZE, SIZE)) != digest(inputs)


# What is refused


def test_calibration_frames_of_another_sensor_are_named(bundle: Bundle, data: Path, tmp_path: Path) -> None:
    (tmp_path / "frames").mkdir()
    for number in range(3):
        assert cv2.imwrite(str(tmp_path / "frames" / f"{number}.png"), np.full((30, 40), 9, np.uint8))
    with pytest.raises(UsageError, match=r"`calibrate` .*3 of 3 cannot be used[\s\S]*0.png.*uint8") as caught:
        export(bundle.path, tmp_path / "out", precisions=["int8"], calibrate=tmp_path / "frames")
    assert caught.value.exit_code == 2
    # One unreadable file among good ones is refused, too, and skipped when asked to.
    (tmp_path / "mixed").mkdir()
    for file in sorted((data / "target").rglob("*.png"))[:3]:
        (tmp_path / "mixed" / file.name).write_bytes(file.read_bytes())
    (tmp_path / "mixed" / "z.png").write_bytes(b"\x89PNG\r\n\x1a\n cut short")
    with pytest.raises(UsageError, match=r"1 of 4 cannot be used[\s\S]*z.png[\s\S]*`skip_bad=True`"):
        export(bundle.path, tmp_path / "out", precisions=["fp16"], calibrate=tmp_path / "mixed")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["frames", "mixed"]
    made = export(
        bundle.path, tmp_path / "out", precisions=["fp16"], calibrate=tmp_path / "mixed", skip_bad=True,
        max_drop=1,
    )  # fmt: skip
    assert made.verification["fp16"]["frames"] == 3


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"precisions": ["int8"]}, "a bundle does not say where its target frames lie.*`calibrate=T`"),
        ({"precisions": ["int4"]}, "`precisions=int4`: unknown; expected some of fp32, fp16, int8, int8-cpu"),
        ({"calibration_method": "mean"}, "`calibration_method=mean`: unknown; expected one of percentile"),
        ({"max_drop": 1.5}, "`max_drop=1.5`: expected a share from 0 to 1"),
        ({"precisions": ["int8"], "calibration_frames": 0}, "`calibration_frames=0`: expected at least 1"),
    ],
)
def test_options_that_cannot_be(
    bundle: Bundle, data: Path, tmp_path: Path, given: dict[str, Any], message: str
) -> None:
    if "calibration_frames" in given:
        given = {**given, "calibrate": data / "target"}
    with pytest.raises(UsageError, match=message):
        export(bundle.path, tmp_path / "out", **given)
    assert list(tmp_path.iterdir()) == []


def test_a_bundle_may_be_replaced_by_itself_with_more(bundle: Bundle, data: Path, tmp_path: Path) -> None:
    first = export(bundle.path, tmp_path / "b")
    assert first.precisions == ("fp32",)
    assert first.verification == bundle.verification
    again = export(
        tmp_path / "b",
        tmp_path / "b",
        precisions=["fp16"],
        calibrate=data / "target",
        overwrite=True,
        max_drop=1,
    )
    assert again.precisions == ("fp32", "fp16")
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
