"""Color of the same RealSense, aligned: recordings of a software device that sees one scene with both cameras."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support.cli import run_cli
from tests.support.recordings import record_quietly
from tests.support.two_cameras import (
    COLOR_CAMERA,
    COLOR_LENS,
    COLOR_SIZE,
    DEPTH_CAMERA,
    DEPTH_LENS,
    DEPTH_SIZE,
    POSE,
    look,
    millimetres,
    off,
    painted,
)
from tgkt_edge.alignment.warp import ColorAligner
from tgkt_edge.errors import DataError, UsageError
from tgkt_edge.runtime.sources import open_with_colour, realsense_streams
from tgkt_edge.sensor import PRESETS, load_sensor

rs = pytest.importorskip(
    "pyrealsense2", reason="needs pyrealsense2 (the extra 'realsense') and libusb", exc_type=ImportError
)

HITS = look(DEPTH_CAMERA, DEPTH_SIZE)
FRAME = millimetres(HITS, DEPTH_SIZE)
TRUTH = painted(HITS, DEPTH_SIZE, 0.3)
COLOR = painted(look(COLOR_CAMERA, COLOR_SIZE), COLOR_SIZE, 0.3)

# Written by librealsense's own recorder, in a process of its own: its devices outlive their Python objects.
RECORD = """
import json
import sys
import numpy as np
import pyrealsense2 as rs
path, saved, about = sys.argv[1:]
pictures, about = np.load(saved), json.loads(about)
device = rs.software_device()
device.register_info(rs.camera_info.name, "software")
device.register_info(rs.camera_info.serial_number, "42")
sensors, profiles = [], []
for number, (name, stream, pixels) in enumerate((("Stereo Module", "depth", "z16"), ("RGB Camera", "color", "bgr8"))):
    picture, camera = pictures[stream], about[stream]
    height, width = picture.shape[:2]
    shape = rs.intrinsics()
    shape.width, shape.height, shape.fx, shape.fy = width, height, camera["fx"], camera["fy"]
    shape.ppx, shape.ppy, shape.model, shape.coeffs = camera["cx"], camera["cy"], rs.distortion.brown_conrady, [0] * 5
    video = rs.video_stream()
    video.type, video.fmt, video.index, video.uid = getattr(rs.stream, stream), getattr(rs.format, pixels), 0, number
    video.width, video.height, video.fps, video.bpp, video.intrinsics = width, height, 30, picture[0, 0].nbytes, shape
    sensors.append(device.add_sensor(name))
    profiles.append(sensors[-1].add_video_stream(video))
pose = rs.extrinsics()
pose.rotation, pose.translation = about["rotation"], about["translation"]
if about["known"]:
    profiles[0].register_extrinsics_to(profiles[1], pose)
sensors[0].add_read_only_option(rs.option.depth_units, 0.001)
recorder, queue = rs.recorder(path, device), rs.frame_queue(50)
for sensor, profile in zip(recorder.query_sensors(), profiles):
    sensor.open(profile)
    sensor.start(queue)
for number in range(60):
    for sensor, profile, picture in zip(sensors, profiles, (pictures["depth"], pictures["color"])):
        frame = rs.software_video_frame()
        frame.pixels, frame.bpp, frame.stride = picture, picture[0, 0].nbytes, picture.strides[0]
        frame.timestamp, frame.domain = 1e3 * (1.7e9 + number / 30), rs.timestamp_domain.system_time
        frame.frame_number, frame.profile = number, profile.as_video_stream_profile()
        sensor.on_video_frame(frame)
        queue.wait_for_frame(5000)
for sensor in recorder.query_sensors():
    sensor.stop()
    sensor.close()
"""


def recorded(path: Path, known: bool = True) -> Path:
    """One view of the scene, sixty times; ``known``: the device knows where its cameras are to each other."""
    saved = path.with_suffix(".npz")
    np.savez(saved, depth=FRAME, color=COLOR)
    about = {
        "depth": dataclasses.asdict(DEPTH_LENS),
        "color": dataclasses.asdict(COLOR_LENS),
        "rotation": POSE.matrix.T.ravel().tolist(),  # librealsense's order
        "translation": list(POSE.translation),
        "known": known,
    }
    subprocess.run(
        [sys.executable, "-c", RECORD, str(path), str(saved), json.dumps(about)], check=True, timeout=60
    )
    return path


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return recorded(tmp_path_factory.mktemp("rs") / "both.db3")


def lies_on_its_depth(folder: Path) -> bool:
    rgb: Any = cv2.imread(str(folder / "rgb/000001.png"))
    return rgb.shape == TRUTH.shape and off(rgb, TRUTH, rgb.any(-1)) < 0.01


@pytest.fixture
def plugged_in(monkeypatch: pytest.MonkeyPatch) -> Callable[[Path], str]:
    """Lets a recording stand in for a camera: librealsense's pipeline, its frames and its calibration are real."""

    def plug(path: Path) -> str:
        def enable(_: Any, config: Any, serial: str) -> None:
            config.enable_device_from_file(str(path), repeat_playback=True)

        monkeypatch.setattr(realsense_streams, "_enable_camera", enable)
        return "realsense://42"

    return plug


