"""Matroska recordings of Azure Kinect and Femto: every track exactly as ffmpeg reads it, calibration, damage."""

from __future__ import annotations

import json
import shutil
import subprocess
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.matroska import DATE, Frame, calibration, element, write_kinect
from tests.support.two_cameras import POSE
from tgkt_edge.errors import DataError, SourceLostError
from tgkt_edge.io.bags.k4a import read_calibration
from tgkt_edge.io.bags.open_bag import is_bag, open_bag, streams
from tgkt_edge.io.bags.pictures import read_picture
from tgkt_edge.runtime import open_source
from tgkt_edge.runtime.recorder.import_data import import_data
from tgkt_edge.runtime.sources import VideoSource
from tgkt_edge.sensor import PRESETS, load_sensor

RANDOM = np.random.default_rng(2)
NFOV, HD = (576, 640), (720, 1280)
CODECS = {"COLOR": "MJPG", "DEPTH": "b16g", "IR": "b16g"}
# cx, cy, fx, fy, k1 to k6, codx, cody, p2, p1: as of a real device, rounded
DEPTH_LENS = [0.508, 0.505, 0.492, 0.4921, 0.42, 0.23, 0.012, 0.75, 0.31, 0.06, 0, 0, -5e-5, 1.2e-4]
COLOR_LENS = [0.4993, 0.5003, 0.4739, 0.6317, 0.62, -2.71, 1.61, 0.49, -2.53, 1.53, 0, 0, -2e-4, 4e-4]


def smooth(shape: tuple[int, int]) -> NDArray[np.uint8]:
    small = RANDOM.integers(0, 256, (6, 8, 3)).astype(np.uint8)
    return cv2.resize(small, shape[::-1], interpolation=cv2.INTER_CUBIC).astype(np.uint8)


def recording(
    count: int = 4, depth: tuple[int, int] = (24, 32), color: tuple[int, int] = (36, 64)
) -> list[Frame]:
    frames: list[Frame] = []
    for n in range(count):
        at = n * 33_333
        frames.append((at, "COLOR", smooth(color)))
        frames.append((at + 200, "DEPTH", RANDOM.integers(0, 65536, depth).astype(np.uint16)))
        frames.append((at + 200, "IR", RANDOM.integers(0, 65536, depth).astype(np.uint16)))
    return frames


def of_track(frames: list[Frame], name: str) -> list[NDArray[Any]]:
    return [picture for _, track, picture in frames if track == name]


def read(path: Path, track: str) -> list[Any]:
    bag = open_bag(path)
    return [read_picture(message) for message in bag.messages([track])]


