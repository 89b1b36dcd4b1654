"""``calibration.json`` of Azure Kinect: both cameras, unitized over their sensors, for the mode that was recorded."""

from __future__ import annotations

import json
from typing import Any

from tgkt_edge.alignment.rig import Rig, Size
from tgkt_edge.errors import ConfigError, DataError
from tgkt_edge.sensor import Extrinsics, Intrinsics

_DEPTH, _COLOR = "CALIBRATION_CameraPurposeDepth", "CALIBRATION_CameraPurposePhotoVideo"
_BROWN = "CALIBRATION_LensDistortionModelBrownConrady"
# What each depth mode shows of the sensor of 1024x1024 pixels: side of the sensor's image, binned, and what is cut off
# at the left and the top. From the SDK's mode-specific calibration.
_DEPTH_MODES: dict[Size, tuple[int, int, int]] = {
    (320, 288): (512, 96, 90),
    (640, 576): (1024, 192, 180),
    (512, 512): (512, 0, 0),
    (1024, 1024): (1024, 0, 0),
}


def read_calibration(data: bytes, depth: Size | None, color: Size | None) -> Rig:
    """The cameras of a recording.

    Args:
        data: the attachment. depth, color: (width, height) of what was recorded; None: it was not.

    Returns:
        What is known; intrinsics of a mode that is not known are left out.

    Raises:
        DataError: it is no calibration.
    """
    try:
        values = json.loads(data.rstrip(b"\0"))
        cameras = {one["Purpose"]: one for one in values["CalibrationInformation"]["Cameras"]}
        one, other = cameras[_DEPTH], cameras[_COLOR]
        pose = _pose(one).inverse.then(_pose(other))
        return Rig(
            None if depth is None else _depth_intrinsics(one, depth),
            None if color is None else _color_intrinsics(other, color),
            pose, depth, color, "Its calibration.json does not cover this mode",
        )  # fmt: skip
    except (ValueError, KeyError, TypeError, IndexError, ConfigError, RecursionError) as error:
        raise DataError(f"{type(error).__name__}: {error}") from error


def _pose(camera: Any) -> Extrinsics:
    """From the rig's reference to the camera."""
    place = camera["Rt"]
    rotation = [float(value) for value in place["Rotation"]]
    return Extrinsics.of([rotation[0:3], rotation[3:6], rotation[6:9]], place["Translation"])


def _depth_intrinsics(camera: Any, size: Size) -> Intrinsics | None:
    if size not in _DEPTH_MODES:
        return None
    side, left, top = _DEPTH_MODES[size]
    return _intrinsics(camera, (side, side), (left, top), 0.0, 1.0)


def _color_intrinsics(camera: Any, size: Size) -> Intrinsics | None:
    """The sensor is 4:3; narrower modes cut off top and bottom alike. Early calibrations are of its 16:9 part."""
    width, height = size
    whole = width * 3 // 4
    if height not in (whole, width * 9 // 16):
        return None
    early = camera["SensorWidth"] * 9 // 16 == camera["SensorHeight"]
    shift, shrink = (384 / 3072, 2304 / 3072) if early else (0.0, 1.0)
    return _intrinsics(camera, (width, whole), (0, (whole - height) // 2), shift, shrink)


def _intrinsics(
    camera: Any, whole: Size, cut: tuple[int, int], shift: float, shrink: float
) -> Intrinsics | None:
    """Of a picture of ``whole`` pixels of which ``cut`` are missing at the left and the top. Unitized coordinates begin
    at the corner of the first pixel, those of pixels in its middle; ``shift``, ``shrink``: of unitized rows."""
    lens = camera["Intrinsics"]
    values = [float(value) for value in lens["ModelParameters"]]
    cx, cy, fx, fy, k1, k2, k3, k4, k5, k6, off_x, off_y, p2, p1 = values[:14]
    if lens["ModelType"] != _BROWN or off_x or off_y:
        return None  # of early devices that were never sold
    return Intrinsics(
        fx * whole[0], fy * shrink * whole[1],
        cx * whole[0] - cut[0] - 0.5, (cy * shrink + shift) * whole[1] - cut[1] - 0.5,
        (k1, k2, p1, p2, k3, k4, k5, k6), "rational_polynomial",
    )  # fmt: skip
