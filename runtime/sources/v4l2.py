"""Cameras behind a V4L2 device: raw Y16, Z16, Y12, Y10 and GREY, through OpenCV."""

from __future__ import annotations

import errno
import fcntl
import os
import struct
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import FrameError, SourceLostError
from tgkt_edge.runtime.sources.base import Captured, FrameSource, opencv
from tgkt_edge.sensor import SensorSpec

_DEPTH16 = ("Z16 ", "Y16 ", "Y12 ", "Y10 ")  # a node with both writes depth as Z16 and infrared as Y16
_NIR16 = ("Y16 ", "Y12 ", "Y10 ")
_NIR8 = ("GREY",)

_ONLY_Z16 = (
    " OpenCV's V4L2 cannot open a node that offers Z16 alone, without any format it can convert to colour."
)

_ENUM_FMT = 0xC0405602  # VIDIOC_ENUM_FMT = _IOWR('V', 2, struct v4l2_fmtdesc), 64 bytes
_FMTDESC = struct.Struct("=III32sI16x")  # index, type, flags, description, pixelformat
_VIDEO_CAPTURE = 1


class V4l2Source(FrameSource):
    """Frames of one V4L2 camera, as uint16 or uint8 counts, neither shifted nor scaled.

    Opening asks for one raw pixel format after the other and takes a frame of each until one comes out as ``spec``
    says: the answer of a driver is not believed, the array is.

    Args:
        device: path, e.g. /dev/video0 or a link below /dev/v4l/by-id.
        spec: dtype, kind and, if it names one, size of the frames to ask for.

    Raises:
        SourceLostError: (exit 5) no such device, no permission, busy, or it delivers no such frames. The message
            names what the camera offers and what was tried.
        MissingDependency: (exit 6) OpenCV is not installed.
    """

    live = True

    def __init__(self, device: str, spec: SensorSpec) -> None:
        self._cv2 = opencv()
        self._device = device
        self._number = 0
        offered = _offered(device)
        wanted = _NIR8 if spec.dtype == "uint8" else _DEPTH16 if spec.kind == "depth" else _NIR16
        self._first: Captured | None
        self.format, self._capture, self._first = self._negotiate(wanted, offered, spec)

    def read(self) -> Captured:
        """The next frame; see :meth:`FrameSource.read`. Waits at most OpenCV's 10 s for it."""
        captured = self._first if self._first is not None else self._grab(self._capture, self.format)
        self._first = None
        if captured is None:
            raise SourceLostError(
                f"{self._device}: the camera stopped delivering after {self._number} frames: unplugged, reset or "
                f"without power? See 'dmesg', check cable and power, and start again."
            )
        self._number += 1
        return captured

    def close(self) -> None:
        """Stop the stream and release the device."""
        self._capture.release()

    def _negotiate(
        self, wanted: tuple[str, ...], offered: dict[str, str], spec: SensorSpec
    ) -> tuple[str, Any, Captured]:
        """The first wanted format that really arrives as ``spec`` says, the open capture and its first frame."""
        found = []
        for fourcc in [name for name in wanted if not offered or name in offered]:
            capture = self._open(fourcc, spec)
            if capture is None:
                found.append(f"{fourcc.strip()}: could not be opened")
                continue
            captured = self._grab(capture, fourcc)
            if captured is None or captured.frame is None:
                found.append(f"{fourcc.strip()}: opened, but no frame came")
            else:
                try:
                    spec.check(captured.frame, self._device)
                except FrameError:
                    found.append(
                        f"{fourcc.strip()}: frames came as {captured.frame.dtype} {captured.frame.shape}"
                    )
                else:
                    return fourcc, capture, captured
            capture.release()
        raise SourceLostError(self._refusal(wanted, offered, found, spec))

    def _open(self, fourcc: str, spec: SensorSpec) -> Any:
        """An opened capture, or None. FOURCC comes first: the other way round OpenCV settles for a colour format."""
        cv2 = self._cv2
        parameters = [cv2.CAP_PROP_FOURCC, cv2.VideoWriter.fourcc(*fourcc), cv2.CAP_PROP_CONVERT_RGB, 0]
        if isinstance(spec.size, tuple):
            width, height = spec.size
            parameters += [cv2.CAP_PROP_FRAME_WIDTH, width, cv2.CAP_PROP_FRAME_HEIGHT, height]
        try:
            capture = cv2.VideoCapture(self._device, cv2.CAP_V4L2, parameters)
        except cv2.error:
            return None
        return capture if capture.isOpened() else None

    def _grab(self, capture: Any, fourcc: str) -> Captured | None:
        """One frame from the camera; None if none came."""
        cv2 = self._cv2
        try:
            if not capture.grab():
                return None
            arrived, clock = time.time(), time.perf_counter()
            found, frame = capture.retrieve()
        except cv2.error:
            return None
        if not found:
            return None
        width = int(capture.get(cv2.CAP_PROP_FRAME_WIDTH))
        height = int(capture.get(cv2.CAP_PROP_FRAME_HEIGHT))
        if fourcc != "GREY":
            frame = unpack16(frame, width, height)
        return Captured(frame, self._number, arrived, self._device, None, time.perf_counter() - clock)

    def _refusal(
        self, wanted: tuple[str, ...], offered: dict[str, str], found: list[str], spec: SensorSpec
    ) -> str:
        names = ", ".join(name.strip() for name in wanted)
        size = f" at {spec.size[0]}x{spec.size[1]}" if isinstance(spec.size, tuple) else ""
        have = ", ".join(f"{name.strip()} ({text})" for name, text in offered.items()) or "it did not say"
        tried = "; ".join(found) if found else "none of these is offered"
        return (
            f"{self._device}: no {spec.dtype} {spec.kind} frames{size}. Wanted pixel format {names}: {tried}. "
            f"The camera offers: {have}. Try another node of the same camera (depth, infrared and colour are often "
            f"separate; 'v4l2-ctl --list-devices', 'v4l2-ctl -d {self._device} --list-formats-ext'), close other "
            f"programs that use it, or choose the SensorSpec of what it does deliver with --sensor."
            f"{_ONLY_Z16 if list(offered) == ['Z16 '] else ''}"
        )


