"""librealsense's streams: of a camera, of a recording, and depth with color of either."""

from __future__ import annotations

import time
from abc import ABC, abstractmethod
from typing import Any

import numpy as np

from tgkt_edge.alignment.rig import Rig
from tgkt_edge.errors import ConfigError
from tgkt_edge.sensor import Extrinsics, Intrinsics, SensorSpec

TIMEOUT_MS = 10_000
"""How long a frame is waited for."""

_END_MS = 250  # between two looks whether a file is over
_STOP = 1.0  # seconds for a file to end
_ROOM = 4096  # frames a file's queue may hold; never reached, as the file is paused long before
_ENOUGH = 16  # waiting frames at which a file is paused; librealsense delivers about a hundred more


class Stream(ABC):
    """What delivers librealsense's frames. Raises RuntimeError, as librealsense does.

    Attributes:
        device: librealsense's.
        color: the color picture that came with the frame last taken; None: there is none.
    """

    device: Any
    color: Any = None

    @abstractmethod
    def next(self) -> Any:
        """The next frame of the sensor; None at the end of a file, or after :data:`TIMEOUT_MS` without one."""

    @abstractmethod
    def stop(self) -> None:
        """Release the camera, or close the file."""


class Camera(Stream):
    """A connected camera, through librealsense's pipeline. Raises RuntimeError, as librealsense does."""

    def __init__(self, rs: Any, serial: str, spec: SensorSpec) -> None:
        config = rs.config()
        _enable_camera(rs, config, serial)
        stream, pixels, width, height = requested(rs, spec)
        config.enable_stream(stream, 1 if stream == rs.stream.infrared else -1, width, height, pixels, 0)
        self._pipeline = rs.pipeline()
        self.device = self._pipeline.start(config).get_device()
        self._depth = stream == rs.stream.depth

    def next(self) -> Any:
        """The next frame, or None after 10 s without one."""
        there, frames = self._pipeline.try_wait_for_frames(TIMEOUT_MS)
        if not there:
            return None
        return (frames.get_depth_frame() if self._depth else frames.get_infrared_frame()) or None

    def stop(self) -> None:
        """Release the camera."""
        self._pipeline.stop()


