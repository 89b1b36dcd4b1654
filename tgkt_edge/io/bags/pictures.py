"""Pictures in ROS messages: sensor_msgs Image, CompressedImage (PNG, JPEG, compressedDepth) and CameraInfo."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import ConfigError, DataError
from tgkt_edge.io.bags import depthai, foxglove
from tgkt_edge.io.bags.message import Message
from tgkt_edge.io.bags.rvl import decode_rvl
from tgkt_edge.io.formats.picture import check_size, turn_upright
from tgkt_edge.io.formats.sniff import decode
from tgkt_edge.optional_deps import require
from tgkt_edge.sensor import Intrinsics

IMAGE, COMPRESSED, INFO = (
    "sensor_msgs/msg/Image",
    "sensor_msgs/msg/CompressedImage",
    "sensor_msgs/msg/CameraInfo",
)
PICTURES = (IMAGE, COMPRESSED)

ENCODINGS: dict[str, tuple[str, int]] = {
    "16UC1": ("u2", 1), "mono16": ("u2", 1), "32FC1": ("f4", 1), "mono8": ("u1", 1), "8UC1": ("u1", 1),
    "rgb8": ("u1", 3), "bgr8": ("u1", 3), "8UC3": ("u1", 3), "rgba8": ("u1", 4), "bgra8": ("u1", 4),
    depthai.RAW16: ("u2", 1),
}  # fmt: skip
"""ROS's names of pixel formats that are read, and depthai's of what ROS has no name for: number type and channels."""

_TRANSFORMS = ("tf2_msgs/msg/TFMessage", "tf/msg/tfMessage")
_FILES = ("png", "jpeg", "jpg", "webp", "tiff")
_HEADER = struct.Struct("<iff")  # compressed_depth_image_transport's ConfigHeader: format, two parameters
_BROKEN = (
    struct.error,
    ValueError,
    IndexError,
    KeyError,
    TypeError,
    AssertionError,
    UnicodeDecodeError,
    OverflowError,
)


@dataclass(frozen=True)
class Stamped:
    """A picture: (H, W) or (H, W, 3) blue, green, red; its encoding in ROS's words; Unix seconds of its header, 0 if
    that says none, and when it was recorded; the PNG or JPEG that it came as, if :func:`read_frame` and
    :func:`read_rgb` of :mod:`tgkt_edge.io.images` give these pixels of it; and its camera, where it says that."""

    pixels: NDArray[Any]
    encoding: str
    stamp: float
    received: float
    file: bytes = b""
    camera: Intrinsics | None = None


def read_picture(message: Message) -> Stamped:
    """Decode a message of one of :data:`PICTURES`, or as its topic says. Raises DataError, which names no file."""
    if message.topic.read is not None:
        found: Stamped = message.topic.read(message)
        return found
    content = deserialized(message)
    try:
        stamp = stamp_of(content, message.topic.shift)
        if message.topic.type == IMAGE:
            pixels, encoding, file = _image(content), str(content.encoding), b""
        else:
            pixels, encoding, file = _compressed(content, message.topic.name)
    except _BROKEN as error:
        raise DataError(f"is damaged: its message is no picture ({error})") from error
    camera = getattr(content, "camera", None)
    return Stamped(pixels, encoding, stamp, message.received / 1e9, file, camera)


def time_taken(message: Message) -> float:
    """Unix seconds of a message's header; 0: it says none.

    Raises:
        DataError: the message cannot be read.
    """
    return 0.0 if message.topic.read is not None else stamp_of(deserialized(message), message.topic.shift)


def stamp_of(content: Any, shift: float = 0.0) -> float:
    """Unix seconds of a ROS message's header; 0: it says none. ``shift``: of its topic."""
    stamp = content.header.stamp
    seconds = float(stamp.sec + stamp.nanosec / 1e9)
    return seconds + shift if seconds > 0 else seconds


