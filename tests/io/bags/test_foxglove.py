"""MCAP files of Foxglove's messages: protobuf as Google's library writes it, and JSON."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from mcap.writer import Writer

from tests.support.protos import Protos, message_classes
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
from tgkt_edge.io.bags.foxglove import as_ros
from tgkt_edge.io.bags.open_bag import open_bag, streams
from tgkt_edge.io.bags.pictures import read_picture
from tgkt_edge.runtime.recorder.import_data import import_data
from tgkt_edge.sensor import load_sensor

json_format = pytest.importorskip("google.protobuf.json_format", reason="needs protobuf")

HITS = look(DEPTH_CAMERA, DEPTH_SIZE)
FRAME = millimetres(HITS, DEPTH_SIZE)
COLOR = painted(look(COLOR_CAMERA, COLOR_SIZE), COLOR_SIZE, 0.3)
TRUTH = painted(HITS, DEPTH_SIZE, 0.3)

# The .proto files of Foxglove.
PROTOS: Protos = {
    "foxglove.Time": [("seconds", 1, "int64"), ("nanos", 2, "int32")],
    "foxglove.Vector3": [("x", 1, "double"), ("y", 2, "double"), ("z", 3, "double")],
    "foxglove.Quaternion": [("x", 1, "double"), ("y", 2, "double"), ("z", 3, "double"), ("w", 4, "double")],
    "foxglove.RawImage": [
        ("timestamp", 1, "foxglove.Time"), ("width", 2, "fixed32"), ("height", 3, "fixed32"),
        ("encoding", 4, "string"), ("step", 5, "fixed32"), ("data", 6, "bytes"), ("frame_id", 7, "string"),
    ],
    "foxglove.CompressedImage": [
        ("timestamp", 1, "foxglove.Time"), ("data", 2, "bytes"), ("format", 3, "string"),
        ("frame_id", 4, "string"),
    ],
    "foxglove.CameraCalibration": [
        ("timestamp", 1, "foxglove.Time"), ("width", 2, "fixed32"), ("height", 3, "fixed32"),
        ("distortion_model", 4, "string"), ("D", 5, "double*"), ("K", 6, "double*"), ("R", 7, "double*"),
        ("P", 8, "double*"), ("frame_id", 9, "string"),
    ],
    "foxglove.FrameTransform": [
        ("timestamp", 1, "foxglove.Time"), ("parent_frame_id", 2, "string"), ("child_frame_id", 3, "string"),
        ("translation", 4, "foxglove.Vector3"), ("rotation", 5, "foxglove.Quaternion"),
    ],
    "foxglove.FrameTransforms": [("transforms", 1, "foxglove.FrameTransform*")],
}  # fmt: skip
CLASSES = {
    name.removeprefix("foxglove."): made
    for name, made in message_classes(PROTOS, "foxglove.proto")[0].items()
}


def at(seconds: float) -> Any:
    return CLASSES["Time"](seconds=int(seconds), nanos=round(seconds % 1 * 1e9))


def messages() -> list[tuple[str, str, Any]]:
    """Topic, schema and message: two cameras, where they are, and a picture of each."""
    axis = cv2.Rodrigues(POSE.inverse.matrix)[0].ravel()
    angle = float(np.linalg.norm(axis))
    x, y, z = axis / angle * np.sin(angle / 2)
    turn = CLASSES["Quaternion"](x=x, y=y, z=z, w=float(np.cos(angle / 2)))
    move = CLASSES["Vector3"](**dict(zip("xyz", POSE.inverse.translation, strict=True)))
    place = CLASSES["FrameTransform"](
        timestamp=at(1.0), parent_frame_id="depth", child_frame_id="color", translation=move, rotation=turn
    )
    found: list[tuple[str, str, Any]] = [
        ("/tf", "FrameTransforms", CLASSES["FrameTransforms"](transforms=[place]))
    ]
    for name, lens, size in (("depth", DEPTH_LENS, DEPTH_SIZE), ("color", COLOR_LENS, COLOR_SIZE)):
        matrix = [lens.fx, 0, lens.cx, 0, lens.fy, lens.cy, 0, 0, 1]
        info = CLASSES["CameraCalibration"](
            timestamp=at(1.0), width=size[0], height=size[1], K=matrix, D=[0.0] * 5, frame_id=name,
            distortion_model="plumb_bob",
        )  # fmt: skip
        found.append((f"/{name}/camera_info", "CameraCalibration", info))
    raw = CLASSES["RawImage"](
        timestamp=at(5.25), width=DEPTH_SIZE[0], height=DEPTH_SIZE[1], encoding="16UC1", step=2 * DEPTH_SIZE[0],
        data=FRAME.tobytes(), frame_id="depth",
    )  # fmt: skip
    found.append(("/depth/image", "RawImage", raw))
    png = cv2.imencode(".png", COLOR)[1].tobytes()
    packed = CLASSES["CompressedImage"](timestamp=at(5.255), data=png, format="png", frame_id="color")
    found.append(("/color/image", "CompressedImage", packed))
    return found


def as_json(content: Any) -> bytes:
    """As Foxglove's JSON schemas have it: base64, and times of sec and nsec."""
    values = json_format.MessageToDict(
        content, preserving_proto_field_name=True, always_print_fields_with_no_presence=True
    )

    def times(one: Any) -> Any:
        if isinstance(one, dict):
            if set(one) == {"seconds", "nanos"}:
                return {"sec": int(one["seconds"]), "nsec": one["nanos"]}
            return {key: times(value) for key, value in one.items()}
        return [times(value) for value in one] if isinstance(one, list) else one

    return json.dumps(times(values)).encode()


