"""Cameras behind a V4L2 device: raw Z16, Y16, Y14, Y12, Y10 and GREY; colour for paired recordings."""

from __future__ import annotations

import errno
import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import DataError, SourceLostError
from tgkt_edge.io.images import decode_jpeg_frame
from tgkt_edge.runtime.sources.base import (
    CameraSource,
    Captured,
    SequenceGaps,
    StreamFormat,
    check_first,
    opencv,
)
from tgkt_edge.runtime.sources.stream_format import check_pinned
from tgkt_edge.runtime.sources.v4l2_device import FormatChanged, Layout, RawImage, V4l2Device
from tgkt_edge.runtime.sources.v4l2_formats import Refusals, candidates, pixel_name, raw_pixels
from tgkt_edge.sensor import SensorSpec
from tgkt_edge.sensor.telemetry import telemetry_rows
from tgkt_edge.system.device_access import open_advice

_TIMEOUT = 10.0  # seconds without a frame before the camera counts as lost
_FIRST_TRIES = 10  # cameras often begin with damaged frames
_TRIES = 5  # attempts to start a camera in the format that it accepted
_PAUSE = 0.2  # seconds between two of them


class V4l2Source(CameraSource):
    """Frames of one V4L2 camera, as uint16 or uint8 counts, neither shifted nor scaled.

    Opening asks for one raw pixel format after the other until the driver accepts one, in the size of ``spec``. From
    then on it is this format or none: errors, damaged frames and silence are no reason for another one, whose counts
    would mean something else. ``Captured.time`` is the driver's timestamp where it keeps the monotonic clock, else the
    time of arrival.

    Args:
        device: path, e.g. /dev/video0 or a link below /dev/v4l/by-id.
        spec: dtype, kind and, if it names them, size and pixel format of the frames to ask for. None: (H, W, 3) uint8
            BGR.
        timeout: seconds to wait for a frame.
        pinned: the format of an earlier opening: nothing else is asked for or accepted.

    Raises:
        SourceLostError: (exit 5) no such device, no permission, busy, or it delivers no such frames. The message
            names what the camera offers and what was tried.
        MissingDependency: (exit 6) colour needs OpenCV.
    """

    def __init__(
        self,
        device: str,
        spec: SensorSpec | None,
        timeout: float = _TIMEOUT,
        pinned: StreamFormat | None = None,
    ) -> None:
        self._device, self._spec, self._timeout, self._pinned = device, spec, timeout, pinned
        self._layout = Layout("", 0, 0, 0, 0)
        self._gaps = SequenceGaps()
        self._cv2 = opencv() if spec is None else None
        try:
            self._camera = V4l2Device(device)
        except OSError as error:
            raise SourceLostError(
                f"{device}: cannot be opened: {_reason(error)}. {open_advice(error.errno, device)}"
            ) from error
        try:
            self._first = self._negotiate()
            layout, signal = self._layout, self._camera.signal.agreed
            self.format = StreamFormat(pixel_name(layout.fourcc), layout.width, layout.height, signal=signal)
            check_pinned(pinned, self.format, device)
        except BaseException:
            self._camera.close()
            raise

    def close(self) -> None:
        """Stop the stream and release the device, also after it was unplugged."""
        self._camera.close()

    def _next(self) -> Captured:
        """One frame from the camera. Raises SourceLostError."""
        try:
            return self._wait()
        except FormatChanged as changed:
            raise SourceLostError(f"{self._device}: {self._changed(changed)}") from None
        except OSError as error:
            raise SourceLostError(
                f"{self._device}: the camera stopped delivering after {self._number} frames: {_reason(error)}. "
                f"Unplugged, reset or without power? See 'dmesg', check cable and power, and start again."
            ) from error

    def _wait(self) -> Captured:
        """One frame. Raises SourceLostError after a silence, FormatChanged, and OSError as the driver says."""
        image = self._camera.read(self._timeout)
        if image is not None:
            return self._captured(image)
        self._camera.signal.look(at_once=True)
        why = self._camera.signal.trouble
        what = f"no frame for {self._timeout:g} s: the camera is still there but silent."
        if why is not None:
            raise SourceLostError(f"{self._device}: {what} {why}: switch on or plug in what feeds it.")
        raise SourceLostError(
            f"{self._device}: {what} Triggered from outside, starved of USB bandwidth or hung? See 'dmesg', or plug it "
            f"in again."
        )

    def _captured(self, image: RawImage) -> Captured:
        clock = time.perf_counter()
        frame, trouble = None, None
        lost = self._gaps.add(image.sequence)
        if image.trouble is not None:
            trouble = f"{self._device}: {image.trouble}: frame {image.sequence} is no picture"
        elif image.damaged:
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
        seconds = time.perf_counter() - clock
        return Captured(frame, self._number, image.time, self._device, trouble, seconds, lost)

    def _decode(self, data: NDArray[np.uint8]) -> NDArray[Any] | None:
        """Bytes as the driver wrote them to a frame; None if there are too few of them, or a JPEG is damaged."""
        layout = self._layout
        if layout.fourcc == "MJPG":
            try:
                picture = decode_jpeg_frame(data.tobytes())
            except DataError:  # half of it, which a decoder would complete with grey
                return None
            return picture if picture.ndim == 3 else np.repeat(picture[..., np.newaxis], 3, axis=2)
        frame = raw_pixels(data, layout)
        if frame is None or self._cv2 is None:
            return frame
        code = {"YUYV": self._cv2.COLOR_YUV2BGR_YUY2, "UYVY": self._cv2.COLOR_YUV2BGR_UYVY}[layout.fourcc]
        colour: NDArray[Any] = self._cv2.cvtColor(frame.view(np.uint8).reshape(*frame.shape, 2), code)
        return colour

    def _negotiate(self) -> Captured:
        """The first whole frame in the first format that the driver accepts. Raises SourceLostError."""
        spec, pinned = self._spec, self._pinned
        size = spec.size if spec is not None and isinstance(spec.size, tuple) else None
        if pinned is not None:
            size = (pinned.width, pinned.height)
        offered, expected = self._camera.formats(), candidates(spec, pinned)
        refusals = Refusals(self._device, expected, offered, spec, size, pinned)
        for name in [one for one in expected if not offered or one in offered]:
            answer = self._start(name, size)
            if isinstance(answer, str):
                refusals.add(name, answer)
                continue
            if spec is not None and answer.frame is not None:
                check_first(answer.frame, spec, self._device, "Describe what does arrive with `sensor`.")
            return answer
        raise SourceLostError(refusals.text())

    def _start(self, name: str, size: tuple[int, int] | None) -> Captured | str:
        """The first whole frame in one pixel format, or why the driver refuses that format.

        Raises:
            SourceLostError: it accepted the format, and delivers nothing or no whole frame; or anything else failed
                again and again.
        """
        accepted, trouble = False, ""
        for attempt in range(_TRIES):
            if attempt:
                self._camera.stop()
                time.sleep(_PAUSE)
            try:
                self._camera.signal.adopt()
                layout = self._camera.set_format(name, size or self._camera.signal.size)
                refusal = _refusal(layout, name, size)
                if refusal is not None and not accepted:
                    return refusal
                if refusal is not None:
                    trouble = refusal
                    continue
                accepted, self._layout = True, layout
                self._camera.start()
                self._gaps = SequenceGaps()
                captured = self._first_whole()
                if captured.frame is not None:
                    return captured
                trouble = str(captured.error).removeprefix(f"{self._device}: ")
            except FormatChanged as changed:
                trouble = self._changed(changed)
            except OSError as error:
                if error.errno == errno.EINVAL and not accepted:
                    return _reason(error)
                if error.errno in (errno.EBUSY, errno.ENODEV):
                    raise SourceLostError(
                        f"{self._device}: {_reason(error)}. {open_advice(error.errno, self._device, asking=1)}"
                    ) from error
                trouble = _reason(error)
        self._camera.signal.look(at_once=True)
        if self._camera.signal.trouble is not None:
            raise SourceLostError(
                f"{self._device}: {self._camera.signal.trouble}: switch on or plug in what feeds it."
            )
        raise SourceLostError(
            f"{self._device}: no complete frame as {pixel_name(name)} in {_TRIES} attempts; the last one: "
            f"{trouble.rstrip('.')}. See 'dmesg', check cable and power, or plug the camera in again."
        )

    def _first_whole(self) -> Captured:
        """The first whole frame, or the last damaged one of ten. Raises as :meth:`_wait`."""
        captured = self._wait()
        for _ in range(_FIRST_TRIES - 1):
            if captured.frame is not None:
                break
            captured = self._wait()
        return captured

    def _changed(self, changed: FormatChanged) -> str:
        advice = "Keep the camera in one mode; does another program set it?"
        if changed.after:
            return f"the signal at its input changed from {changed.before} to {changed.after}. {advice}"
        before = self._layout
        try:
            after = self._camera.layout()
        except OSError:
            return f"the stream changed its format midway, from {_words(before)} to one it does not name. {advice}"
        if _words(before) == _words(after):
            return (
                f"the driver reports another signal at its input, and does not say which; its format is still "
                f"{_words(before)}. {advice}"
            )
        return f"the stream changed its format midway, from {_words(before)} to {_words(after)}. {advice}"


def _refusal(layout: Layout, name: str, size: tuple[int, int] | None) -> str | None:
    """Why what the driver set is not what was asked for; None: it is."""
    if layout.fourcc != name:
        return f"the driver sets {pixel_name(layout.fourcc)} instead"
    if size is not None and (layout.width, layout.height) != size:
        extra = telemetry_rows((layout.width, layout.height))
        more = f" (with {extra[1]} rows of telemetry? CAMERA?telemetry=footer cuts them off)" if extra else ""
        return f"frames come as {layout.width}x{layout.height}{more}"
    return None


def _words(layout: Layout) -> str:
    return f"{pixel_name(layout.fourcc)} {layout.width}x{layout.height}"


def _reason(error: OSError) -> str:
    special = {
        errno.ENODEV: "No such device (unplugged)",
        errno.ENOTTY: "not a V4L2 device",
        errno.ENOTSUP: "not a capture node (cameras have others for their metadata)",
        errno.ENOLINK: "no signal at its input",
    }
    return special.get(error.errno or 0, error.strerror or str(error))
