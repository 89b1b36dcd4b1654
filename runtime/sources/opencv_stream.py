"""Live streams that OpenCV opens: the part that GStreamer, CSI, network and Orbbec sources share."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import DataError, MissingDependency, SourceLostError
from tgkt_edge.io.addresses import redacted_text
from tgkt_edge.runtime.sources.base import CameraSource, Captured, StreamFormat, check_first, opencv
from tgkt_edge.runtime.sources.stream_format import check_pinned
from tgkt_edge.sensor import SensorSpec

_COLOURED = 12  # counts between two channels of a pixel; JPEG and H.264 stay below in monochrome pictures
_PIXELS = {("uint16",): "GRAY16_LE", ("uint8",): "GRAY8", ("uint8", 3): "BGR"}
"""GStreamer's names of what OpenCV hands out, by dtype and channels."""
_DAMAGED_AT_FIRST = 9  # frames that may be damaged before the first whole one
_GREY_STEP = 4  # every 4th pixel of every 4th row tells whether a picture is in colour


class OpenCvStream(CameraSource):
    """Frames of an open ``cv2.VideoCapture``. Its first frame is read, checked and kept at once.

    Args:
        capture: open, or what has its methods grab, retrieve and release; its retrieve may raise DataError for a frame
            that is damaged. Closed if its first whole frame is refused.
        name: what to call it in messages, without passwords.
        spec: what frames must be. None: (H, W, 3) uint8 BGR.
        fix: what to do if the first frame contradicts ``spec``.
        lost: what may have happened if no frame comes.
        flag: which picture ``retrieve`` shall give.
        monochrome: frames come as BGR but are a monochrome camera's: one channel is taken, a coloured one refused.
        unit_m: metres a count, where this kind of source has one.
        pinned: the format of an earlier opening: another one is refused.
        until_whole: seconds to wait for a first picture that is not damaged, beyond ten pictures.

    Raises:
        SourceLostError: (exit 5) no frame came, or it contradicts ``spec``.
    """

    def __init__(
        self,
        capture: Any,
        name: str,
        spec: SensorSpec | None,
        *,
        fix: str,
        lost: str,
        flag: int = 0,
        monochrome: bool = False,
        unit_m: float | None = None,
        pinned: StreamFormat | None = None,
        until_whole: float = 0.0,
    ) -> None:
        self._cv2 = opencv()
        self._capture, self._name, self._spec = capture, name, spec
        self._fix, self._lost, self._flag, self._monochrome = fix, lost, flag, monochrome
        self._format: tuple[Any, ...] = ()  # dtype, height, width, channels if there are several
        try:
            began, damaged = time.monotonic(), 0
            first = self._next()
            while not self._format and (
                damaged < _DAMAGED_AT_FIRST or time.monotonic() - began < until_whole
            ):
                try:
                    first, damaged = self._next(), damaged + 1
                except SourceLostError:  # the stream ended: what was wrong with its pictures says more
                    raise SourceLostError(str(first.error)) from None
            if first.frame is None:
                raise SourceLostError(str(first.error))
            self.format = self._stream_format(unit_m)
            check_pinned(pinned, self.format, name)
            if spec is not None:
                check_first(first.frame, spec, name, fix)
            elif first.frame.dtype != np.uint8 or first.frame.shape[2:] != (3,):
                raise SourceLostError(
                    f"{name}: {first.frame.dtype} {first.frame.shape}: expected colour, (H, W, 3) uint8. {fix}"
                )
            self._first = first
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """End the stream."""
        self._capture.release()

    def _next(self) -> Captured:
        try:
            there = self._capture.grab()
            arrived, clock = time.time(), time.perf_counter()
            there, frame = self._capture.retrieve(flag=self._flag) if there else (False, None)
        except self._cv2.error as error:
            raise SourceLostError(
                f"{self._name}: {redacted_text(str(error.err or error))}. {self._lost}"
            ) from error
        except DataError as error:
            damage = f"{self._name}: frame {self._number} {error}. Is the network too slow for the camera's stream?"
            return Captured(None, self._number, arrived, self._name, damage, time.perf_counter() - clock)
        if not there or frame is None:
            when = f"stopped delivering after {self._number} frames" if self._number else "delivers no frame"
            raise SourceLostError(f"{self._name}: {when}. {self._lost}")
        found = (frame.dtype, *frame.shape)
        if self._format and found != self._format:
            raise SourceLostError(
                f"{self._name}: the stream changed its format midway, from {self._format[0]} {self._format[1:]} to "
                f"{found[0]} {found[1:]}. Keep the camera in one mode; does another program set it?"
            )
        self._format = found
        trouble = None
        if self._monochrome:
            frame, trouble = self._grey(frame)
        seconds = time.perf_counter() - clock
        return Captured(frame, self._number, arrived, self._name, trouble, seconds)

    def _stream_format(self, unit_m: float | None) -> StreamFormat:
        dtype, height, width, *channels = self._format
        return StreamFormat(_PIXELS.get((str(dtype), *channels), str(dtype)), width, height, unit_m)

    def _grey(self, frame: NDArray[Any]) -> tuple[NDArray[Any] | None, str | None]:
        """The one channel of a monochrome picture that was decoded to BGR, or why there is none."""
        if frame.ndim == 2:
            return frame, None
        sample = frame[::_GREY_STEP, ::_GREY_STEP].astype(np.int16)
        spread = int(np.percentile(sample.max(axis=2) - sample.min(axis=2), 99))
        if spread > _COLOURED:
            return None, (
                f"{self._name}: the picture is in colour (channels differ by {spread} counts), a near-infrared "
                f"sensor's is not. Switch the camera to night mode (infrared, black and white) for good."
            )
        return np.ascontiguousarray(frame[:, :, 1]), None


def expected_backend(cv2: Any, constant: str, title: str, advice: str) -> int:
    """OpenCV's number of a video back-end.

    Raises:
        MissingDependency: (exit 6) this OpenCV was built without it. ``getCameraBackends`` would list it all the same.
    """
    number: int | None = getattr(cv2, constant, None)
    if number is None or not cv2.videoio_registry.hasBackend(number):
        raise MissingDependency(
            f"The OpenCV in use ({cv2.__version__}, {cv2.__file__}) was built without {title}. {advice}"
        )
    return number
