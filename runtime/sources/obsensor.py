"""``obsensor://0``: Orbbec depth cameras, through an OpenCV that was built with them."""

from __future__ import annotations

import re

from tgkt_edge.errors import SourceLostError, UsageError
from tgkt_edge.io.addresses import redacted
from tgkt_edge.runtime.sources.base import StreamFormat, check_unit, opencv
from tgkt_edge.runtime.sources.opencv_stream import OpenCvStream, expected_backend
from tgkt_edge.sensor import SensorSpec

_UNIT_M = 0.001  # CAP_OBSENSOR_DEPTH_MAP is in millimetres, invalid 0
_BUILD = (
    "Its wheels have it up to 4.12. Otherwise use the camera's V4L2 node (v4l2:///dev/video0, Z16 or Y16), or "
    "openni2://0 for Astra cameras."
)


def open_obsensor(index: str, spec: SensorSpec, pinned: StreamFormat | None = None) -> OpenCvStream:
    """Depth of an Orbbec camera, (H, W) uint16 millimetres, 0 = no measurement.

    Raises:
        SourceLostError: (exit 5) no such camera, or ``spec`` says anything but millimetres.
        MissingDependency: (exit 6) there is no OpenCV, or one without Orbbec cameras.
    """
    if not re.fullmatch(r"[0-9]+", index):
        raise UsageError(
            f"`camera={redacted(f'obsensor://{index}')}`: expected the camera's number: obsensor://0"
        )
    name = f"obsensor://{index}"
    if spec.kind != "depth" or spec.dtype != "uint16":
        raise SourceLostError(
            f"{name}: OpenCV reads only depth from Orbbec cameras, as 16-bit millimetres, but the sensor is "
            f"{spec.dtype} {spec.kind}. For infrared use the camera's V4L2 node."
        )
    check_unit(_UNIT_M, spec, name)
    cv2 = opencv()
    backend = expected_backend(cv2, "CAP_OBSENSOR", "Orbbec cameras", _BUILD)
    capture = cv2.VideoCapture(int(index), backend)
    if not capture.isOpened():
        raise SourceLostError(
            f"{name}: no such Orbbec camera, or another program uses it. See 'lsusb' (vendor 2bc5) and 'dmesg'."
        )
    return OpenCvStream(
        capture,
        name,
        spec,
        fix="Describe what does arrive with `sensor`.",
        lost="Unplugged, reset or without power? See 'dmesg', check cable and power.",
        flag=cv2.CAP_OBSENSOR_DEPTH_MAP,
        unit_m=_UNIT_M,
        pinned=pinned,
    )
