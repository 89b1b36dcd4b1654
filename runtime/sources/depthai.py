"""``depthai://``: depth or a mono picture of Luxonis' OAK cameras, through depthai 3."""

from __future__ import annotations

import contextlib
import os
import time
from datetime import timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import SourceLostError
from tgkt_edge.io.addresses import redacted
from tgkt_edge.optional_deps import require
from tgkt_edge.runtime.sources.base import (
    CameraSource,
    Captured,
    SequenceGaps,
    StreamFormat,
    check_first,
    check_unit,
)
from tgkt_edge.runtime.sources.stream_format import check_pinned, format_of
from tgkt_edge.sensor import SensorSpec

_TIMEOUT = 10.0  # seconds without a frame before the camera counts as lost
_UNIT_M = 0.001  # of StereoDepth's depth, unless it is told otherwise
_SIZE = (640, 400)  # that StereoDepth takes where nobody asks for one
_QUEUE = 4


class DepthAiSource(CameraSource):
    """Depth of an OAK's two cameras (uint16 millimetres, 0 = none), or the left one's picture (uint8).

    Args:
        device: a device's number, name or address; nothing: the first one.
        spec: what frames must be. Kind "depth" opens stereo depth, "nir" with uint8 the left mono camera.
        pinned: the format of an earlier opening: its size is asked for, and another one refused.

    Raises:
        SourceLostError: (exit 5) no such camera, or it delivers no such frames.
        MissingDependency: (exit 6) depthai is not installed.
    """

    def __init__(self, device: str, spec: SensorSpec, pinned: StreamFormat | None = None) -> None:
        os.environ.setdefault("DEPTHAI_LEVEL", "off")  # what it logs goes to stdout, where records go
        self._dai = require("depthai", "depthai", "depthai://")
        self._name = redacted(f"depthai://{device}")
        self._spec, self._gaps = spec, SequenceGaps()
        self._device: Any = None
        self._pipeline: Any = None
        if spec.kind == "depth":
            check_unit(_UNIT_M, spec, self._name)
        elif spec.kind != "nir" or spec.dtype != "uint8":
            raise SourceLostError(
                f"{self._name}: delivers depth (uint16) and mono pictures (kind nir, uint8), not {spec.dtype} "
                f"{spec.kind}. Describe what does arrive with `sensor`."
            )
        size = spec.size if isinstance(spec.size, tuple) else _SIZE
        if pinned is not None:
            size = (pinned.width, pinned.height)
        try:
            self._start(device, size)
            self._first = self._next()
            assert self._first.frame is not None
            check_first(self._first.frame, spec, self._name, "Describe what does arrive with `sensor`.")
            pixels, unit = ("RAW16", _UNIT_M) if spec.kind == "depth" else ("GRAY8", None)
            self.format = format_of(pixels, self._first.frame, unit)
            check_pinned(pinned, self.format, self._name)
        except RuntimeError as error:
            self.close()
            raise SourceLostError(
                f"{self._name}: {error}. Cameras here: {', '.join(_cameras(self._dai)) or 'none'}. Check cable and "
                f"power, close other programs that use it, and install Luxonis' udev rule if this user may not open it."
            ) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop the pipeline and release the camera, also after it was unplugged."""
        pipeline, self._pipeline = self._pipeline, None
        device, self._device = self._device, None
        with contextlib.suppress(RuntimeError):  # the camera is gone
            if pipeline is not None:
                pipeline.stop()
        with contextlib.suppress(RuntimeError):
            if device is not None:
                device.close()

    def _start(self, device: str, size: tuple[int, int]) -> None:
        dai = self._dai
        self._device = dai.Device(dai.DeviceInfo(device)) if device else dai.Device()
        self._pipeline = dai.Pipeline(self._device)
        if self._spec.kind == "depth":
            stereo = self._pipeline.create(dai.node.StereoDepth).build(autoCreateCameras=True, size=size)
            stream = stereo.depth
        else:
            camera = self._pipeline.create(dai.node.Camera).build(dai.CameraBoardSocket.CAM_B)
            stream = camera.requestOutput(size, dai.ImgFrame.Type.GRAY8)
        self._queue = stream.createOutputQueue(_QUEUE, False)
        self._pipeline.start()

    def _next(self) -> Captured:
        try:
            message = self._queue.get(timedelta(seconds=_TIMEOUT))
        except RuntimeError as error:
            raise SourceLostError(self._lost(str(error))) from error
        if message is None:
            raise SourceLostError(self._lost(f"no frame for {_TIMEOUT:g} s"))
        clock = time.perf_counter()
        frame = pixels_of(message)
        age = (self._dai.Clock.now() - message.getTimestamp()).total_seconds()
        taken = time.time() - max(0.0, age)
        lost = self._gaps.add(message.getSequenceNum() & 0xFFFFFFFF)
        return Captured(frame, self._number, taken, self._name, None, time.perf_counter() - clock, lost)

    def _lost(self, why: str) -> str:
        return (
            f"{self._name}: the camera stopped delivering after {self._number} frames: {why}. Unplugged, reset or "
            f"without power? Check cable and power, and start again."
        )


def pixels_of(message: Any) -> NDArray[Any]:
    """(H, W) counts of an ImgFrame, copied: its buffer is used again."""
    return np.array(message.getFrame())


def _cameras(dai: Any) -> list[str]:
    try:
        return [f"{one.name} ({one.deviceId})" for one in dai.Device.getAllAvailableDevices()]
    except RuntimeError:
        return []