@dataclass(frozen=True)
class CameraInfo:
    """What a CameraInfo says: of pictures as the lens makes them, of the same rectified, and their (width, height)."""

    raw: Intrinsics
    rectified: Intrinsics
    size: tuple[int, int]


def read_intrinsics(message: Message) -> CameraInfo | None:
    """Intrinsics of a CameraInfo; None: the camera is not calibrated.

    Raises:
        DataError: the message is damaged, or its values are impossible, such as one coefficient without a model.
    """
    content = deserialized(message)
    matrix = np.asarray(content.k if hasattr(content, "k") else content.K, np.float64).reshape(3, 3)
    distortion = np.asarray(content.d if hasattr(content, "d") else content.D, np.float64)
    if (
        matrix[0, 0] <= 0
        or matrix[1, 1] <= 0
        or not np.isfinite(matrix).all()
        or not np.isfinite(distortion).all()
    ):
        return None
    try:
        camera = Intrinsics(
            float(matrix[0, 0]), float(matrix[1, 1]), float(matrix[0, 2]), float(matrix[1, 2]),
            tuple(map(float, distortion)), str(content.distortion_model) or None,
        )  # fmt: skip
    except ConfigError as error:
        raise DataError(f"{message.topic.name}: {error}") from error
    plain = np.asarray(content.p if hasattr(content, "p") else content.P, np.float64).reshape(3, 4)
    # Drivers that do not rectify leave P empty, or write ones.
    if not np.isfinite(plain).all() or not (plain[[0, 1], [0, 1]] > matrix[[0, 1], [0, 1]] / 4).all():
        plain = matrix
    rectified = Intrinsics(float(plain[0, 0]), float(plain[1, 1]), float(plain[0, 2]), float(plain[1, 2]))
    return CameraInfo(camera, rectified, (int(content.width), int(content.height)))


def deserialized(message: Message) -> Any:
    """The message as an object of rosbags. Raises DataError for one that is damaged or encoded otherwise."""
    if message.topic.schema in depthai.TYPES:
        return depthai.as_ros(message.topic.schema, message.data)
    if message.topic.schema:
        return foxglove.as_ros(message.topic.schema, message.topic.encoding, message.data)
    if message.topic.encoding not in ("ros1", "cdr"):
        raise DataError(
            f"{message.topic.name}: messages encoded as {message.topic.encoding} are not read; expected ros1, cdr, or "
            f"Foxglove's and depthai's schemas"
        )
    require("rosbags", "ros", "Reading ROS messages")
    store = _store(message.topic.encoding)
    read = store.deserialize_ros1 if message.topic.encoding == "ros1" else store.deserialize_cdr
    data = message.data
    if message.topic.encoding == "ros1" and message.topic.type == IMAGE:
        data = _without_tail(data)
    try:
        return read(data, message.topic.type)
    except (*_BROKEN, store.error) as error:
        raise DataError(f"is damaged: its message cannot be read ({error})") from error


def _without_tail(data: bytes | memoryview) -> bytes | memoryview:
    """A ROS 1 Image up to the end of its pixels: librealsense writes four zeros more."""
    try:
        name = struct.unpack_from("<I", data, 12)[0]
        encoding = struct.unpack_from("<I", data, 24 + name)[0]
        at = 33 + name + encoding
        size = struct.unpack_from("<I", data, at)[0]
    except struct.error:
        return data
    end = at + 4 + size
    return data[:end] if bytes(data[end:]) == bytes(4) else data


@dataclass(frozen=True)
class _Store:
    deserialize_ros1: Any
    deserialize_cdr: Any
    error: type[Exception]


@lru_cache(maxsize=2)
def _store(encoding: str) -> _Store:
    from rosbags.serde import SerdeError
    from rosbags.typesys import Stores, get_types_from_msg, get_typestore

    found = get_typestore(Stores.ROS1_NOETIC if encoding == "ros1" else Stores.ROS2_HUMBLE)
    for name in _TRANSFORMS:
        if name not in found.types:
            found.register(get_types_from_msg("geometry_msgs/TransformStamped[] transforms", name))
    return _Store(found.deserialize_ros1, found.deserialize_cdr, SerdeError)


