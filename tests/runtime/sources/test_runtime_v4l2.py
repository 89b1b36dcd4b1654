"""``tgkt-edge run`` on a V4L2 camera, answered by an LD_PRELOAD shim in place of the kernel."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.bundles import save_bundle
from tests.support.cli import run_cli
from tests.support.v4l2 import CAMERA, painted
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.preprocess import preprocess
from tgkt_edge.runtime import open_engine
from tgkt_edge.sensor import PRESETS

pytestmark = pytest.mark.slow


def test_run_classifies_the_camera_bit_for_bit(shim: str, depth_bundle: Bundle) -> None:
    done = run_cli(
        "run", depth_bundle.path, "--camera", CAMERA, "--max-frames", 5, "--drop", "none", LD_PRELOAD=shim
    )
    assert done.code == 0, done.stderr
    states = [record["state"] for record in done.records if record.get("event") == "state"]
    assert states == ["connecting", "live"]
    decisions = [record for record in done.records if "event" not in record]
    assert [record["frame"] for record in decisions] == list(range(5))
    engine = open_engine(depth_bundle)
    expected = [
        engine.infer(preprocess(painted(number), depth_bundle.sensor, depth_bundle.size)[np.newaxis])[1][0]
        for number in range(5)
    ]
    found = []
    for record in decisions:
        by_label = {entry["label"]: entry["probability"] for entry in record["top"]}
        found.append(np.array([by_label[name] for name in depth_bundle.classes], np.float32))
    for answer, probabilities in zip(expected, found, strict=True):
        np.testing.assert_array_equal(probabilities, answer)
    assert {record["source"] for record in decisions} == {"/dev/video42"}


def test_the_age_of_a_decision_counts_from_the_drivers_timestamp(shim: str, depth_bundle: Bundle) -> None:
    done = run_cli(
        "run", depth_bundle.path, "--camera", CAMERA, "--max-frames", 3, LD_PRELOAD=shim, SHIM_AGE_MS="1500"
    )
    assert done.code == 0, done.stderr
    decisions = [record for record in done.records if "event" not in record]
    assert len(decisions) == 3
    for record in decisions:
        assert record["ms"]["age"] >= 1500 > record["ms"]["total"]
    assert "\n  age " in done.stderr


def test_unplugged_camera_exits_5_after_the_summary(shim: str, depth_bundle: Bundle) -> None:
    done = run_cli(
        "run", depth_bundle.path, "--camera", CAMERA, "--drop", "none", "--max-retries", 0,
        LD_PRELOAD=shim, SHIM_FRAMES="8",
    )  # fmt: skip
    assert done.code == 5
    decisions = [record for record in done.records if "event" not in record]
    assert 0 < len(decisions) <= 8
    assert done.stderr.index(f"{len(decisions)} frames (0 bad") < done.stderr.index("error: /dev/video42")
    assert "unplugged" in done.stderr


@pytest.mark.parametrize(
    ("formats", "texts"),
    [
        ("YUYV", ["Expected pixel format Z16, Y16, Y14, Y12, Y10", "offers: YUYV", "--sensor"]),
        ("GREY,YUYV", ["none of these is offered", "offers: GREY"]),
    ],
)
def test_camera_without_the_right_format(
    shim: str, depth_bundle: Bundle, formats: str, texts: list[str]
) -> None:
    done = run_cli("run", depth_bundle.path, "--camera", CAMERA, LD_PRELOAD=shim, SHIM_FORMATS=formats)
    assert done.code == 5
    assert done.records == []
    for text in texts:
        assert text in done.stderr


def test_camera_of_another_size(tmp_path: Path, shim: str) -> None:
    bundle = save_bundle(tmp_path / "bundle", PRESETS["depth"].with_size(640, 480))
    done = run_cli("run", bundle.path, "--camera", CAMERA, LD_PRELOAD=shim)
    assert done.code == 5
    assert "640x480" in done.stderr
    assert "64x48" in done.stderr
