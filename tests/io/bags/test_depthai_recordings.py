"""Recordings of Luxonis' depthai 3: times, several files as one camera, alignment, and files of its own library."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support.oak import BEGAN, LATE, encoded_frame, img_frame, transformation, write_oak
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
from tgkt_edge.errors import DataError
from tgkt_edge.io.bags.open_bag import is_bag, open_bag, streams
from tgkt_edge.io.bags.pictures import read_picture
from tgkt_edge.io.bags.poses import pose_between
from tgkt_edge.runtime.recorder.import_data import import_data
from tgkt_edge.sensor import Intrinsics, load_sensor

RANDOM = np.random.default_rng(5)
COUNTS = RANDOM.integers(0, 65536, (6, 8)).astype(np.uint16)
GREY = RANDOM.integers(0, 256, (6, 8)).astype(np.uint8)
BGR = RANDOM.integers(0, 256, (6, 8, 3)).astype(np.uint8)


def test_times_are_those_of_the_camera_on_the_day_of_the_recording(tmp_path: Path) -> None:
    """Its clock counts from the start of the computer; the first message's time of recording tells the day."""
    taken = [50.0, 50.033, 50.1, 51.0]
    path = write_oak(tmp_path / "a.mcap", [img_frame("RAW16", COUNTS, at) for at in taken])
    import_data(path, tmp_path / "out", sensor="depth")
    lines = [json.loads(line) for line in (tmp_path / "out/frames.jsonl").read_text().splitlines()]
    assert [line["time"] for line in lines] == pytest.approx([BEGAN + LATE + at for at in taken], abs=1e-6)


def two_cameras(folder: Path, *, places: bool = True, depth_late: float = 0.0) -> tuple[Any, Any]:
    """Depth and color of one scene, a file each, color as JPEG and 4 ms later; what was written."""
    folder.mkdir(exist_ok=True)
    hits = look(DEPTH_CAMERA, DEPTH_SIZE)
    frame, color = millimetres(hits, DEPTH_SIZE), painted(look(COLOR_CAMERA, COLOR_SIZE), COLOR_SIZE, 0.3)
    told = transformation(DEPTH_LENS, DEPTH_SIZE, 2.0, POSE.inverse.then(POSE).then(POSE) if places else None)
    other = transformation(COLOR_LENS, COLOR_SIZE, 1.0, POSE.inverse.then(POSE) if places else None)
    jpeg = cv2.imencode(".jpg", color, [cv2.IMWRITE_JPEG_QUALITY, 100])[1].tobytes()
    write_oak(folder / "depth.mcap", [img_frame("RAW16", frame, 50 + n / 15, told=told) for n in range(3)])
    write_oak(
        folder / "color.mcap",
        [encoded_frame(jpeg, COLOR_SIZE, 50.004 + n / 15, told=other) for n in range(3)], "encoded_frame",
    )  # fmt: skip
    return frame, painted(hits, DEPTH_SIZE, 0.3)


