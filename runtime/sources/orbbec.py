"""``orbbec://``: depth or infrared of Orbbec's cameras, through its own SDK 2."""

from __future__ import annotations

import contextlib
import os
import sys
import time
from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import MissingDependency, SourceLostError
from tgkt_edge.io.addresses import redacted
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

_TIMEOUT_MS = 10_000  # without a frame, before the camera counts as lost
_WAIT_MS = 500


class OrbbecSource(CameraSource):
    """Depth (uint16 counts of the device's own unit, 0 = none) or infrared (uint16 or uint8).

    The unit of depth is read from the frames and compared with ``spec``, never assumed. ``Captured.time`` is when the
    SDK took the frame from the bus.

    Args:
        serial: a camera's serial number; nothing: the first one.
        spec: what frames must be. Kind "depth" opens the depth sensor, "nir" infrared (the left one where there are
            two).
        pinned: the format of an earlier opening: its size is asked for, and another one, or another unit, refused.

    Raises:
        SourceLostError: (exit 5) no such camera, no such stream, or another unit of depth.
        MissingDependency: (exit 6) Orbbec's Python package is not installed.
    """

    def __init__(self, serial: str, spec: SensorSpec, pinned: StreamFormat | None = None) -> None:
        if pinned is not None:
            spec = spec.with_size(pinned.width, pinned.height)
        self._ob = _sdk()
        self._name = redacted(f"orbbec://{serial}")
        self._spec, self._gaps = spec, SequenceGaps()
        self._pipeline: Any = None
        self._unit_m: float | None = None
        try:
            self._start(serial)
            self._first = self._next()
            assert self._first.frame is not None
            check_first(self._first.frame, spec, self._name, "Describe what does arrive with `sensor`.")
            pixels = "Y8" if spec.dtype == "uint8" else "Y16"
            self.format = format_of(pixels, self._first.frame, self._unit_m)
            check_pinned(pinned, self.format, self._name)
        except (RuntimeError, self._ob.OBError) as error:
            self.close()
            raise SourceLostError(
                f"{self._name}: no {spec.dtype} {spec.kind} stream: {error}. See 'lsusb' (vendor 2bc5), close other "
                f"programs that use it, and install Orbbec's udev rule if this user may not open it."
            ) from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop the stream and release the camera, also after it was unplugged."""
        pipeline, self._pipeline = self._pipeline, None
        if pipeline is not None:
            with contextlib.suppress(RuntimeError, self._ob.OBError):  # the camera is gone
                pipeline.stop()

    def _start(self, serial: str) -> None:
        ob, spec = self._ob, self._spec
        context = ob.Context()
        devices = context.query_devices()
        known = [devices.get_device_serial_number_by_index(at) for at in range(devices.get_count())]
        if not known or (serial and serial not in known):
            raise SourceLostError(
                f"{self._name}: no such Orbbec camera. Here: {', '.join(known) or 'none'}. See 'lsusb' (vendor 2bc5) "
                f"and cable, and install Orbbec's udev rule if this user may not open it."
            )
        device = devices.get_device_by_serial_number(serial) if serial else devices.get_device_by_index(0)
        self._pipeline = ob.Pipeline(device)
        width, height = spec.size if isinstance(spec.size, tuple) else (0, 0)
        pixels = ob.OBFormat.Y8 if spec.dtype == "uint8" else ob.OBFormat.Y16
        profiles = self._pipeline.get_stream_profile_list(self._sensor(device))
        config = ob.Config()
        config.enable_stream(profiles.get_video_stream_profile(width, height, pixels, 0))
        self._pipeline.start(config)

    def _sensor(self, device: Any) -> Any:
        kinds = self._ob.OBSensorType
        if self._spec.kind == "depth":
            return kinds.DEPTH_SENSOR
        sensors = device.get_sensor_list()
        there = [sensors.get_type_by_index(at) for at in range(sensors.get_count())]
        return kinds.LEFT_IR_SENSOR if kinds.LEFT_IR_SENSOR in there else kinds.IR_SENSOR

    def _next(self) -> Captured:
        try:
            picture = self._wait()
        except (RuntimeError, self._ob.OBError) as error:
            raise SourceLostError(self._lost(str(error))) from error
        clock = time.perf_counter()
        unit = unit_of(picture) if self._spec.kind == "depth" else None
        if unit is not None:
            check_unit(unit, self._spec, self._name)
            self._unit_m = unit
        frame = pixels_of(picture, self._spec)
        if frame is None:
            raise SourceLostError(self._lost(f"a frame of {picture.get_data_size()} bytes is incomplete"))
        stamp = picture.get_system_timestamp_us()
        taken = stamp / 1e6 if stamp else time.time()
        lost = self._gaps.add(picture.get_index() & 0xFFFFFFFF)
        return Captured(frame, self._number, taken, self._name, None, time.perf_counter() - clock, lost)

    def _wait(self) -> Any:
        for _ in range(_TIMEOUT_MS // _WAIT_MS):
            frames = self._pipeline.wait_for_frames(_WAIT_MS)
            if frames is None:
                continue
            if self._spec.kind == "depth":
                picture = frames.get_depth_frame()
            else:
                picture = frames.get_left_ir_frame() or frames.get_ir_frame()
            if picture is not None:
                return picture
        raise SourceLostError(self._lost(f"no frame for {_TIMEOUT_MS / 1e3:g} s"))

    def _lost(self, why: str) -> str:
        return (
            f"{self._name}: the camera stopped delivering after {self._number} frames: {why}. Unplugged, reset or "
            f"without power? Check cable and power, and start again."
        )


def unit_of(picture: Any) -> float:
    """Metres a count of a depth frame: the SDK says millimetres."""
    return float(f"{picture.get_depth_scale() / 1e3:.6g}")


def pixels_of(picture: Any, spec: SensorSpec) -> NDArray[Any] | None:
    """(H, W) counts of a frame, copied: its buffer is used again. None: it holds another number of bytes."""
    height, width = picture.get_height(), picture.get_width()
    data = np.frombuffer(picture.get_data(), np.uint8)
    dtype = np.dtype(np.uint8 if spec.dtype == "uint8" else np.uint16)
    if data.size != width * height * dtype.itemsize:
        return None
    return data.view(dtype).reshape(height, width).copy()


def _sdk() -> Any:
    """Orbbec's module. What it says while it is loaded goes to stderr, and it writes no log into the current folder.

    Raises:
        MissingDependency: (exit 6) it is not installed, or cannot be loaded.
    """
    try:
        with _stdout_on_stderr():
            import pyorbbecsdk as ob
    except ImportError as error:
        raise MissingDependency(
            f"orbbec:// needs the Python package 'pyorbbecsdk2', which is not installed here, or cannot be loaded "
            f"({error}). Install it with: pip install --no-deps pyorbbecsdk2 (what it depends on is for its examples, "
            f"and would replace numpy). The package pyorbbecsdk of the same maker holds no library for Linux."
        ) from error
    ob.Context.set_logger_to_file(ob.OBLogLevel.NONE, "")
    ob.Context.set_logger_to_console(ob.OBLogLevel.NONE)
    return ob


@contextlib.contextmanager
def _stdout_on_stderr() -> Iterator[None]:
    """Within, what a C++ library prints goes to stderr: stdout is for records."""
    if "pyorbbecsdk" in sys.modules:
        yield
        return
    try:
        held = os.dup(1)
        os.dup2(2, 1)
    except OSError:  # one of the two is closed
        yield
        return
    try:
        yield
    finally:
        os.dup2(held, 1)
        os.close(held)
