"""Messages of Luxonis' depthai 3 in MCAP files (protobuf), as if they were ROS's: what reads the one reads the other.

Its node RecordMetadataOnly writes them, ``ImgFrame`` with all pixels, ``EncodedFrame`` with a JPEG; RecordVideo writes
``ImgFrame`` without pixels beside a video. The schemas: ``protos/`` of luxonis/depthai-core; every file holds its own.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import ConfigError, DataError
from tgkt_edge.io.bags.protobuf import BROKEN, Fields, parse_message
from tgkt_edge.io.formats.picture import check_size
from tgkt_edge.optional_deps import require
from tgkt_edge.sensor import Extrinsics, Intrinsics

IMG_FRAME, ENCODED = "dai.proto.img_frame.ImgFrame", "dai.proto.encoded_frame.EncodedFrame"
TYPES = {IMG_FRAME: "sensor_msgs/msg/Image", ENCODED: "sensor_msgs/msg/CompressedImage"}
"""Which of ROS's messages each stands for."""

_TIME: Fields = {1: ("sec", "v"), 2: ("nsec", "v")}
_ROW: Fields = {1: ("values", "f")}
_MATRIX: Fields = {1: ("arrays", [_ROW])}
_POINT: Fields = {1: ("x", "f"), 2: ("y", "f"), 3: ("z", "f")}
_EXTRINSICS: Fields = {
    1: ("rotation", _MATRIX),
    2: ("translation", _POINT),
    4: ("socket", "v"),
    5: ("unit", "v"),
    6: ("device", "s"),
}
_TRANSFORMATION: Fields = {
    1: ("moved", _MATRIX), 2: ("source", _MATRIX), 3: ("model", "v"), 4: ("distortion", _ROW), 7: ("width", "v"),
    8: ("height", "v"), 9: ("extrinsics", _EXTRINSICS),
}  # fmt: skip
_SPECS: Fields = {
    1: ("type", "v"), 2: ("width", "v"), 3: ("height", "v"), 4: ("stride", "v"), 6: ("p1", "v"), 7: ("p2", "v"),
    8: ("p3", "v"),
}  # fmt: skip
RAW16 = "RAW16"
"""A pixel format that has no name of ROS's: depth, disparity or infrared, and no message says which."""

_FIELDS: dict[str, Fields] = {
    IMG_FRAME: {
        1: ("ts", _TIME), 4: ("fb", _SPECS), 9: ("transformation", _TRANSFORMATION), 11: ("data", "b"),
    },
    ENCODED: {
        3: ("width", "v"), 4: ("height", "v"), 7: ("profile", "v"), 13: ("ts", _TIME),
        15: ("transformation", _TRANSFORMATION), 16: ("data", "b"),
    },
}  # fmt: skip

# ImgFrame's pixel formats by their numbers, and ROS's names of those that need no conversion.
_FORMATS = (
    "YUV422i", "YUV444p", "YUV420p", "YUV422p", "YUV400p", "RGBA8888", "RGB161616", "RGB888p", "BGR888p",
    "RGB888i", "BGR888i", "LUT2", "LUT4", "LUT16", "RAW16", "RAW14", "RAW12", "RAW10", "RAW8", "PACK10",
    "PACK12", "YUV444i", "NV12", "NV21", "BITSTREAM", "HDR", "RGBF16F16F16p", "BGRF16F16F16p",
    "RGBF16F16F16i", "BGRF16F16F16i", "GRAY8", "GRAYF16", "RAW32", "NONE",
)  # fmt: skip
_PLAIN = {
    "RAW16": RAW16, "RAW14": "mono16", "RAW12": "mono16", "RAW10": "mono16", "RAW8": "mono8", "GRAY8": "mono8",
    "RGB888i": "rgb8", "BGR888i": "bgr8",
}  # fmt: skip
_CONVERTED = ("RGB888p", "BGR888p", "NV12", "NV21", "YUV420p", "YUV422i")
_PROFILES = ("JPEG", "H.264", "H.265")
_PERSPECTIVE, _FISHEYE = 0, 1
_METRES = (1.0, 0.01, 0.001, 0.0254, 0.3048)  # of LengthUnit
_COEFFICIENTS = (4, 5, 8, 12, 14)
_SQUARE = 1e-6  # of fx: what a matrix of a picture that is not turned has beside its diagonal
_UNIX = 1e9  # seconds: a clock that shows more than thirty years counts from 1970