def unpack16(frame: NDArray[Any], width: int, height: int) -> NDArray[Any]:
    """Undo OpenCV's packaging of formats it does not know, such as Z16: (1, 2WH) uint8 to (H, W) uint16.

    V4L2's 16-bit formats are little-endian on every machine. Any other array is returned as it is.
    """
    if frame.dtype == np.uint8 and frame.size == 2 * width * height and min(frame.shape[:2]) == 1:
        return np.ascontiguousarray(frame).reshape(-1).view("<u2").reshape(height, width)
    return frame


def _offered(device: str) -> dict[str, str]:
    """Pixel formats that the camera lists: FOURCC to description. Empty if it answers that question with nothing.

    Raises:
        SourceLostError: (exit 5) the device cannot be opened at all.
    """
    try:
        handle = os.open(device, os.O_RDWR | os.O_NONBLOCK)
    except OSError as error:
        raise SourceLostError(
            f"{device}: cannot be opened: {error.strerror}. {_advice(error.errno)}"
        ) from error
    formats: dict[str, str] = {}
    try:
        for index in range(64):
            request = bytearray(_FMTDESC.pack(index, _VIDEO_CAPTURE, 0, b"", 0))
            fcntl.ioctl(handle, _ENUM_FMT, request)
            _, _, _, text, pixels = _FMTDESC.unpack(request)
            name = struct.pack("<I", pixels).decode("ascii", "replace")
            formats[name] = text.partition(b"\0")[0].decode("ascii", "replace")
    except OSError:
        pass  # EINVAL ends the list; a node that refuses the question is asked by opening it
    finally:
        os.close(handle)
    return formats


def _advice(code: int | None) -> str:
    if code in (errno.EACCES, errno.EPERM):
        return "Add this user to the group that owns it, usually: sudo usermod -aG video $USER, then log in again."
    if code == errno.EBUSY:
        return "Another program uses it; close that one."
    try:
        nodes = sorted(name for name in os.listdir("/dev") if name.startswith("video"))
    except OSError:
        nodes = []
    have = ", ".join(f"/dev/{name}" for name in nodes) or "none"
    return f"Is the camera plugged in? Video devices here: {have}."
