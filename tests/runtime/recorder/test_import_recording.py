"""``data import``: frames and pairs of recordings, bit for bit, with times, SensorSpec and intrinsics."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from tests.support.bags import KINDS, BagMaker
from tests.support.bundles import save_bundle
from tests.support.cli import run_cli
from tgkt_edge.cli.main import app
from tgkt_edge.data.loading import load_pairs
from tgkt_edge.errors import DataError, SourceLostError, UsageError
from tgkt_edge.runtime import open_source
from tgkt_edge.runtime.recorder.import_data import import_data
from tgkt_edge.runtime.recorder.record import record
from tgkt_edge.sensor import PRESETS, load_sensor

RANDOM = np.random.default_rng(5)
MATRIX, DISTORTION = [60, 0, 31.5, 0, 61, 23.5, 0, 0, 1], [0.1, -0.2, 0.01, 0.02, 0.3]
DEPTH_TOPIC, RGB_TOPIC = "/camera/depth/image_raw", "/camera/color/image_raw"


def depth_frames(count: int) -> list[NDArray[Any]]:
    return [RANDOM.integers(0, 8000, (48, 64)).astype(np.uint16) for _ in range(count)]


def colour_of(number: int) -> NDArray[Any]:
    """A colour that says which picture it is."""
    return np.full((36, 48, 3), (number, 2 * number, 255 - number), np.uint8)


def rgbd(maker: BagMaker, folder: Path, frames: list[NDArray[Any]], rgb_clock: float = 0.0) -> Path:
    """Depth at 10 a second, colour at 20, whose clock is off by ``rgb_clock`` seconds; the first colour picture is
    number 0, at the time of the first frame."""
    sent = [("/camera/depth/camera_info", 99.9, maker.info((64, 48), MATRIX, DISTORTION, 99.9))]
    for n in range(2 * len(frames)):
        at = 100 + n / 20
        sent.append((RGB_TOPIC, at + 0.003, maker.image(colour_of(n), "bgr8", at + 0.002 + rgb_clock)))
        if n % 2 == 0:
            sent.append((DEPTH_TOPIC, at + 0.004, maker.image(frames[n // 2], "16UC1", at)))
    return maker.write(folder, sent)


def index(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "frames.jsonl").read_text().splitlines()]


@pytest.mark.parametrize("kind", KINDS)
def test_frames_come_out_bit_for_bit_with_their_times_and_their_camera(kind: str, tmp_path: Path) -> None:
    frames = depth_frames(5)
    path = rgbd(BagMaker(kind), tmp_path / "in", frames)
    summary = import_data(path, tmp_path / "out")
    assert (summary.topic, summary.frames, summary.bad, summary.problem) == (DEPTH_TOPIC, 5, 0, "")
    spec = load_sensor(str(tmp_path / "out/sensor.yaml"))
    assert (spec.kind, spec.dtype, spec.unit_m, spec.size) == ("depth", "uint16", 0.001, (64, 48))
    assert spec.intrinsics is not None
    assert (spec.intrinsics.fx, spec.intrinsics.cy, spec.intrinsics.model) == (60, 23.5, "plumb_bob")
    assert [line["time"] for line in index(tmp_path / "out")] == [100 + n / 10 for n in range(5)]
    with open_source(str(tmp_path / "out"), spec) as source:
        for captured, frame in zip(iter(source.read, None), frames, strict=True):
            np.testing.assert_array_equal(captured.frame, frame)


def test_metres_stay_floating_point_numbers(tmp_path: Path) -> None:
    maker = BagMaker("mcap")
    metres = RANDOM.normal(2, 1, (3, 48, 64)).astype(np.float32)
    metres[:, 0] = np.nan
    sent = [("/zed/depth", 1.0 + n, maker.image(frame, "32FC1", 1.0 + n)) for n, frame in enumerate(metres)]
    summary = import_data(maker.write(tmp_path / "in", sent), tmp_path / "out")
    assert summary.frames == 3
    spec = load_sensor(str(tmp_path / "out/sensor.yaml"))
    assert (spec.dtype, spec.unit_m) == ("float32", 1.0)
    for line, frame in zip(index(tmp_path / "out"), metres, strict=True):
        assert np.load(tmp_path / "out" / line["file"]).tobytes() == frame.tobytes()


@pytest.mark.parametrize("kind", ["bag", "mcap"])
def test_pairs_are_matched_by_time_and_adapt_reads_them(kind: str, tmp_path: Path) -> None:
    frames = depth_frames(6)
    path = rgbd(BagMaker(kind), tmp_path / "in", frames)
    summary = import_data(path, tmp_path / "out", pair=True)
    assert (summary.frames, summary.alone, summary.rgb_topic) == (6, 0, RGB_TOPIC)
    lines = index(tmp_path / "out")
    assert [line["skew_ms"] for line in lines] == [2.0] * 6
    for number, line in enumerate(lines):
        frame = cv2.imread(str(tmp_path / "out" / line["file"]), cv2.IMREAD_UNCHANGED)
        rgb = cv2.imread(str(tmp_path / "out" / line["rgb"]))
        assert frame is not None
        assert rgb is not None
        np.testing.assert_array_equal(frame, frames[number])
        np.testing.assert_array_equal(rgb, colour_of(2 * number))
    pairs = load_pairs(tmp_path / "out", PRESETS["depth"], 32)
    assert len(pairs) == 6
    assert len(load_pairs(tmp_path / "out/pairs.csv", PRESETS["depth"], 32)) == 6


def test_clocks_that_differ_are_said_and_the_recording_s_own_matches(tmp_path: Path) -> None:
    path = rgbd(BagMaker("mcap"), tmp_path / "in", depth_frames(6), rgb_clock=3600.0)
    with pytest.raises(
        DataError, match=r"within 20 ms; the nearest lie 3\.6e\+03 s apart\. Do their clocks differ"
    ):
        import_data(path, tmp_path / "out", pair=True)
    assert not (tmp_path / "out").exists()
    summary = import_data(path, tmp_path / "out", pair=True, clock="received")
    assert (summary.frames, summary.alone) == (6, 0)
    assert [line["skew_ms"] for line in index(tmp_path / "out")] == [-1.0] * 6


@pytest.mark.parametrize(("speed", "noted"), [(1000.0, True), (1 / 1000, True), (1.0, False), (0.5, False)])
def test_headers_whose_clock_runs_at_another_speed_are_noted(
    speed: float, noted: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As depthai_sdk wrote them: its headers' seconds are milliseconds."""
    maker = BagMaker("mcap")
    sent = [
        (DEPTH_TOPIC, 100 + n / 30, maker.image(frame, "16UC1", 1 + speed * n / 30))
        for n, frame in enumerate(depth_frames(4))
    ]
    path = maker.write(tmp_path / "in", sent)
    import_data(path, tmp_path / "out")
    said = f"within {0.1 * speed:.3g} s by their headers, and recorded within 0.1 s. If the headers are wrong"
    assert (said in caplog.text) == noted
    assert ("by their headers" in caplog.text) == noted
    caplog.clear()
    import_data(path, tmp_path / "received", clock="received")
    assert "by their headers" not in caplog.text