def as_ros(schema: str, data: bytes | memoryview) -> Any:
    """A message of ``schema`` with the names that ROS gives to its parts, and further ``camera`` (:class:`Intrinsics`
    or None) and ``place`` (where a point of the camera is in the axes of another one, and which one that is, or None).

    Raises:
        DataError: it is damaged, or in a format that is not read. It names no file.
    """
    try:
        values = parse_message(memoryview(data), _FIELDS[schema])
        return _image(values) if schema == IMG_FRAME else _compressed(values)
    except BROKEN as error:
        raise DataError(f"is damaged: its message is no {schema} ({error})") from error


def clock_shift(received: int, schema: str, data: bytes | memoryview) -> float | None:
    """Seconds from the clock of a message, which counts from the start of the computer that recorded, to Unix time.

    Args:
        received: nanoseconds since 1970 when it was recorded.

    Returns:
        None: the message does not tell.
    """
    time = next(({number: field} for number, field in _FIELDS[schema].items() if field[0] == "ts"), {})
    try:
        stamp = _seconds(parse_message(memoryview(data), time))
    except BROKEN:
        return None
    return None if stamp <= 0 else 0.0 if stamp > _UNIX else received / 1e9 - stamp


def _seconds(values: dict[str, Any]) -> float:
    time = values.get("ts", {})
    return float(time.get("sec", 0) + time.get("nsec", 0) / 1e9)


def _content(values: dict[str, Any], size: tuple[int, int], **more: Any) -> SimpleNamespace:
    time = values.get("ts", {})
    stamp = SimpleNamespace(sec=time.get("sec", 0), nanosec=time.get("nsec", 0))
    told = values.get("transformation", {})
    return SimpleNamespace(
        header=SimpleNamespace(stamp=stamp, frame_id=""),
        camera=_camera(told, size),
        place=_place(told),
        **more,
    )


def _image(values: dict[str, Any]) -> SimpleNamespace:
    specs, data = values["fb"], values.get("data", b"")
    number, width, height = specs.get("type", 0), specs.get("width", 0), specs.get("height", 0)
    name = _FORMATS[number] if 0 <= number < len(_FORMATS) else str(number)
    if not data:
        raise DataError(
            "holds no pixels: depthai's RecordVideo writes them into a video beside it, with losses. Record with "
            "RecordMetadataOnly, which keeps every count"
        )
    if name not in _PLAIN and name not in _CONVERTED:
        raise DataError(
            f"has the pixel format {name}, which is not read; expected {', '.join((*_PLAIN, *_CONVERTED))}"
        )
    check_size(width, height)
    start, encoding, step = specs.get("p1", 0), _PLAIN.get(name, "bgr8"), specs.get("stride", 0)
    pixels = np.frombuffer(data, np.uint8)[start:]
    if name in _CONVERTED:
        pixels, step = _color(name, data, specs).reshape(-1), 3 * width
    elif not step:
        step = width * {"mono8": 1, "rgb8": 3, "bgr8": 3}.get(encoding, 2)
    return _content(
        values,
        (width, height),
        encoding=encoding,
        width=width,
        height=height,
        step=step,
        is_bigendian=0,
        data=pixels,
    )


