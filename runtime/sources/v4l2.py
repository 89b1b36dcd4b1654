"""Cameras behind a V4L2 device: raw Z16, Y16, Y14, Y12, Y10 and GREY; colour for paired recordings."""

from __future__ import annotations

import errno
import glob
import os
import time
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import FrameError, SourceLostError
from tgkt_edge.runtime.sources.base import Captured, FrameSource, opencv
from tgkt_edge.runtime.sources.v4l2_device import FormatChanged, Layout, RawImage, V4l2Device
from tgkt_edge.sensor import SensorSpec

_DEPTH16 = ("Z16 ", "Y16 ", "Y14 ", "Y12 ", "Y10 ", "Y16 >")  # a node with both: depth is Z16, infrared Y16
_NIR16 = ("Y16 ", "Y14 ", "Y12 ", "Y10 ", "Y16 >")
_NIR8 = ("GREY",)
_COLOUR = ("YUYV", "UYVY", "MJPG")

_TIMEOUT = 10.0  # seconds without a frame before the camera counts as lost
_FIRST_TRIES = 10  # cameras often begin with damaged frames


class V4l2Source(FrameSource):
    """Frames of one V4L2 camera, as uint16 or uint8 counts, neither shifted nor scaled.

    Opening asks for one raw pixel format after the other and takes a frame of each until one comes out as ``spec``
    says. ``Captured.time`` is the driver's timestamp where it keeps the monotonic clock, else the time of arrival.

    Args:
        device: path, e.g. /dev/video0 or a link below /dev/v4l/by-id.
        spec: dtype, kind and, if it names one, size of the frames to ask for. None: (H, W, 3) uint8 BGR.
        timeout: seconds to wait for a frame.

    Raises:
        SourceLostError: (exit 5) no such device, no permission, busy, or it delivers no such frames. The message
            names what the camera offers and what was tried.
        MissingDependency: (exit 6) colour needs OpenCV.
    """

    live = True

    def __init__(self, device: str, spec: SensorSpec | None, timeout: float = _TIMEOUT) -> None:
        self._device, self._spec, self._timeout = device, spec, timeout
        self._number = 0
        self._cv2 = opencv() if spec is None else None
        try:
            self._camera = V4l2Device(device)
        except OSError as error:
            raise SourceLostError(
                f"{device}: cannot be opened: {_reason(error)}. {_advice(error.errno, device)}"
            ) from error
        try:
            self._layout, self._first = self._negotiate()
        except BaseException:
            self._camera.close()
            raise

    @property
    def format(self) -> str:
        """FOURCC that the camera delivers."""
        return self._layout.fourcc

    def read(self) -> Captured:
        """The next frame; see :meth:`FrameSource.read`."""
        captured, self._first = self._first, None
        if captured is None:
            captured = self._next()
        self._number += 1
        return captured

    def close(self) -> None:
        """Stop the stream and release the device, also after it was unplugged."""
        self._camera.close()

    def _next(self) -> Captured:
        """One frame from the camera. Raises SourceLostError."""
        try:
            image = self._camera.read(self._timeout)
            if image is None:
                raise SourceLostError(
                    f"{self._device}: no frame for {self._timeout:g} s: the camera is still there but silent. "
                    f"Triggered from outside, starved of USB bandwidth or hung? See 'dmesg', or plug it in again."
                )
            return self._captured(image)
        except FormatChanged:
            raise SourceLostError(self._changed()) from None
        except OSError as error:
            raise SourceLostError(
                f"{self._device}: the camera stopped delivering after {self._number} frames: {_reason(error)}. "
                f"Unplugged, reset or without power? See 'dmesg', check cable and power, and start again."
            ) from error

    def _captured(self, image: RawImage) -> Captured:
        clock = time.perf_counter()
        frame, trouble = None, None
        if image.damaged:
            trouble = f"{self._device}: the driver marks frame {image.sequence} as damaged"
        else:
            frame = self._decode(image.data)
        if frame is None and trouble is None:
            if self._camera.layout() != self._layout:
                raise FormatChanged
            trouble = (
                f"{self._device}: frame {image.sequence} is incomplete: {len(image.data)} bytes instead of "
                f"{self._layout.bytes}. USB bandwidth? Try a port of its own or a smaller size."
            )
        return Captured(frame, self._number, image.time, self._device, trouble, time.perf_counter() - clock)

    def _decode(self, data: NDArray[np.uint8]) -> NDArray[Any] | None:
        """Bytes as the driver wrote them to a frame; None if there are too few of them."""
        layout = self._layout
        if layout.fourcc == "MJPG":
            return self._cv2.imdecode(data, self._cv2.IMREAD_COLOR) if len(data) else None  # type: ignore[union-attr]
        frame = raw_pixels(data, layout)
        if frame is None or self._cv2 is None:
            return frame
        code = {"YUYV": self._cv2.COLOR_YUV2BGR_YUY2, "UYVY": self._cv2.COLOR_YUV2BGR_UYVY}[layout.fourcc]
        colour: NDArray[Any] = self._cv2.cvtColor(frame.view(np.uint8).reshape(*frame.shape, 2), code)
        return colour

    def _negotiate(self) -> tuple[Layout, Captured | None]:
        """The first expected format that really arrives as expected, and its first whole frame."""
        spec = self._spec
        expected = (
            _COLOUR
            if spec is None
            else _NIR8
            if spec.dtype == "uint8"
            else _DEPTH16
            if spec.kind == "depth"
            else _NIR16
        )
        size = spec.size if spec is not None and isinstance(spec.size, tuple) else None
        offered = self._camera.formats()
        found = _Findings(self._device, expected, offered, spec)
        for name in [one for one in expected if not offered or one in offered]:
            try:
                self._layout = self._camera.set_format(name, size)
                if self._layout.fourcc != name:
                    found.add(name, f"the driver sets {self._layout.fourcc.strip()} instead")
                elif size is not None and (self._layout.width, self._layout.height) != size:
                    found.add(name, f"frames come as {self._layout.width}x{self._layout.height}")
                else:
                    self._camera.start()
                    captured = self._first_whole()
                    if captured is None or captured.frame is None:
                        found.add(name, "started, but no whole frame came")
                    elif spec is None:
                        return self._layout, captured
                    else:
                        spec.check(captured.frame, self._device)
                        return self._layout, captured
            except FrameError as error:
                found.add(name, str(error))
            except FormatChanged:
                raise SourceLostError(self._changed()) from None
            except OSError as error:
                if error.errno in (errno.EBUSY, errno.ENODEV):
                    raise SourceLostError(
                        f"{self._device}: {_reason(error)}. {_advice(error.errno, self._device)}"
                    ) from error
                found.add(name, _reason(error))
            self._camera.stop()
        raise SourceLostError(found.text())

    def _first_whole(self) -> Captured | None:
        for _ in range(_FIRST_TRIES):
            image = self._camera.read(self._timeout)
            if image is None:
                return None
            captured = self._captured(image)
            if captured.frame is not None:
                return captured
        return None

    def _changed(self) -> str:
        before = self._layout
        try:
            after = self._camera.layout()
            now = f"{after.fourcc.strip()} {after.width}x{after.height}"
        except OSError:
            now = "something it does not name"
        return (
            f"{self._device}: the stream changed its format midway, from {before.fourcc.strip()} "
            f"{before.width}x{before.height} to {now}. Keep the camera in one mode; does another program set it?"
        )