def test_files_beside_each_other_are_the_streams_of_one_camera_and_color_is_aligned(tmp_path: Path) -> None:
    frame, truth = two_cameras(tmp_path / "oak")
    for name in ("record_config.json", "color.mp4"):
        (tmp_path / "oak" / name).write_bytes(b"")  # what depthai's holistic recording writes beside
    assert is_bag(tmp_path / "oak")
    bag = open_bag(tmp_path / "oak")
    assert {str(one) for one in streams(bag)} == {
        "depth (depth, RAW16, 320x240)", "color (color, jpeg, 400x300)",
    }  # fmt: skip
    pose = pose_between(bag, "depth", "color")
    assert pose is not None
    np.testing.assert_allclose(pose.matrix, POSE.matrix, atol=1e-6)
    np.testing.assert_allclose(pose.translation, POSE.translation, atol=1e-6)
    summary = import_data(tmp_path / "oak", tmp_path / "out", sensor="depth", align=True)
    assert (summary.frames, summary.bad, summary.topic, summary.rgb_topic) == (3, 0, "depth", "color")
    spec = load_sensor(str(tmp_path / "out/sensor.yaml"))
    assert spec.intrinsics is not None
    assert spec.intrinsics.fx == pytest.approx(DEPTH_LENS.fx)
    assert spec.intrinsics.cx == pytest.approx(DEPTH_LENS.cx)
    lines = [json.loads(line) for line in (tmp_path / "out/frames.jsonl").read_text().splitlines()]
    assert [line["skew_ms"] for line in lines] == pytest.approx([4.0] * 3, abs=0.01)
    found: Any = cv2.imread(str(tmp_path / "out/frame/000002.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(found, frame)
    rgb: Any = cv2.imread(str(tmp_path / "out/rgb/000002.png"))
    assert off(rgb, truth, rgb.any(-1)) < 0.02


def test_where_cameras_are_is_asked_for_where_older_files_do_not_say_it(tmp_path: Path) -> None:
    two_cameras(tmp_path / "oak", places=False)
    with pytest.raises(
        DataError, match=r"where the two cameras are to each other.*depthai writes intrinsics since 3\.0"
    ):
        import_data(tmp_path / "oak", tmp_path / "out", sensor="depth", align=True)
    assert import_data(tmp_path / "oak", tmp_path / "out", sensor="depth", pair=True).frames == 3


def test_a_file_that_cannot_be_read_is_named_and_the_others_are_read(tmp_path: Path) -> None:
    two_cameras(tmp_path / "oak")
    color = tmp_path / "oak/color.mcap"
    color.write_bytes(color.read_bytes()[:500])
    with pytest.raises(
        DataError,
        match=r"no topic of color pictures.*Not read: .*color\.mcap holds no topic: it ends before its first chunk",
    ):
        import_data(tmp_path / "oak", tmp_path / "out", sensor="depth", pair=True)
    summary = import_data(tmp_path / "oak", tmp_path / "out", sensor="depth")
    assert summary.frames == 3
    assert "color.mcap: holds no topic" in summary.problem
    (tmp_path / "oak/depth.mcap").unlink()
    with pytest.raises(DataError, match=r"color\.mcap: holds no topic"):
        import_data(tmp_path / "oak", tmp_path / "out2", sensor="depth")


def test_files_of_the_makers_own_library(tmp_path: Path) -> None:
    """No camera is needed to record: frames are made here, and depthai's node writes them."""
    dai = pytest.importorskip("depthai", reason="needs depthai (the extra 'depthai')")
    kinds = dai.ImgFrame.Type
    matrix = [[500.0, 0, 3.5], [0, 501.0, 2.5], [0, 0, 1]]
    sent: list[tuple[str, Any, Any]] = []
    for name, kind, pixels in (
        ("depth", kinds.RAW16, COUNTS), ("mono", kinds.GRAY8, GREY), ("color", kinds.NV12, BGR),
        ("planes", kinds.BGR888p, BGR),
    ):  # fmt: skip
        frame = dai.ImgFrame()
        frame.setCvFrame(pixels, kind)
        where = dai.Extrinsics()
        where.rotationMatrix = np.eye(3).tolist()
        where.translation = dai.Point3f(7.5 if name == "color" else 0.0, 0, 0)  # centimetres, by default
        where.toCameraSocket = dai.CameraBoardSocket.CAM_A
        told = dai.ImgTransformation(8, 6, matrix, dai.CameraModel.Perspective, [0.0] * 14, where)
        frame.setTransformation(told)
        sent.append((name, frame, told))
    with dai.Pipeline(False) as pipeline:
        queues = {}
        for name, *_ in sent:
            node = pipeline.create(dai.node.RecordMetadataOnly)
            node.setRecordFile(tmp_path / f"{name}.mcap")
            queues[name] = node.input.createInputQueue()
        pipeline.start()
        for name, frame, _ in sent:
            queues[name].send(frame)
        until = time.monotonic() + 20
        while not all((tmp_path / f"{name}.mcap").exists() for name in queues) and time.monotonic() < until:
            time.sleep(0.05)
        pipeline.stop()
    bag = open_bag(tmp_path)
    found = {message.topic.name: read_picture(message) for message in bag.messages([*bag.topics()])}
    for name, frame, _ in sent:
        np.testing.assert_array_equal(found[name].pixels, frame.getCvFrame(), err_msg=name)
        age = (dai.Clock.now() - frame.getTimestamp()).total_seconds()
        assert found[name].stamp == pytest.approx(time.time() - age, abs=5)
    assert found["depth"].camera == Intrinsics(500.0, 501.0, 3.5, 2.5)
    pose = pose_between(bag, "depth", "color")
    assert pose is not None
    theirs = sent[0][2].getExtrinsicsTransformationMatrixTo(sent[2][2], False, dai.LengthUnit.METER)
    np.testing.assert_allclose(pose.translation, np.array(theirs)[:3, 3], atol=1e-6)
