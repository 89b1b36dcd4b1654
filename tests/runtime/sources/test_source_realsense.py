"""RealSense recordings made by pyrealsense2's software device, played back by the source."""

from __future__ import annotations

import dataclasses
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.cli import cli_environment
from tgkt_edge.errors import SourceLostError, UsageError
from tgkt_edge.runtime import FrameSource, open_source
from tgkt_edge.runtime.recorder.import_data import import_data
from tgkt_edge.runtime.sources.base import StreamFormat
from tgkt_edge.runtime.sources.realsense import RealSenseSource
from tgkt_edge.sensor import PRESETS, SensorSpec, load_sensor

pytest.importorskip(
    "pyrealsense2", reason="needs pyrealsense2 (the extra 'realsense') and libusb", exc_type=ImportError
)

WIDTH, HEIGHT, COUNT = 64, 48, 8
UNIT = 0.00025
DEPTH = dataclasses.replace(PRESETS["depth"], unit_m=UNIT)
START = 1_700_000_000.0


def counts(dtype: str) -> NDArray[Any]:
    top = 65536 if dtype == "uint16" else 256
    return np.random.default_rng(5).integers(0, top, (COUNT, HEIGHT, WIDTH)).astype(dtype)


# Written by librealsense's own recorder, in a process of its own: its devices outlive their Python objects.
RECORD = """
import sys
import numpy as np
import pyrealsense2 as rs
path, stream, pixels, saved, clock, unit, start = sys.argv[1:]
frames = np.load(saved)
_, height, width = frames.shape
device = rs.software_device()
device.register_info(rs.camera_info.name, "software")
device.register_info(rs.camera_info.serial_number, "42")
sensor = device.add_sensor("Stereo Module")
shape = rs.intrinsics()
shape.width, shape.height, shape.fx, shape.fy = width, height, 60, 60
video = rs.video_stream()
video.type, video.fmt = getattr(rs.stream, stream), getattr(rs.format, pixels)
video.index, video.uid = int(stream == "infrared"), 1
video.width, video.height, video.fps, video.bpp = width, height, 30, frames.itemsize
video.intrinsics = shape
profile = sensor.add_video_stream(video)
sensor.add_read_only_option(rs.option.depth_units, float(unit))
recorder = rs.recorder(path, device)
recorded, queue = recorder.query_sensors()[0], rs.frame_queue(50)
recorded.open(profile)
recorded.start(queue)
for number, one in enumerate(frames):
    frame = rs.software_video_frame()
    frame.pixels, frame.bpp, frame.stride = one, frames.itemsize, frames.itemsize * width
    frame.timestamp, frame.domain = 1e3 * (float(start) + number / 30), getattr(rs.timestamp_domain, clock)
    frame.frame_number, frame.profile = number, profile.as_video_stream_profile()
    sensor.on_video_frame(frame)
    queue.wait_for_frame(5000)  # it has passed the recorder before the next one comes
recorded.stop()
recorded.close()
"""


def record(path: Path, stream: str, pixels: str, frames: NDArray[Any], clock: str = "system_time") -> Path:
    """A recording of one stream."""
    saved = path.with_suffix(".npy")
    np.save(saved, frames)
    arguments = [str(path), stream, pixels, str(saved), clock, str(UNIT), str(START)]
    subprocess.run([sys.executable, "-c", RECORD, *arguments], check=True, timeout=60)
    return path


