"""Foxglove's messages in MCAP files (protobuf or JSON), as if they were ROS's: what reads the one then reads the other.

The schemas: https://docs.foxglove.dev/docs/sdk/schemas. Luxonis' viewer and robots without ROS record them.
"""

from __future__ import annotations

import base64
import binascii
import json
from types import SimpleNamespace
from typing import Any

import numpy as np

from tgkt_edge.errors import DataError
from tgkt_edge.io.bags.protobuf import BROKEN, Fields, parse_message

ENCODINGS = ("protobuf", "json")
TYPES = {
    "foxglove.RawImage": "sensor_msgs/msg/Image",
    "foxglove.CompressedImage": "sensor_msgs/msg/CompressedImage",
    "foxglove.CameraCalibration": "sensor_msgs/msg/CameraInfo",
    "foxglove.FrameTransform": "tf2_msgs/msg/TFMessage",
    "foxglove.FrameTransforms": "tf2_msgs/msg/TFMessage",
}
"""Which of ROS's messages each stands for."""

_TIME: Fields = {1: ("sec", "v"), 2: ("nsec", "v")}
_VECTOR: Fields = {1: ("x", "d"), 2: ("y", "d"), 3: ("z", "d"), 4: ("w", "d")}
_TRANSFORM: Fields = {
    1: ("timestamp", _TIME), 2: ("parent_frame_id", "s"), 3: ("child_frame_id", "s"), 4: ("translation", _VECTOR),
    5: ("rotation", _VECTOR),
}  # fmt: skip
_FIELDS: dict[str, Fields] = {
    "foxglove.RawImage": {
        1: ("timestamp", _TIME), 2: ("width", "v"), 3: ("height", "v"), 4: ("encoding", "s"), 5: ("step", "v"),
        6: ("data", "b"), 7: ("frame_id", "s"),
    },
    "foxglove.CompressedImage": {
        1: ("timestamp", _TIME), 2: ("data", "b"), 3: ("format", "s"), 4: ("frame_id", "s"),
    },
    "foxglove.CameraCalibration": {
        1: ("timestamp", _TIME), 2: ("width", "v"), 3: ("height", "v"), 4: ("distortion_model", "s"), 5: ("D", "d"),
        6: ("K", "d"), 7: ("R", "d"), 8: ("P", "d"), 9: ("frame_id", "s"),
    },
    "foxglove.FrameTransform": _TRANSFORM,
    "foxglove.FrameTransforms": {1: ("transforms", [_TRANSFORM])},
}  # fmt: skip
_BROKEN = (*BROKEN, binascii.Error)


def as_ros(schema: str, encoding: str, data: bytes | memoryview) -> Any:
    """A message of Foxglove's ``schema`` with the names that ROS gives to its parts.

    Raises:
        DataError: it is damaged. It names no file.
    """
    try:
        values = (
            json.loads(bytes(data))
            if encoding == "json"
            else parse_message(memoryview(data), _FIELDS[schema])
        )
        return _MAKERS[TYPES[schema]](values)
    except _BROKEN as error:
        raise DataError(f"is damaged: its message is no {schema} ({error})") from error


def _header(values: dict[str, Any]) -> SimpleNamespace:
    time = values.get("timestamp", {})
    stamp = SimpleNamespace(sec=int(time.get("sec", 0)), nanosec=int(time.get("nsec", 0)))
    frame = values.get("frame_id", values.get("parent_frame_id", ""))
    return SimpleNamespace(stamp=stamp, frame_id=str(frame))


def _bytes(value: Any) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """Of JSON they are base64."""
    data = base64.b64decode(value, validate=True) if isinstance(value, str) else value
    return np.frombuffer(data, np.uint8)


def _image(values: dict[str, Any]) -> SimpleNamespace:
    names = ("width", "height", "step")
    return SimpleNamespace(
        header=_header(values), encoding=str(values["encoding"]), is_bigendian=0,
        data=_bytes(values["data"]), **{name: int(values[name]) for name in names},
    )  # fmt: skip


def _compressed(values: dict[str, Any]) -> SimpleNamespace:
    return SimpleNamespace(
        header=_header(values), format=str(values.get("format", "")), data=_bytes(values["data"])
    )


def _info(values: dict[str, Any]) -> SimpleNamespace:
    matrix = np.asarray(values["K"], np.float64)
    plain = np.asarray(values.get("P") or np.zeros(12), np.float64)
    return SimpleNamespace(
        header=_header(values), width=int(values["width"]), height=int(values["height"]),
        distortion_model=str(values.get("distortion_model", "")), d=np.asarray(values.get("D", []), np.float64),
        k=matrix, p=plain,
    )  # fmt: skip


def _transforms(values: dict[str, Any]) -> SimpleNamespace:
    listed = values.get("transforms", [values] if "child_frame_id" in values else [])
    return SimpleNamespace(
        transforms=[
            SimpleNamespace(
                header=_header(one),
                child_frame_id=str(one["child_frame_id"]),
                transform=SimpleNamespace(
                    translation=_vector(one.get("translation", {}), "xyz"),
                    rotation=_vector(one.get("rotation", {}), "xyzw"),
                ),
            )
            for one in listed
        ]
    )


def _vector(values: dict[str, Any], names: str) -> SimpleNamespace:
    """Protobuf leaves out what is 0, and holds a number in a list of one."""
    plain = {name: values.get(name, 0.0) for name in names}
    return SimpleNamespace(
        **{name: float(value[0] if isinstance(value, list) else value) for name, value in plain.items()}
    )


_MAKERS = {
    "sensor_msgs/msg/Image": _image,
    "sensor_msgs/msg/CompressedImage": _compressed,
    "sensor_msgs/msg/CameraInfo": _info,
    "tf2_msgs/msg/TFMessage": _transforms,
}