@dataclass
class _Findings:
    """What was tried on one device, for the message that refuses it."""

    device: str
    expected: tuple[str, ...]
    offered: dict[str, str]
    spec: SensorSpec | None

    def __post_init__(self) -> None:
        self._tried: list[str] = []

    def add(self, name: str, what: str) -> None:
        self._tried.append(f"{name.strip()}: {what}")

    def text(self) -> str:
        spec = self.spec
        kind = "colour" if spec is None else f"{spec.dtype} {spec.kind}"
        size = f" at {spec.size[0]}x{spec.size[1]}" if spec and isinstance(spec.size, tuple) else ""
        names = ", ".join(name.strip() for name in self.expected if not name.endswith(">"))
        have = ", ".join(f"{name.strip()} ({text})" for name, text in self.offered.items())
        return (
            f"{self.device}: no {kind} frames{size}. Expected pixel format {names}: "
            f"{'; '.join(self._tried) or 'none of these is offered'}. "
            f"The camera offers: {have or 'it did not say'}. Try another node of the same camera (depth, infrared and "
            f"colour are often separate; 'v4l2-ctl --list-devices', 'v4l2-ctl -d {self.device} --list-formats-ext')"
            + (", or choose the SensorSpec of what it does deliver with --sensor." if spec else ".")
        )


def raw_pixels(data: NDArray[np.uint8], layout: Layout) -> NDArray[Any] | None:
    """(n,) bytes to (H, W) uint8 or uint16 counts without the padding of rows; None if there are too few bytes.

    V4L2's 16-bit formats are little-endian on every machine, except for those named with '>'.
    """
    width = layout.width * (1 if layout.fourcc == "GREY" else 2)
    stride = max(layout.stride, width)
    needed = stride * (layout.height - 1) + width
    if len(data) < needed:
        return None
    rows = np.lib.stride_tricks.as_strided(data, (layout.height, width), (stride, 1), writeable=False)
    if layout.fourcc == "GREY":
        return np.ascontiguousarray(rows)
    counts = np.ascontiguousarray(rows).view(">u2" if layout.fourcc.endswith(">") else "<u2")
    return counts.astype(np.uint16, copy=False)


def _reason(error: OSError) -> str:
    special = {
        errno.ENODEV: "No such device (unplugged)",
        errno.ENOTTY: "not a V4L2 device",
        errno.ENOTSUP: "not a capture node (cameras have others for their metadata)",
    }
    return special.get(error.errno or 0, error.strerror or str(error))


def _advice(code: int | None, device: str) -> str:
    if code in (errno.EACCES, errno.EPERM):
        return (
            f"Add this user to the group that owns it: sudo usermod -aG {_group(device)} $USER, then log in "
            f"again (in a container: --device {device} --group-add {_group(device)})."
        )
    if code == errno.EBUSY:
        users = _users(device)
        return f"Another program uses the camera{': ' + users if users else ''}. Close that one."
    nodes = sorted(glob.glob("/dev/video*"))
    return f"Is the camera plugged in? Video devices here: {', '.join(nodes) or 'none'}."


def _group(device: str) -> str:
    import grp

    try:
        name = grp.getgrgid(os.stat(device).st_gid).gr_name
    except (OSError, KeyError):
        return "video"
    return "video" if name == "root" else name


def _users(device: str) -> str:
    """Names and ids of the processes that hold ``device`` open, as far as this user may see them."""
    found = []
    for link in glob.glob("/proc/[0-9]*/fd/*"):
        try:
            if os.path.realpath(link) != os.path.realpath(device):
                continue
            process = link.split("/")[2]
            if process == str(os.getpid()):
                continue
            with open(f"/proc/{process}/comm", encoding="utf-8", errors="replace") as file:
                found.append(f"{file.read().strip()} (process {process})")
        except OSError:
            continue
    return ", ".join(sorted(set(found)))