class File(Stream):
    """A recording, read sensor by sensor: the pipeline drops frames of a file until it is told not to.

    Raises RuntimeError, as librealsense does.
    """

    def __init__(self, rs: Any, path: str, spec: SensorSpec) -> None:
        self._stopped = rs.playback_status.stopped
        self.device = rs.context().load_device(path)
        self.device.set_real_time(False)  # no frame is dropped
        stream, pixels, width, height = requested(rs, spec)
        held = [
            (sensor, profile.as_video_stream_profile())
            for sensor in self.device.query_sensors()
            for profile in sensor.get_stream_profiles()
            if profile.is_video_stream_profile()
        ]
        for self._sensor, profile in held:
            fits = (profile.stream_type(), profile.format()) == (stream, pixels)
            if fits and width in (0, profile.width()) and height in (0, profile.height()):
                break
        else:
            have = ", ".join(
                f"{p.stream_type().name} {p.format().name} {p.width()}x{p.height()}" for _, p in held
            )
            raise RuntimeError(f"it holds {have or 'no video'}")
        # librealsense waits for room in a full queue, and while it does every call to the file hangs, also the one that
        # starts or ends it. So the queue never fills: the file is paused instead.
        self._queue = rs.frame_queue(_ROOM, keep_frames=True)
        self._sensor.open(profile)
        self.device.pause()
        self._sensor.start(self._queue)
        self.device.resume()
        self._paused = False

    def next(self) -> Any:
        """The next frame; None at the end."""
        for _ in range(TIMEOUT_MS // _END_MS):
            waiting = self._queue.size()
            if self._paused and not waiting:
                self.device.resume()
                self._paused = False
            elif not self._paused and waiting >= _ENOUGH:
                self.device.pause()
                self._paused = True
            over = self.device.current_status() == self._stopped
            there, frame = self._queue.try_wait_for_frame(_END_MS)
            if there:
                return frame
            if over:
                return None
        raise RuntimeError(f"no frame for {TIMEOUT_MS / 1e3:g} s, and no end")

    def stop(self) -> None:
        """Close the file."""
        self._sensor.stop()
        self._sensor.close()
        # librealsense ends the file in a thread of its own, which crashes the process if the device is gone by then.
        end = time.monotonic() + _STOP
        while self.device.current_status() != self._stopped and time.monotonic() < end:
            time.sleep(0.005)
        time.sleep(0.02)  # what that thread does after it has said so


class CameraWithColor(Stream):
    """Depth or infrared, and color, of one camera, as librealsense's pipeline puts them together."""

    def __init__(self, rs: Any, serial: str, spec: SensorSpec) -> None:
        config = rs.config()
        _enable_camera(rs, config, serial)
        stream, pixels, width, height = requested(rs, spec)
        config.enable_stream(stream, 1 if stream == rs.stream.infrared else -1, width, height, pixels, 0)
        config.enable_stream(rs.stream.color, -1, 0, 0, rs.format.bgr8, 0)
        self._depth = stream == rs.stream.depth
        self._pipeline = rs.pipeline()
        self.device = self._pipeline.start(config).get_device()

    def next(self) -> Any:
        """See :meth:`Stream.next`."""
        end = time.monotonic() + TIMEOUT_MS / 1e3
        while time.monotonic() < end:
            there, frames = self._pipeline.try_wait_for_frames(_END_MS)
            if there:
                picture = frames.get_depth_frame() if self._depth else frames.get_infrared_frame()
                self.color = frames.get_color_frame() or None
                if picture:
                    return picture
        return None

    def stop(self) -> None:
        """See :meth:`Stream.stop`."""
        self._pipeline.stop()


def _enable_camera(rs: Any, config: Any, serial: str) -> None:
    if serial:
        if not any(serial in camera for camera in cameras(rs)):
            raise RuntimeError("no camera of that serial number is connected")  # librealsense waits 15 s
        config.enable_device(serial)


def rig_of(picture: Any, color: Any) -> Rig:
    """What the device knows of the cameras that took ``picture`` and ``color`` (None: no color)."""
    profile = picture.get_profile()
    depth = _intrinsics(profile)
    size = _size(profile)
    if color is None:
        return Rig(depth, depth_size=size, origin="The device was not asked for color")
    other = color.get_profile()
    origin = "The device does not know them"
    try:
        known = profile.get_extrinsics_to(other)
        # librealsense writes matrices column by column.
        pose = Extrinsics.of(np.array(known.rotation).reshape(3, 3).T, known.translation)
    except (RuntimeError, ConfigError) as error:
        pose, origin = None, f"The device does not know them ({error})"
    return Rig(depth, _intrinsics(other), pose, size, _size(other), origin)


def _size(profile: Any) -> tuple[int, int]:
    video = profile.as_video_stream_profile()
    return int(video.width()), int(video.height())


def _intrinsics(profile: Any) -> Intrinsics | None:
    try:
        known = profile.as_video_stream_profile().get_intrinsics()
        bent = [float(value) for value in known.coeffs]
        more = (tuple(bent), known.model.name) if any(bent) else ((), None)
        return Intrinsics(float(known.fx), float(known.fy), float(known.ppx), float(known.ppy), *more)
    except (RuntimeError, ConfigError):  # a camera that was never calibrated
        return None


def requested(rs: Any, spec: SensorSpec) -> tuple[Any, Any, int, int]:
    """Stream, pixel format, width and height (0: librealsense chooses) for ``spec``."""
    width, height = spec.size if isinstance(spec.size, tuple) else (0, 0)
    if spec.kind == "depth":
        return rs.stream.depth, rs.format.z16, width, height
    return rs.stream.infrared, rs.format.y8 if spec.dtype == "uint8" else rs.format.y16, width, height


def cameras(rs: Any) -> list[str]:
    """Names and serial numbers of the cameras that are connected."""
    info = rs.camera_info
    try:
        return [
            f"{d.get_info(info.name)} ({d.get_info(info.serial_number)})"
            for d in rs.context().query_devices()
        ]
    except RuntimeError:
        return []