def _image(content: Any) -> NDArray[Any]:
    known = ENCODINGS.get(content.encoding)
    if known is None:
        raise DataError(
            f"has the encoding '{content.encoding}', which is not read; expected "
            f"{', '.join(name for name in ENCODINGS if name != depthai.RAW16)}"
        )
    kind, channels = known
    height, width, step = int(content.height), int(content.width), int(content.step)
    check_size(width, height)
    dtype: np.dtype[Any] = np.dtype(kind).newbyteorder(">" if content.is_bigendian else "<")
    row = width * channels * dtype.itemsize
    data = np.asarray(content.data, np.uint8)
    if step < row or len(data) < step * height:
        raise DataError(
            f"is damaged: {len(data)} bytes, {height} rows of {step}, for {width} pixels of {row} bytes"
        )
    rows = np.ascontiguousarray(data[: step * height].reshape(height, step)[:, :row])
    pixels = rows.view(dtype).astype(dtype.newbyteorder("="), copy=False)
    if channels == 1:
        return pixels
    pixels = pixels.reshape(height, width, channels)
    cv2 = require("cv2", "cpu", "Reading color")
    if content.encoding.startswith("rgb"):
        return np.asarray(cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR if channels == 3 else cv2.COLOR_RGBA2BGR))
    return pixels if channels == 3 else np.asarray(cv2.cvtColor(pixels, cv2.COLOR_BGRA2BGR))


def _compressed(content: Any, topic: str) -> tuple[NDArray[Any], str, bytes]:
    """Pixels, the encoding that was compressed, and the file: see :class:`Stamped`."""
    words = str(content.format) + ("; compressedDepth" if topic.endswith("/compressedDepth") else "")
    data = np.asarray(content.data, np.uint8).tobytes()
    encoding = words.partition(";")[0].strip()
    if "compressedDepth" not in words:
        picture = decode(data)
        pixels = turn_upright(picture.pixels, picture.orientation)
        if pixels.ndim == 3:
            return np.ascontiguousarray(pixels[..., :3]), encoding, data
        if picture.not_counts:
            raise DataError(picture.not_counts)
        if encoding.lower() in _FILES:  # it says how it is packed, and not what
            encoding = {"uint16": "mono16", "uint8": "mono8"}.get(str(pixels.dtype), encoding)
        return pixels, encoding, data
    packing = words.partition("compressedDepth")[2].partition(";")[0].strip()
    if encoding not in ("16UC1", "32FC1") or packing not in ("", "png", "rvl") or len(data) < _HEADER.size:
        raise DataError(
            f"is compressed as '{words}', which is not read; expected compressedDepth of 16UC1 or 32FC1"
        )
    _, a, b = _HEADER.unpack_from(data)
    body = data[_HEADER.size :]
    if packing == "rvl":
        width, height = struct.unpack_from("<II", body)
        check_size(width, height)
        counts, file = decode_rvl(body[8:], width * height).reshape(height, width), b""
    else:
        picture = decode(body)
        counts, file = picture.pixels, body if picture.orientation == 1 else b""
    if counts.ndim != 2 or counts.dtype != np.uint16:
        raise DataError(f"is damaged: its compressed depth holds {counts.dtype} {counts.shape}")
    if encoding == "16UC1":
        return counts, encoding, file
    # compressed_depth_image_transport: depth = A / (count - B); a count of 0 is no measurement.
    seen = counts > 0
    metres = np.full(counts.shape, np.nan, np.float32)
    metres[seen] = np.float32(a) / (counts[seen].astype(np.float32) - np.float32(b))
    return metres, encoding, b""