def test_what_was_cut_off_is_imported_as_far_as_it_is_whole(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    maker = BagMaker("bag")
    noise = RANDOM.integers(0, 65536, (30, 240, 320)).astype(np.uint16)
    sent = [(DEPTH_TOPIC, 1.0 + n, maker.image(frame, "16UC1", 1.0 + n)) for n, frame in enumerate(noise)]
    path = maker.write(tmp_path / "in", sent)
    path.write_bytes(path.read_bytes()[:-2_000_000])
    summary = import_data(path, tmp_path / "out")
    assert 10 < summary.frames < 30
    assert "is cut off or damaged before byte" in summary.problem
    assert "its intact part is read" in caplog.text
    assert len(index(tmp_path / "out")) == summary.frames


def test_topics_and_sensors_that_do_not_fit_are_refused_with_what_is_there(tmp_path: Path) -> None:
    maker = BagMaker("mcap")
    frames = depth_frames(2)
    sent = [(DEPTH_TOPIC, 1.0 + n, maker.image(frame, "16UC1", 1.0 + n)) for n, frame in enumerate(frames)]
    sent += [("/left/ir", 1.5, maker.image(frames[0].astype(np.uint8), "mono8", 1.5))]
    sent += [("/right/ir", 1.5, maker.image(frames[0].astype(np.uint8), "mono8", 1.5))]
    path = maker.write(tmp_path / "in", sent)
    out = tmp_path / "out"
    for how, words in (
        (
            {"topic": "/nothing"},
            r"holds no topic /nothing\. Topics of pictures: .*/left/ir \(infrared, mono8, 64x48\)",
        ),
        (
            {"topic": "/left/ir"},
            r"`sensor` is missing.*Only 16UC1 \(millimetres\) and 32FC1 \(metres\) are defined by ROS",
        ),
        ({"sensor": "nir8"}, "holds 2 topics of infrared pictures: .*Name one with `topic`"),
        ({"pair": True}, "holds no topic of color pictures"),
        ({"sensor": "depth-m"}, r"no message of /camera/depth/image_raw can be used \(2 bad\)"),
        ({"clock": "mine"}, "`clock=mine`: expected header or received"),
        ({"max_skew_ms": 0.0}, "`max_skew_ms=0`: expected a finite number above 0"),
        ({"pair": True, "form": "ffv1"}, "`pair`: pairs are written as PNG"),
    ):
        with pytest.raises((DataError, UsageError), match=words):
            import_data(path, out, **how)
        assert not out.exists()
    assert import_data(path, out, topic="/left/ir", sensor="nir8").frames == 1
    with pytest.raises(DataError, match="does not exist"):
        import_data(tmp_path / "missing.bag", tmp_path / "b")


def test_the_command(tmp_path: Path) -> None:
    path = rgbd(BagMaker("bag.lz4"), tmp_path / "in", depth_frames(4))
    done = CliRunner().invoke(
        app, ["data", "import", str(path), "-o", str(tmp_path / "out"), "--pair", "--json"]
    )
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["frames"] == 4
    assert f"{tmp_path}/out: 4 pairs of {DEPTH_TOPIC}" in done.stderr
    done = CliRunner().invoke(app, ["data", "import", str(path), "-o", str(tmp_path / "out")])
    assert done.exit_code == 2
    assert "already exists and is not empty" in done.output


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bag", "db3", "mcap"])
def test_run_and_record_read_a_recording_as_a_camera(kind: str, tmp_path: Path) -> None:
    bundle = save_bundle(tmp_path / "bundle")
    frames = depth_frames(4)
    path = rgbd(BagMaker(kind), tmp_path / "in", frames)
    found = [
        run_cli("run", bundle.path, "--camera", f"{path}{words}", "--no-live")
        for words in ("", f"?topic={DEPTH_TOPIC}")
    ]
    for done in found:
        assert done.code == 0, done.stderr
        assert [line["time"] for line in done.records] == [100 + n / 10 for n in range(4)]
    assert [line["probability"] for line in found[0].records] == [
        line["probability"] for line in found[1].records
    ]
    summary = record(str(path), tmp_path / "out", sensor="depth", live=False)
    assert summary.frames == 4
    with pytest.raises(SourceLostError, match=r"holds no topic /depth\. Topics of pictures"):
        open_source(f"{path}?topic=/depth", PRESETS["depth"])
    with open_source(str(path), PRESETS["depth"], loop=True) as source:
        for number in range(9):
            captured = source.read()
            assert captured is not None
            np.testing.assert_array_equal(captured.frame, frames[number % 4])


@pytest.mark.slow
def test_memory_does_not_grow_with_the_recording(tmp_path: Path) -> None:
    """Pairs of 60 and of 600 frames; the colour camera's clock is off, so that all that could wait waits."""

    def peak(count: int) -> int:
        maker = BagMaker("mcap")
        frame, colour = np.full((240, 320), 900, np.uint16), np.zeros((240, 320, 3), np.uint8)
        sent = []
        for n in range(count):
            at = 100 + n / 10
            sent.append((DEPTH_TOPIC, at, maker.image(frame, "16UC1", at)))
            sent.append((RGB_TOPIC, at + 0.001, maker.image(colour, "bgr8", at + 0.001)))
        path = maker.write(tmp_path / str(count), sent)
        program = (
            "import resource, sys; from pathlib import Path; from tgkt_edge.runtime.recorder.import_data import "
            "import_data; import_data(Path(sys.argv[1]), Path(sys.argv[2]), pair=True); "
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        done = subprocess.run(
            [sys.executable, "-c", program, str(path), str(tmp_path / f"out{count}")],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        return int(done.stdout)

    assert peak(600) < peak(60) + 40 * 1024  # KiB; the longer one holds 230 MB