def _color(name: str, data: bytes, specs: dict[str, Any]) -> NDArray[np.uint8]:
    """(H, W, 3) blue, green, red of planes or of YUV, as depthai itself and OpenCV convert them."""
    width, height = specs["width"], specs["height"]
    row = 2 * width if name == "YUV422i" else width
    stride = specs.get("stride", 0) or row
    first = specs.get("p1", 0)
    second = specs.get("p2", 0) or first + stride * height

    def plane(start: int, rows: int, length: int, step: int) -> NDArray[np.uint8]:
        return np.ascontiguousarray(np.ndarray((rows, length), np.uint8, data, start, (step, 1)))

    if name.endswith("888p"):
        third = specs.get("p3", 0) or second + stride * height
        planes = [plane(start, height, width, stride) for start in (first, second, third)]
        return np.stack(planes if name.startswith("BGR") else planes[::-1], -1)
    cv2 = require("cv2", "cpu", "Reading color")
    if width % 2 or (height % 2 and name != "YUV422i"):
        raise ValueError(f"{width}x{height} pixels of {name}, which has even sizes only")
    luma = plane(first, height, row, stride)
    if name == "YUV422i":
        return np.asarray(cv2.cvtColor(luma.reshape(height, width, 2), cv2.COLOR_YUV2BGR_YUYV))
    if name == "YUV420p":
        third = specs.get("p3", 0) or second + stride // 2 * (height // 2)
        chroma = [plane(start, height // 2, width // 2, stride // 2).reshape(-1) for start in (second, third)]
        code = cv2.COLOR_YUV2BGR_I420
    else:
        chroma = [plane(second, height // 2, width, stride).reshape(-1)]
        code = cv2.COLOR_YUV2BGR_NV12 if name == "NV12" else cv2.COLOR_YUV2BGR_NV21
    whole = np.concatenate([luma.reshape(-1), *chroma]).reshape(height * 3 // 2, width)
    return np.asarray(cv2.cvtColor(whole, code))


def _compressed(values: dict[str, Any]) -> SimpleNamespace:
    profile = values.get("profile", 0)
    if profile != 0:
        name = _PROFILES[profile] if 0 < profile < len(_PROFILES) else f"profile {profile}"
        raise DataError(
            f"holds {name} video, which is not read; expected JPEG (profile MJPEG) or frames as they are"
        )
    size = (values.get("width", 0), values.get("height", 0))
    data = np.frombuffer(values.get("data", b""), np.uint8)
    return _content(values, size, format="jpeg", data=data)


def _matrix(values: dict[str, Any]) -> NDArray[np.float64]:
    """(3, 3); raises ValueError where it is none."""
    found = np.array([row.get("values", []) for row in values.get("arrays", [])], np.float64)
    if found.shape != (3, 3) or not np.isfinite(found).all():
        raise ValueError("no matrix of 3x3 numbers")
    return found


def _camera(told: dict[str, Any], size: tuple[int, int]) -> Intrinsics | None:
    """Of the picture as it is; None: it is not told, or the picture was turned or mirrored."""
    if (told.get("width", 0), told.get("height", 0)) != size:
        return None
    try:
        source = _matrix(told.get("source", {}))
        matrix = _matrix(told.get("moved", {})) @ source
    except ValueError:
        return None
    if matrix[2, 2] == 0:
        return None
    matrix /= matrix[2, 2]
    fx, fy = matrix[0, 0], matrix[1, 1]
    beside = np.abs(matrix[[0, 1, 2, 2], [1, 0, 0, 1]]).max()
    if np.array_equal(source, np.eye(3)) or not min(fx, fy) > 0 or beside > _SQUARE * fx:
        return None
    model, bent = told.get("model", 0), told.get("distortion", {}).get("values", [])
    if model == _FISHEYE and not any(bent[4:]):
        bent = bent[:4]
    if not any(bent):
        bent = []
    elif model not in (_PERSPECTIVE, _FISHEYE) or len(bent) not in _COEFFICIENTS:
        return None
    name = None if not bent else "equidistant" if model == _FISHEYE else "rational_polynomial"
    try:
        return Intrinsics(float(fx), float(fy), float(matrix[0, 2]), float(matrix[1, 2]), tuple(bent), name)
    except ConfigError:
        return None


def _place(told: dict[str, Any]) -> tuple[Extrinsics, tuple[int, str]] | None:
    values = told.get("extrinsics", {})
    unit, moved = values.get("unit", 0), values.get("translation", {})
    try:
        turned = _matrix(values.get("rotation", {}))
        if not 0 <= unit < len(_METRES):
            return None  # a unit of the pipeline's own
        metres = [moved.get(axis, [0.0])[0] * _METRES[unit] for axis in "xyz"]
        return Extrinsics.of(turned, metres), (values.get("socket", 0), values.get("device", ""))
    except (ValueError, IndexError, ConfigError):
        return None