def test_depth_and_infrared_come_out_bit_for_bit_with_their_times(tmp_path: Path) -> None:
    frames = recording()
    path = write_kinect(tmp_path / "a.mkv", frames, CODECS)
    for track in ("DEPTH", "IR"):
        found = read(path, track)
        np.testing.assert_array_equal([one.pixels for one in found], of_track(frames, track))
        began = DATE / 1e9 + 978_307_200
        np.testing.assert_allclose(
            [one.received - began for one in found], [0.0002 + n / 30 for n in range(4)], atol=2e-6
        )
    listed = {str(stream) for stream in streams(open_bag(path))}
    assert listed == {
        "COLOR (color, bgr8, 64x36)", "DEPTH (depth, 16UC1, 32x24)", "IR (infrared, mono16, 32x24)",
    }  # fmt: skip


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg (Debian's)")
def test_ffmpeg_reads_the_same(tmp_path: Path) -> None:
    frames = recording()
    path = write_kinect(tmp_path / "a.mkv", frames, CODECS, calibration(DEPTH_LENS, COLOR_LENS, POSE))
    for index, track in ((1, "DEPTH"), (2, "IR")):
        raw = [
            "-map",
            f"0:v:{index}",
            "-f",
            "rawvideo",
            "-pix_fmt",
            "gray16le",
            "-fps_mode",
            "passthrough",
            "-",
        ]
        done = subprocess.run(
            ["ffmpeg", "-v", "error", "-i", str(path), *raw], check=True, capture_output=True, timeout=60
        )
        theirs = np.frombuffer(done.stdout, "<u2").reshape(-1, 24, 32)
        np.testing.assert_array_equal([one.pixels for one in read(path, track)], theirs)


@pytest.mark.skipif(shutil.which("ffmpeg") is None, reason="needs ffmpeg (Debian's)")
def test_what_ffmpeg_cut_and_laid_out_its_own_way_is_read(tmp_path: Path) -> None:
    """It copies the frames and the calibration, and forgets how the frames are coded: b16g is then no word of its."""
    frames = recording()
    path = write_kinect(tmp_path / "a.mkv", frames, CODECS, calibration(DEPTH_LENS, COLOR_LENS, POSE))
    copy = ["-map", "0:v", "-c", "copy", "-map", "0:t?", "-allow_raw_vfw", "1", str(tmp_path / "b.mkv")]
    subprocess.run(["ffmpeg", "-v", "error", "-i", str(path), *copy], check=True, timeout=60)
    for track in ("DEPTH", "IR"):
        found = [one.pixels for one in read(tmp_path / "b.mkv", track)]
        np.testing.assert_array_equal(found, of_track(frames, track))
    rig = open_bag(tmp_path / "b.mkv").rig()
    assert rig is not None
    assert rig.pose is not None
    np.testing.assert_allclose(rig.pose.matrix, POSE.matrix, atol=1e-12)


@pytest.mark.parametrize(("codec", "most"), [("MJPG", 20), ("NV12", 60), ("YUY2", 60), ("BGRA", 0)])
def test_color_in_every_format_that_the_camera_has(codec: str, most: int, tmp_path: Path) -> None:
    frames = recording(2)
    path = write_kinect(tmp_path / "a.mkv", frames, {"COLOR": codec, "DEPTH": "b16g", "IR": "b16g"})
    for one, picture in zip(read(path, "COLOR"), of_track(frames, "COLOR"), strict=True):
        assert one.encoding == "bgr8"
        apart = np.abs(one.pixels.astype(int) - picture)
        assert np.median(apart) <= 6
        assert np.quantile(apart, 0.99) <= most


def test_run_and_import_take_a_track_by_name(tmp_path: Path) -> None:
    frames = recording()
    path = write_kinect(tmp_path / "a.mkv", frames, CODECS)
    for uri in (f"{path}?track=DEPTH", str(path)):  # the only one of depth
        with open_source(uri, PRESETS["depth"]) as source:
            found = [captured.frame for captured in iter(source.read, None)]
        np.testing.assert_array_equal(found, of_track(frames, "DEPTH"))
    with open_source(str(path), PRESETS["nir"]) as source:
        found = [captured.frame for captured in iter(source.read, None)]
    np.testing.assert_array_equal(found, of_track(frames, "IR"))
    with pytest.raises(SourceLostError, match=r"holds no topic COLOUR\. Topics of pictures: COLOR \(color"):
        open_source(f"{path}?track=COLOUR", PRESETS["depth"])
    summary = import_data(path, tmp_path / "out", pair=True)
    assert (summary.frames, summary.topic, summary.rgb_topic) == (4, "DEPTH", "COLOR")
    spec = load_sensor(str(tmp_path / "out/sensor.yaml"))
    assert (spec.unit_m, spec.intrinsics) == (0.001, None)
    lines = [json.loads(line) for line in (tmp_path / "out/frames.jsonl").read_text().splitlines()]
    assert [line["skew_ms"] for line in lines] == [-0.2] * 4
    with pytest.raises(
        DataError, match=r"`align` needs the intrinsics of the depth camera.*no attachment calibration"
    ):
        import_data(path, tmp_path / "b", align=True)


def test_the_calibration_is_that_of_the_mode(tmp_path: Path) -> None:
    """As the SDK computes it: unitized times the sensor's side in this mode, less what is cut off and half a pixel."""
    data = calibration(DEPTH_LENS, COLOR_LENS, POSE)
    for size, side, left, top in (
        ((640, 576), 1024, 192, 180), ((320, 288), 512, 96, 90), ((512, 512), 512, 0, 0), ((1024, 1024), 1024, 0, 0)
    ):  # fmt: skip
        depth = read_calibration(data, size, None).depth
        assert depth is not None
        assert (depth.fx, depth.cx) == pytest.approx((0.492 * side, 0.508 * side - left - 0.5))
        assert (depth.fy, depth.cy) == pytest.approx((0.4921 * side, 0.505 * side - top - 0.5))
        assert depth.distortion == (0.42, 0.23, 1.2e-4, -5e-5, 0.012, 0.75, 0.31, 0.06)
    for size, whole, top in (((1280, 720), 960, 120), ((2048, 1536), 1536, 0), ((3840, 2160), 2880, 360)):
        color = read_calibration(data, None, size).color
        assert color is not None
        assert (color.fx, color.cx) == pytest.approx((0.4739 * size[0], 0.4993 * size[0] - 0.5))
        assert (color.fy, color.cy) == pytest.approx((0.6317 * whole, 0.5003 * whole - top - 0.5))
    early = list(COLOR_LENS)
    early[1], early[3] = (
        (0.5003 * 3072 - 384) / 2304,
        0.6317 * 3072 / 2304,
    )  # the same camera, of its 16:9 part
    found = read_calibration(calibration(DEPTH_LENS, early, POSE, (4096, 2304)), None, (1280, 720)).color
    assert found is not None
    assert (found.fy, found.cy) == pytest.approx((0.6317 * 960, 0.5003 * 960 - 120 - 0.5))
    assert read_calibration(data, (600, 400), (600, 400)).depth is None
    for broken in (b"", b"{}", data[:-5], b"[" * 100_000, data.replace(b"Rotation", b"Rotated")):
        with pytest.raises(DataError):
            read_calibration(broken, (640, 576), None)


@pytest.mark.slow
def test_color_is_aligned_with_the_calibration_of_the_file(tmp_path: Path) -> None:
    flat = np.full(NFOV, 1500, np.uint16)
    frames: list[Frame] = [(0, "COLOR", smooth(HD)), (0, "DEPTH", flat), (0, "IR", flat)]
    path = write_kinect(tmp_path / "a.mkv", frames, CODECS, calibration(DEPTH_LENS, COLOR_LENS, POSE))
    summary = import_data(path, tmp_path / "out", align=True)
    assert summary.frames == 1
    assert summary.aligned is not None
    assert summary.aligned["measured"] > 0.6
    spec = load_sensor(str(tmp_path / "out/sensor.yaml"))
    assert spec.intrinsics is not None
    assert spec.intrinsics.fx == pytest.approx(0.492 * 1024)
    # The middle of the frame, by the formulas of OpenCV alone.
    lens = spec.intrinsics
    matrix = np.array([[lens.fx, 0, lens.cx], [0, lens.fy, lens.cy], [0, 0, 1]])
    ray = cv2.undistortPoints(np.array([[[320.0, 288.0]]]), matrix, np.array(lens.distortion)).ravel()
    point = 1.5 * np.array([*ray, 1.0])
    color = read_calibration(calibration(DEPTH_LENS, COLOR_LENS, POSE), None, HD[::-1]).color
    assert color is not None
    at = cv2.projectPoints(
        point[np.newaxis], cv2.Rodrigues(POSE.matrix)[0], np.array(POSE.translation),
        np.array([[color.fx, 0, color.cx], [0, color.fy, color.cy], [0, 0, 1]]), np.array(color.distortion),
    )[0].ravel()  # fmt: skip
    picture = read(path, "COLOR")[0].pixels
    aligned: Any = cv2.imread(str(tmp_path / "out/rgb/000000.png"))
    expected = picture[round(at[1]), round(at[0])]
    assert np.abs(aligned[288, 320].astype(int) - expected).max() <= 6


def test_a_recording_that_was_never_ended_is_read_as_far_as_it_is_whole(tmp_path: Path) -> None:
    frames = recording(6)
    path = write_kinect(tmp_path / "a.mkv", frames, CODECS, ended=False)
    assert len(read(path, "DEPTH")) == 6
    whole = path.read_bytes()
    for ended in (True, False):
        data = write_kinect(tmp_path / "b.mkv", frames, CODECS, ended=ended).read_bytes()
        (tmp_path / "b.mkv").write_bytes(data[: len(data) - 3000])
        bag = open_bag(tmp_path / "b.mkv")
        found = [read_picture(message).pixels for message in bag.messages(["DEPTH"])]
        assert len(found) == 5
        np.testing.assert_array_equal(found, of_track(frames, "DEPTH")[:5])
        assert "cut off" in bag.problem
    (tmp_path / "c.mkv").write_bytes(whole[:200])
    assert not is_bag(tmp_path / "c.mkv")


def test_other_matroska_stays_a_video(tmp_path: Path) -> None:
    ffv1 = [cv2.VIDEOWRITER_PROP_DEPTH, cv2.CV_16U, cv2.VIDEOWRITER_PROP_IS_COLOR, 0]
    path = tmp_path / "v.mkv"
    video = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), 30, (32, 24), ffv1)
    video.write(np.zeros((24, 32), np.uint16))
    video.release()
    assert not is_bag(path)
    with open_source(str(path), PRESETS["depth"]) as source:
        assert isinstance(source, VideoSource)