def test_pairs_of_one_device_are_recorded_and_aligned_by_its_own_calibration(
    file: Path, plugged_in: Callable[[Path], str], tmp_path: Path
) -> None:
    camera = plugged_in(file)
    summary = record_quietly(
        camera, tmp_path / "out", sensor="depth", rgb="realsense", align=True, max_frames=5
    )
    assert (summary.frames, summary.bad) == (5, 0)
    assert lies_on_its_depth(tmp_path / "out")
    assert summary.aligned is not None
    assert summary.aligned["measured"] > 0.9
    spec = load_sensor(str(tmp_path / "out/sensor.yaml"))
    assert spec.intrinsics is not None
    assert spec.intrinsics.fx == pytest.approx(DEPTH_LENS.fx, rel=1e-6)
    lines = [json.loads(line) for line in (tmp_path / "out/frames.jsonl").read_text().splitlines()]
    assert [line["skew_ms"] for line in lines] == [0.0] * 5
    frame: Any = cv2.imread(str(tmp_path / "out/frame/000001.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(frame, FRAME)
    record_quietly(camera, tmp_path / "plain", sensor="depth", rgb=camera, max_frames=2)
    rgb: Any = cv2.imread(str(tmp_path / "plain/rgb/000001.png"))
    np.testing.assert_array_equal(rgb, COLOR)


@pytest.mark.slow
def test_import_of_its_recording_aligns_alike(file: Path, tmp_path: Path) -> None:
    done = run_cli("data", "import", file, "-o", tmp_path / "out", "--align")
    assert done.code == 0, done.stderr
    assert lies_on_its_depth(tmp_path / "out")


def test_librealsense_s_own_align_puts_colors_at_the_same_places(
    file: Path, plugged_in: Callable[[Path], str]
) -> None:
    config = rs.config()
    config.enable_device_from_file(str(file), repeat_playback=False)
    pipeline = rs.pipeline()
    pipeline.start(config)
    frames = rs.align(rs.stream.depth).process(pipeline.wait_for_frames())
    theirs = np.array(frames.get_color_frame().get_data())
    pipeline.stop()
    with open_with_colour(plugged_in(file), PRESETS["depth"]) as source:
        captured = source.read()
        assert captured is not None
        assert captured.color is not None
        assert captured.color.frame is not None
        assert captured.frame is not None
        assert source.rig is not None
        ours = ColorAligner(source.rig, PRESETS["depth"], "device").align(
            captured.color.frame, captured.frame
        )
    both = ours.pixels.any(-1) & theirs.any(-1)
    assert both.mean() > 0.9
    assert off(ours.pixels, theirs, both) < 0.02


def test_what_the_device_does_not_know_is_named(plugged_in: Callable[[Path], str], tmp_path: Path) -> None:
    file = recorded(tmp_path / "unknown.db3", known=False)
    with pytest.raises(
        DataError, match=r"`align` needs where the two cameras are to each other.*does not know them"
    ):
        record_quietly(plugged_in(file), tmp_path / "out", sensor="depth", rgb="realsense", align=True)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ({"rgb": "realsense://7"}, "expected realsense: color of the device that `camera` names"),
        ({"align": True}, "`align` warps the color of pairs: name its camera with `rgb`"),
        ({"rgb": "realsense", "extrinsics": "x.yaml"}, "says how to `align`: give both, or neither"),
        (
            {"camera": "0", "rgb": "realsense"},
            "takes color from the RealSense that `camera` names; found `camera=0`",
        ),
    ],
)
def test_what_cannot_be_is_refused(how: dict[str, Any], words: str, tmp_path: Path) -> None:
    camera = how.pop("camera", "realsense://")
    with pytest.raises(UsageError, match=words):
        record_quietly(camera, tmp_path / "out", sensor="depth", **how)