@pytest.fixture(scope="module")
def depth(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("rs") / "depth.db3"
    return record(path, "depth", "z16", counts("uint16"))


def read_all(source: FrameSource) -> list[Any]:
    with source:
        return list(iter(source.read, None))


@pytest.mark.slow
@pytest.mark.parametrize("uri", ["realsense://{}", "{}"])
def test_depth_is_replayed_bit_for_bit_with_its_times(depth: Path, uri: str) -> None:
    source = open_source(uri.format(depth), DEPTH)
    assert source.live is False
    found = read_all(source)
    assert [captured.number for captured in found] == list(range(COUNT))
    np.testing.assert_array_equal([captured.frame for captured in found], counts("uint16"))
    np.testing.assert_allclose(
        [captured.time for captured in found], START + np.arange(COUNT) / 30, atol=1e-3
    )


def test_its_recordings_are_told_from_ros_s_by_their_content(depth: Path) -> None:
    with open_source(str(depth), DEPTH) as source:
        assert isinstance(source, RealSenseSource)
    topic = "/device_0/sensor_0/Depth_0/image/data/compressedDepth"
    with open_source(f"{depth}?topic={topic}", DEPTH) as source:
        found = [captured.frame for captured in iter(source.read, None)]
    np.testing.assert_array_equal(found, counts("uint16"))


def test_import_takes_frames_unit_and_intrinsics_from_its_recording(depth: Path, tmp_path: Path) -> None:
    summary = import_data(depth, tmp_path / "out")
    assert summary.frames == COUNT
    spec = load_sensor(str(tmp_path / "out/sensor.yaml"))
    assert spec.unit_m == UNIT
    assert spec.intrinsics is not None
    assert (spec.intrinsics.fx, spec.intrinsics.fy) == (60, 60)
    with open_source(str(tmp_path / "out"), spec) as source:
        found = [captured.frame for captured in iter(source.read, None)]
    np.testing.assert_array_equal(found, counts("uint16"))
    with pytest.raises(UsageError, match=r"`sensor=tum` says unit_m: 0\.0002, but the camera wrote down"):
        import_data(depth, tmp_path / "other", sensor="tum")


@pytest.mark.slow
def test_a_loop_begins_again(depth: Path) -> None:
    with open_source(f"realsense://{depth}", DEPTH, loop=True) as source:
        found = [source.read() for _ in range(2 * COUNT + 3)]
    assert [captured.number for captured in found if captured] == list(range(2 * COUNT + 3))
    frames = [captured.frame for captured in found if captured]
    np.testing.assert_array_equal(frames, counts("uint16")[np.arange(2 * COUNT + 3) % COUNT])


@pytest.mark.slow
def test_a_file_longer_than_any_queue_is_read_whole_and_may_be_left_at_any_frame(tmp_path: Path) -> None:
    frames = np.random.default_rng(6).integers(0, 65536, (300, HEIGHT, WIDTH)).astype(np.uint16)
    path = record(tmp_path / "long.db3", "depth", "z16", frames)
    with open_source(str(path), DEPTH) as source:
        time.sleep(1.0)  # a reader that comes late
        found = list(iter(source.read, None))
    np.testing.assert_array_equal([captured.frame for captured in found], frames)
    for count in (0, 1, 20, 200):
        with open_source(str(path), DEPTH) as source:
            assert len([source.read() for _ in range(count)]) == count


@pytest.mark.slow
@pytest.mark.parametrize(("dtype", "pixels"), [("uint8", "y8"), ("uint16", "y16")])
def test_infrared(tmp_path: Path, dtype: str, pixels: str) -> None:
    path = record(tmp_path / "ir.db3", "infrared", pixels, counts(dtype), "hardware_clock")
    found = read_all(open_source(f"realsense://{path}", PRESETS["nir8" if dtype == "uint8" else "nir"]))
    np.testing.assert_array_equal([captured.frame for captured in found], counts(dtype))
    assert all(captured.time > START + 1e6 for captured in found)  # a hardware clock says nothing: arrival


@pytest.mark.slow
def test_another_depth_scale_is_refused_with_what_to_write(depth: Path) -> None:
    with pytest.raises(SourceLostError, match=r"says 0\.00025 m a count.*unit_m: 0\.001.*'unit_m: 0\.00025'"):
        open_source(f"realsense://{depth}", PRESETS["depth"])


@pytest.mark.slow
@pytest.mark.parametrize(
    ("spec", "text"),
    [
        (DEPTH.with_size(640, 480), "no uint16 depth stream of 640x480"),
        (PRESETS["nir"], "no uint16 nir stream"),
        (dataclasses.replace(DEPTH, dtype="uint8"), "uint16 pixels, but the sensor is uint8"),
    ],
)
def test_what_does_not_fit_is_refused(depth: Path, spec: SensorSpec, text: str) -> None:
    with pytest.raises(SourceLostError, match=text):
        open_source(f"realsense://{depth}", spec)


def test_cameras_and_files_that_are_not_there(tmp_path: Path) -> None:
    with pytest.raises(
        SourceLostError, match=r"realsense://123456: no uint16 depth stream.*RealSense cameras here"
    ):
        open_source("realsense://123456", DEPTH)
    with pytest.raises(SourceLostError, match=r"gone\.bag: no such file"):
        open_source(f"realsense://{tmp_path}/gone.bag", DEPTH)
    (tmp_path / "bad.db3").write_bytes(b"no recording" * 100)
    with pytest.raises(SourceLostError, match=r"bad\.db3: no uint16 depth stream"):
        open_source(f"realsense://{tmp_path}/bad.db3", DEPTH)
    with pytest.raises(UsageError, match="`loop=True`"):
        open_source("realsense://123456", DEPTH, loop=True)


@pytest.mark.slow
def test_the_library_is_optional(tmp_path: Path) -> None:
    (tmp_path / "pyrealsense2.py").write_text("raise ModuleNotFoundError('none', name='pyrealsense2')\n")
    program = (
        "from tgkt_edge.errors import MissingDependency\n"
        "from tgkt_edge.runtime import open_source\n"
        "from tgkt_edge.sensor import PRESETS\n"
        "try:\n    open_source('realsense://', PRESETS['depth'])\n"
        "except MissingDependency as error:\n    print(error.exit_code, error)\n"
    )
    path = f"{tmp_path}:{cli_environment()['PYTHONPATH']}"
    done = subprocess.run(
        [sys.executable, "-c", program],
        env=cli_environment(PYTHONPATH=path),
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.startswith("6 ")
    assert "[realsense]'" in done.stdout


@pytest.mark.slow
def test_a_camera_that_comes_back_in_another_size_or_unit_is_refused_with_both(depth: Path) -> None:
    with open_source(str(depth), DEPTH) as source:
        found = source.format
    assert str(found) == "Z16 64x48 at 0.00025 m a count"
    RealSenseSource(str(depth), DEPTH, pinned=found).close()
    with pytest.raises(SourceLostError, match=r"no uint16 depth stream of 32x24: it holds depth z16 64x48"):
        RealSenseSource(str(depth), DEPTH, pinned=StreamFormat("Z16", 32, 24, UNIT))
    with pytest.raises(SourceLostError, match=r"at 0\.001 m a count when.*now delivers .*at 0\.00025 m"):
        RealSenseSource(str(depth), DEPTH, pinned=StreamFormat("Z16", 64, 48, 0.001))


@pytest.mark.slow
def test_a_unit_that_changes_while_frames_come_is_said(depth: Path) -> None:
    source = RealSenseSource(str(depth), DEPTH)
    with source:
        source._unit_m = 0.001  # as if the device had been set to 0.25 mm since it was opened
        source.read()  # the first frame was taken at opening
        with pytest.raises(SourceLostError, match=r"a count was 0\.001 m and is 0\.00025 m now"):
            source.read()
