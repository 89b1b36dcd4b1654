"""``openni2://0``: depth and infrared of PrimeSense-like cameras, through OpenNI2's own library."""

from __future__ import annotations

import ctypes
import threading
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import SourceLostError, UsageError
from tgkt_edge.runtime.sources import openni2_abi as abi
from tgkt_edge.runtime.sources.base import (
    CameraSource,
    Captured,
    SequenceGaps,
    StreamFormat,
    check_first,
    check_unit,
)
from tgkt_edge.runtime.sources.stream_format import check_pinned
from tgkt_edge.sensor import SensorSpec

_TIMEOUT_MS = 10_000
_DRIVER_STOPS_S = 0.25
"""Drivers may return from stopping a stream while their thread still makes a frame of it: so long it is not freed."""

_UNITS = {abi.DEPTH_1_MM: 0.001, abi.DEPTH_100_UM: 0.0001}
_NAMES = {abi.DEPTH_1_MM: "1 mm", abi.DEPTH_100_UM: "100 um", abi.GRAY8: "GRAY8", abi.GRAY16: "GRAY16"}

_lock = threading.Lock()
# Started once a process and never stopped: oniShutdown unloads drivers whose threads may still run, and crashes.
_begun = False


class OpenNi2Source(CameraSource):
    """Frames of one OpenNI2 stream: depth as uint16 counts of 1 mm or 0.1 mm (0 = none), infrared as uint16 or uint8.

    A frame is timed by its arrival: OpenNI's own clock starts anywhere.

    Args:
        device: a number in the order the library lists its devices, or a device's URI; ``?register=1``: the camera
            brings depth into the view of its color camera (OpenNI's registration mode).
        spec: what frames must be; a video mode of its dtype, kind, unit and size is set.
        pinned: the format of an earlier opening: its mode is set, and another one refused.

    Raises:
        SourceLostError: (exit 5) no such device, or it has no such stream, or cannot register. The message lists what
            there is.
        UsageError: (exit 2) ``register`` is another number, or of frames other than depth.
        MissingDependency: (exit 6) OpenNI2's library is not installed.
    """

    def __init__(self, device: str, spec: SensorSpec, pinned: StreamFormat | None = None) -> None:
        self._name = f"openni2://{device}"
        device, self._registered = _split_register(device)
        if self._registered and spec.kind != "depth":
            raise UsageError(
                f"`camera={self._name}`: only depth is registered to color, and the SensorSpec says {spec.kind}. Leave "
                f"'?register=1' out."
            )
        self._device, self._stream = ctypes.c_void_p(), ctypes.c_void_p()
        self._format: tuple[int, ...] = ()
        self._gaps = SequenceGaps()
        self._library = abi.load()
        try:
            self._begin()
            self._open(device)
            self._start(spec, pinned)
            self._first = self._next()
            if self._first.frame is not None:
                check_first(self._first.frame, spec, self._name, "Describe what does arrive with `sensor`.")
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Stop the stream and release the device, also after it was unplugged."""
        library = self._library
        if self._stream.value:
            library.oniStreamStop(self._stream)
            time.sleep(_DRIVER_STOPS_S)
            library.oniStreamDestroy(self._stream)
            self._stream = ctypes.c_void_p()
        if self._device.value:
            library.oniDeviceClose(self._device)
            self._device = ctypes.c_void_p()

    def _begin(self) -> None:
        global _begun
        with _lock:
            if not _begun and self._library.oniInitialize(abi.API_VERSION):
                raise SourceLostError(f"{self._name}: OpenNI2 does not start: {self._reason()}")
            _begun = True

    def _open(self, device: str) -> None:
        listed = self._listed()
        uri = device
        if device.isdecimal():
            if int(device) >= len(listed):
                have = ", ".join(f"{i}: {uri}" for i, uri in enumerate(listed)) or "none"
                raise SourceLostError(
                    f"{self._name}: no such device. OpenNI2 lists: {have}. Is the camera plugged in, and may this user "
                    f"open it (its udev rule, group plugdev or video)?"
                )
            uri = listed[int(device)]
        if self._library.oniDeviceOpen(uri.encode(), ctypes.byref(self._device)):
            raise SourceLostError(
                f"{self._name}: cannot be opened: {self._reason()}. Is it in use by another program, or does "
                f"this user lack permission (its udev rule, group plugdev or video)?"
            )

    def _listed(self) -> list[str]:
        devices, count = ctypes.POINTER(abi.DeviceInfo)(), ctypes.c_int()
        if self._library.oniGetDeviceList(ctypes.byref(devices), ctypes.byref(count)):
            return []
        found = [devices[i].uri.decode("utf-8", "replace") for i in range(count.value)]
        self._library.oniReleaseDeviceList(devices)
        return found

    def _start(self, spec: SensorSpec, pinned: StreamFormat | None) -> None:
        """Set the video mode that fits ``spec`` and start its stream. Raises SourceLostError."""
        library = self._library
        sensor = abi.SENSOR_DEPTH if spec.kind == "depth" else abi.SENSOR_IR
        formats = (
            (abi.DEPTH_1_MM, abi.DEPTH_100_UM)
            if spec.kind == "depth"
            else (abi.GRAY8,)
            if spec.dtype == "uint8"
            else (abi.GRAY16,)
        )
        info = library.oniDeviceGetSensorInfo(self._device, sensor)
        modes = [info.contents.modes[i] for i in range(info.contents.count)] if info else []
        fitting = [mode for mode in modes if mode.format in formats]
        if spec.kind == "depth" and spec.dtype == "uint16" and fitting:
            units = {mode.format for mode in fitting}
            for unit in sorted(units):
                if spec.unit_m is not None and abs(_UNITS[unit] / spec.unit_m - 1) < 1e-3:
                    fitting = [mode for mode in fitting if mode.format == unit]
                    break
            else:
                check_unit(_UNITS[min(units)], spec, self._name)
        if isinstance(spec.size, tuple):
            fitting = [mode for mode in fitting if (mode.width, mode.height) == spec.size]
        if not fitting or (spec.kind == "depth" and spec.dtype != "uint16"):
            have = ", ".join(
                f"{_NAMES.get(m.format, m.format)} {m.width}x{m.height} at {m.fps}/s" for m in modes
            )
            size = f" of {spec.size[0]}x{spec.size[1]}" if isinstance(spec.size, tuple) else ""
            raise SourceLostError(
                f"{self._name}: no {spec.dtype} {spec.kind} stream{size}. It offers of that kind: {have or 'nothing'}. "
                f"Describe what it does deliver with `sensor`."
            )
        if library.oniDeviceCreateStream(self._device, sensor, ctypes.byref(self._stream)):
            raise SourceLostError(f"{self._name}: its stream cannot be opened: {self._reason()}")
        mode = next((one for one in fitting if pinned in (None, _format_of(one))), fitting[0])
        self.format = _format_of(mode)
        check_pinned(pinned, self.format, self._name)
        # A driver with one mode may refuse to have it set; what arrives is checked, not what was asked for.
        library.oniStreamSetProperty(
            self._stream, abi.STREAM_VIDEO_MODE, ctypes.byref(mode), ctypes.sizeof(mode)
        )
        self._format = (mode.format, mode.height, mode.width)
        if self._registered:
            self._register()
        if library.oniStreamStart(self._stream):
            raise SourceLostError(f"{self._name}: the stream does not start: {self._reason()}")

    def _register(self) -> None:
        """Ask for depth in the color camera's view, which drivers take once a stream of depth is there."""
        how = ctypes.c_int(abi.DEPTH_TO_COLOR)
        library, setting = self._library, abi.DEVICE_IMAGE_REGISTRATION
        if not library.oniDeviceIsImageRegistrationModeSupported(self._device, how):
            why = "it does not offer that"
        elif library.oniDeviceSetProperty(self._device, setting, ctypes.byref(how), ctypes.sizeof(how)):
            why = self._reason()
        else:
            return
        raise SourceLostError(
            f"{self._name}: the camera cannot register depth to color: {why}. Leave '?register=1' out; "
            f"'tgkt-edge data import --align' and 'tgkt-edge record --align' warp color by the cameras' calibration "
            f"instead."
        )

    def _next(self) -> Captured:
        """The next frame. Raises SourceLostError."""
        library, index = self._library, ctypes.c_int()
        frame = ctypes.POINTER(abi.Frame)()
        status = library.oniWaitForAnyStream(ctypes.byref(self._stream), 1, ctypes.byref(index), _TIMEOUT_MS)
        arrived, clock = time.time(), time.perf_counter()
        if status or library.oniStreamReadFrame(self._stream, ctypes.byref(frame)):
            silent = status == abi.STATUS_TIMEOUT
            why = f"no frame for {_TIMEOUT_MS / 1e3:g} s" if silent else self._reason()
            raise SourceLostError(
                f"{self._name}: the camera stopped delivering after {self._number} frames: {why}. Unplugged, reset or "
                f"without power? See 'dmesg', check cable and power, and start again."
            )
        try:
            pixels = _pixels(frame.contents)
            found = (frame.contents.mode.format, *pixels.shape)
            lost = self._gaps.add(frame.contents.index & 0xFFFFFFFF)
        finally:
            library.oniFrameRelease(frame)
        if found != self._format:
            expected, came = (
                f"{_NAMES.get(form, form)} {width}x{height}" for form, height, width in (self._format, found)
            )
            raise SourceLostError(
                f"{self._name}: {expected} was set, but {came} arrives. Keep the camera in one mode; does another "
                f"program set it?"
            )
        seconds = time.perf_counter() - clock
        return Captured(pixels, self._number, arrived, self._name, None, seconds, lost)

    def _reason(self) -> str:
        text = self._library.oniGetExtendedError() or b""
        return " ".join(text.decode("utf-8", "replace").split()) or "it gives no reason"


def _split_register(device: str) -> tuple[str, bool]:
    """``0?register=1``: the device, and whether depth is brought into the color camera's view."""
    name, mark, value = device.partition("?register=")
    if mark and value not in ("0", "1"):
        raise UsageError(f"`camera=openni2://{device}`: expected ?register=1 or ?register=0")
    return name or "0", value == "1"


def _format_of(mode: abi.VideoMode) -> StreamFormat:
    name = _NAMES.get(mode.format, f"pixel format {mode.format}")
    return StreamFormat(name, mode.width, mode.height, _UNITS.get(mode.format))


def _pixels(frame: abi.Frame) -> NDArray[Any]:
    """A copy of the library's buffer: (H, W) uint8 or uint16."""
    width = frame.width * (1 if frame.mode.format == abi.GRAY8 else 2)
    stride = max(frame.stride, width)
    raw = np.frombuffer(ctypes.string_at(frame.data, frame.bytes), np.uint8)
    rows = raw[: stride * frame.height].reshape(frame.height, stride)[:, :width]
    return np.ascontiguousarray(rows).view(np.uint8 if frame.mode.format == abi.GRAY8 else np.uint16)