def write(path: Path, encoding: str, listed: list[tuple[str, str, Any]]) -> Path:
    with path.open("wb") as file:
        writer: Any = Writer(file)
        writer.start()
        for number, (topic, schema, content) in enumerate(listed):
            data = content.SerializeToString() if encoding == "protobuf" else as_json(content)
            known = writer.register_schema(f"foxglove.{schema}", encoding, b"")
            channel = writer.register_channel(topic, encoding, known)
            writer.add_message(channel, 10**9 + number, data, 10**9 + number)
        writer.finish()
    return path


@pytest.mark.parametrize("encoding", ["protobuf", "json"])
def test_pictures_cameras_and_times_are_read_and_color_is_aligned(encoding: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.mcap", encoding, messages())
    assert {str(one) for one in streams(open_bag(path))} == {
        "/depth/image (depth, 16UC1, 320x240)", "/color/image (color, png, 400x300)",
    }  # fmt: skip
    summary = import_data(path, tmp_path / "out", align=True)
    assert (summary.frames, summary.bad) == (1, 0)
    spec = load_sensor(str(tmp_path / "out/sensor.yaml"))
    assert spec.intrinsics is not None
    assert spec.intrinsics.fx == pytest.approx(DEPTH_LENS.fx)
    (line,) = map(json.loads, (tmp_path / "out/frames.jsonl").read_text().splitlines())
    assert line["time"] == pytest.approx(5.25)
    assert line["skew_ms"] == pytest.approx(5)
    frame: Any = cv2.imread(str(tmp_path / "out/frame/000000.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(frame, FRAME)
    rgb: Any = cv2.imread(str(tmp_path / "out/rgb/000000.png"))
    assert off(rgb, TRUTH, rgb.any(-1)) < 0.01


def test_grey_that_is_packed_says_its_bits(tmp_path: Path) -> None:
    png = cv2.imencode(".png", FRAME)[1].tobytes()
    packed = CLASSES["CompressedImage"](timestamp=at(2.0), data=png, format="png")
    listed = [("/depth/packed", "CompressedImage", packed)]
    path = write(tmp_path / "a.mcap", "protobuf", listed)
    (stream,) = streams(open_bag(path))
    assert str(stream) == "/depth/packed (depth, mono16, 320x240)"
    import_data(path, tmp_path / "out", sensor="depth")
    frame: Any = cv2.imread(str(tmp_path / "out/frame/000000.png"), cv2.IMREAD_UNCHANGED)
    np.testing.assert_array_equal(frame, FRAME)


def test_other_schemas_are_listed_and_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.mcap"
    with path.open("wb") as file:
        writer: Any = Writer(file)
        writer.start()
        known = writer.register_schema("dai.proto.imu_data.IMUData", "protobuf", b"")
        writer.add_message(writer.register_channel("/oak", "protobuf", known), 1, b"abc", 1)
        writer.finish()
    with pytest.raises(DataError, match=r"holds no topic of depth pictures\. Topics of pictures: none"):
        import_data(path, tmp_path / "out")
    with pytest.raises(
        DataError, match=r"/oak \(dai\.proto\.imu_data\.IMUData\) holds no pictures that are read"
    ):
        import_data(path, tmp_path / "out", topic="/oak", sensor="depth")


@pytest.mark.parametrize("encoding", ["protobuf", "json"])
def test_damaged_messages_end_with_a_word(encoding: str, tmp_path: Path) -> None:
    random, whole, damaged = np.random.default_rng(2), 0, set()
    for _, schema, content in messages()[:4]:
        if schema == "RawImage":
            content.data, content.width, content.height, content.step = bytes(24), 4, 3, 8
        data = content.SerializeToString() if encoding == "protobuf" else as_json(content)
        for _ in range(300):
            held = bytearray(data)
            held[random.integers(0, len(held))] = random.integers(0, 256)
            end = len(held) if random.random() < 0.7 else random.integers(0, len(held))
            try:
                as_ros(f"foxglove.{schema}", encoding, bytes(held[:end]))
                whole += 1
            except DataError as error:
                damaged.add(str(error).partition(" foxglove.")[0])
    assert whole > 50
    assert damaged == {"is damaged: its message is no"}
    with pytest.raises(DataError, match=r"is no foxglove\.RawImage"):
        as_ros("foxglove.RawImage", encoding, b"")
    path = write(tmp_path / "a.mcap", encoding, messages()[3:4])
    (message,) = open_bag(path).messages(["/depth/image"])
    np.testing.assert_array_equal(read_picture(message).pixels, FRAME)
