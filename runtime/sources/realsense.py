"""``realsense://SERIAL_OR_FILE``: RealSense cameras and their recordings, through pyrealsense2."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from tgkt_edge.errors import SourceLostError, UsageError
from tgkt_edge.io.addresses import redacted
from tgkt_edge.optional_deps import require
from tgkt_edge.runtime.sources.base import (
    Captured,
    FrameSource,
    SequenceGaps,
    StreamFormat,
    check_first,
    check_unit,
)
from tgkt_edge.runtime.sources.realsense_streams import (
    TIMEOUT_MS,
    Camera,
    CameraWithColor,
    File,
    Stream,
    cameras,
    rig_of,
)
from tgkt_edge.runtime.sources.stream_format import check_pinned, format_of
from tgkt_edge.sensor import SensorSpec

SUFFIXES = (".bag", ".db3")


class RealSenseSource(FrameSource):
    """Depth (uint16 counts of the device's own unit, 0 = none) or the left infrared picture (uint8 or uint16).

    The scale of depth is read from the device and compared with ``spec``, never assumed. ``Captured.time`` is
    librealsense's where it follows the system's clock, else the time of arrival.

    Args:
        device: a serial number, nothing (the first camera), or a .bag or .db3 file.
        spec: what frames must be. Kind "depth" opens the depth stream, "nir" the left infrared one.
        loop: repeat a file indefinitely.
        pinned: the format of an earlier opening: its size is asked for, and another one, or another unit, refused.
        color: take the color stream, too: each frame has the picture that was taken with it as ``color``.

    Raises:
        SourceLostError: (exit 5) no such camera or file, no such stream, or another depth scale.
        MissingDependency: (exit 6) pyrealsense2 is not installed.
    """

    def __init__(
        self, device: str, spec: SensorSpec, *, loop: bool = False, pinned: StreamFormat | None = None,
        color: bool = False,
    ) -> None:  # fmt: skip
        if pinned is not None:
            spec = spec.with_size(pinned.width, pinned.height)
        self._rs = require("pyrealsense2", "realsense", "realsense://")
        recording = device.endswith(SUFFIXES)
        if loop and not recording:
            raise UsageError(
                f"`loop=True` repeats a recording; the camera {redacted(f'realsense://{device}')} has no end."
            )
        if color and recording:
            raise UsageError(
                f"`rgb=realsense` takes color from a camera; {device} is a recording. Its pairs: tgkt-edge data import "
                f"{device} -o DIR --pair"
            )
        self.live = not recording
        self._name = device if recording else redacted(f"realsense://{device}")
        self._spec, self._loop = spec, loop
        self._number = 0
        self._first: Captured | None = None
        self._shape: tuple[int, ...] = ()
        self._gaps = SequenceGaps()
        self._unit_m: float | None = None
        self._stream: Stream | None = None
        if recording and not Path(device).is_file():
            raise SourceLostError(f"{device}: no such file")
        kind = File if recording else CameraWithColor if color else Camera
        self._make: Callable[[], Stream] = lambda: kind(self._rs, device, spec)
        try:
            self._stream = self._open()
            if spec.kind == "depth":
                self._unit_m = self._scale(self._stream.device)
                check_unit(self._unit_m, spec, self._name)
            first = self._next()
            if first is None or first.frame is None:
                raise SourceLostError(f"{self._name}: holds no {spec.kind} frame")
            check_first(first.frame, spec, self._name, "Describe what does arrive with `sensor`.")
            self.format = format_of(_pixels_of(spec), first.frame, self._unit_m)
            check_pinned(pinned, self.format, self._name)
            self._first = first
        except BaseException:
            self.close()
            raise

    def read(self) -> Captured | None:
        """The next frame; see :meth:`FrameSource.read`. Waits up to 10 s for it."""
        captured, self._first = self._first, None
        if captured is None:
            captured = self._next()
        if captured is None and self._loop:
            self.close()
            self._stream = self._open()
            captured = self._next()
        if captured is not None:
            self._number += 1
        return captured

    def close(self) -> None:
        """Stop the stream and release the camera, also after it was unplugged."""
        stream, self._stream = self._stream, None
        if stream is not None:
            with contextlib.suppress(RuntimeError):  # the camera is gone
                stream.stop()

    def _open(self) -> Stream:
        try:
            return self._make()
        except RuntimeError as error:
            spec = self._spec
            size = f" of {spec.size[0]}x{spec.size[1]}" if isinstance(spec.size, tuple) else ""
            advice = (
                f"RealSense cameras here: {', '.join(cameras(self._rs)) or 'none'}. Look with rs-enumerate-devices at "
                f"what it offers, close other programs that use it, and install librealsense's udev rules if this user "
                f"may not open it."
                if self.live
                else "Say with `sensor` what was recorded."
            )
            raise SourceLostError(
                f"{self._name}: no {spec.dtype} {spec.kind} stream{size}: {error}. {advice}"
            ) from error

    def _scale(self, device: Any) -> float:
        """Metres a count, as the device says."""
        option = self._rs.option.depth_units
        for sensor in device.query_sensors():
            if sensor.supports(option):
                return float(sensor.get_option(option))
        raise SourceLostError(f"{self._name}: names no depth scale, so its counts cannot be metres.")

    def _next(self) -> Captured | None:
        assert self._stream is not None
        began, clock = time.time(), time.perf_counter()
        try:
            picture = self._stream.next()
        except RuntimeError as error:
            raise SourceLostError(self._lost(str(error))) from error
        if picture is None:
            if self.live:
                raise SourceLostError(self._lost(f"no frame for {TIMEOUT_MS / 1e3:g} s"))
            return None
        if self.live:
            began, clock = time.time(), time.perf_counter()
        if self._unit_m is not None:
            unit_m = picture.as_depth_frame().get_units()
            if not math.isclose(unit_m, self._unit_m, rel_tol=1e-3):
                raise SourceLostError(
                    f"{self._name}: a count was {self._unit_m:g} m and is {unit_m:g} m now: another program, or a "
                    f"preset, changed the camera's depth unit. Set it back, or give `sensor` one with this unit_m."
                )
        pixels = np.array(picture.get_data())  # a copy: librealsense uses its buffer again
        if self._shape and pixels.shape != self._shape:
            raise SourceLostError(
                f"{self._name}: the stream changed its format midway, from {self._shape} to {pixels.shape}. Keep the "
                f"camera in one mode; does another program set it?"
            )
        self._shape = pixels.shape
        domains = self._rs.timestamp_domain
        if picture.get_frame_timestamp_domain() in (domains.system_time, domains.global_time):
            began = picture.get_timestamp() / 1e3
        lost = self._gaps.add(picture.get_frame_number() & 0xFFFFFFFF) if self.live else 0
        color, beside = None, self._stream.color
        if self.rig is None or (beside is not None and self.rig.pose is None):
            self.rig = rig_of(picture, beside)
        if beside is not None:
            at = began + (beside.get_timestamp() - picture.get_timestamp()) / 1e3
            color = Captured(np.array(beside.get_data()), self._number, at, self._name)
        return Captured(
            pixels, self._number, began, self._name, None, time.perf_counter() - clock, lost, color
        )

    def _lost(self, why: str) -> str:
        return (
            f"{self._name}: the camera stopped delivering after {self._number} frames: {why}. Unplugged, reset or "
            f"without power? Check cable (USB 3) and power, and start again."
        )


def _pixels_of(spec: SensorSpec) -> str:
    """The pixel format that :func:`_requested` asks for, in V4L2's words."""
    if spec.kind == "depth":
        return "Z16"
    return "GREY" if spec.dtype == "uint8" else "Y16"