@pytest.mark.slow
def test_damage_anywhere_is_an_error_or_fewer_frames_and_takes_no_time(tmp_path: Path) -> None:
    frames = recording(3, (8, 10), (16, 16))
    whole = write_kinect(
        tmp_path / "a.mkv", frames, CODECS, calibration(DEPTH_LENS, COLOR_LENS, POSE)
    ).read_bytes()
    path = tmp_path / "b.mkv"
    began, read_some = time.monotonic(), 0
    for _ in range(600):
        data = bytearray(whole)
        for at in RANDOM.integers(0, min(len(data), 6000), RANDOM.integers(1, 6)):
            data[at] = RANDOM.integers(0, 256)
        path.write_bytes(data[: RANDOM.integers(100, len(data) + 1)])
        if not is_bag(path):
            continue
        try:
            bag = open_bag(path)
            bag.rig()
            for message in bag.messages([*bag.topics()]):
                try:
                    read_some += read_picture(message).pixels.ndim > 1
                except DataError:
                    continue
        except DataError:
            continue
    assert read_some > 500
    assert time.monotonic() - began < 30


def test_what_is_packed_or_coded_otherwise_is_named(tmp_path: Path) -> None:
    frames = recording(1)
    data = write_kinect(tmp_path / "a.mkv", frames, CODECS).read_bytes()
    (tmp_path / "b.mkv").write_bytes(data.replace(b"MJPG", b"H264"))
    with pytest.raises(
        DataError, match="its track COLOR is coded as H264, which is not read; expected b16g, MJPG"
    ):
        read(tmp_path / "b.mkv", "COLOR")
    inner = element(0x86, b"V_MS/VFW/FOURCC")
    packed = element(0x6D80, b"")[: len(inner)]
    assert len(packed) < len(inner)
    void = element(0xEC, bytes(len(inner) - len(packed) - 9))
    at = data.rindex(inner)
    (tmp_path / "c.mkv").write_bytes(data[:at] + packed + void + data[at + len(inner) :])
    with pytest.raises(DataError, match=r"coded as|compressed again"):
        read(tmp_path / "c.mkv", "IR")
