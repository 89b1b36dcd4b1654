"""The interface between cameras, recordings and the pipeline."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from numpy.typing import NDArray

from tgkt_edge.alignment.rig import Rig
from tgkt_edge.errors import FrameError, SourceLostError
from tgkt_edge.optional_deps import require
from tgkt_edge.sensor import SensorSpec

_UNIT_TOLERANCE = 1e-3  # devices keep their scale in float32


@dataclass(frozen=True)
class Captured:
    """One frame as it arrived, or the reason why it could not be read.

    Attributes:
        frame: (H, W) raw counts exactly as the sensor wrote them; (H, W, C) if the source holds colour, which the
            SensorSpec then refuses. None if it could not be read.
        number: counts the frames of this source from 0, unreadable ones included.
        time: Unix seconds, UTC: when the frame was taken, where the driver says so; else when it arrived. From a
            recording of ``tgkt-edge record`` its recorded time; from any other file, when reading it began.
        name: what to call its source: the file's path, or the device.
        error: why ``frame`` is None; None if it is not.
        seconds: what it took to bring the frame into memory once it was there: decoding or copying, never the wait
            for the camera.
        lost: frames that the driver took and could not deliver, since the source was opened, by the gaps in its own
            numbering: it had no free buffer, or the bus lost them. 0 where the driver does not number them.
        color: the color picture that the same device took with it, (H, W, 3) uint8 BGR, where both were asked for.
    """

    frame: NDArray[Any] | None
    number: int
    time: float
    name: str
    error: str | None = None
    seconds: float = 0.0
    lost: int = 0
    color: Captured | None = None


@dataclass(frozen=True)
class StreamFormat:
    """How a camera delivers its frames.

    Attributes:
        pixels: the pixel format as this kind of source names it: V4L2's FOURCC (Z16, Y16, GREY), GStreamer's GRAY16_LE,
            RealSense's in V4L2's words, OpenNI2's "1 mm".
        width, height: pixels.
        unit_m: metres a count, where the device says it.
        signal: the picture at the input of a receiver (HDMI), "1920x1080", which the driver scales where it is not
            ``width`` x ``height``. Empty: it is a camera of its own.
    """

    pixels: str
    width: int
    height: int
    unit_m: float | None = None
    signal: str = ""

    def __str__(self) -> str:
        unit = f" at {self.unit_m:g} m a count" if self.unit_m is not None else ""
        signal = f" from a {self.signal} signal" if self.signal else ""
        return f"{self.pixels} {self.width}x{self.height}{unit}{signal}"


class SequenceGaps:
    """Counts the frames that are missing in a driver's 32-bit numbering.

    Attributes:
        lost: how many, so far.
    """

    def __init__(self) -> None:
        self.lost = 0
        self._last: int | None = None

    def add(self, sequence: int) -> int:
        """Take the number of the next frame that arrived; return ``lost``.

        A number that stays, or goes back, is a driver that does not count or began again: nothing is known to be lost.
        """
        if self._last is not None:
            step = (sequence - self._last) & 0xFFFFFFFF
            if 1 < step < 1 << 31:
                self.lost += step - 1
        self._last = sequence
        return self.lost


class FrameSource(ABC):
    """Delivers frames one at a time, unconverted. Used by one thread at a time; a context manager that closes.

    Attributes:
        live: frames arrive at the source's own pace, so that a late reader misses some.
        format: what a live source delivers; None: it is not live.
        files: of a recording in a file a frame, these files in order: :meth:`read_at` reads any of them, in any
            thread. None: its frames come only one after the other.
        rig: what the device knows of its cameras; None: nothing.
    """

    live: bool = False
    format: StreamFormat | None = None
    files: Sequence[Path] | None = None
    rig: Rig | None = None

    @abstractmethod
    def read(self) -> Captured | None:
        """The next frame; waits for it. None: the recording is over.

        Raises:
            SourceLostError: (exit 5) a camera stopped delivering.
        """

    def read_at(self, number: int) -> Captured:
        """Frame ``number``, from 0, as :meth:`read` gives it; only where there are ``files``. Any thread may call."""
        raise NotImplementedError(f"{type(self).__name__} reads its frames in order")

    @abstractmethod
    def close(self) -> None:
        """Release the device or file. Closing twice is harmless."""

    def __enter__(self) -> FrameSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class CameraSource(FrameSource):
    """A camera whose first frame is taken when it is opened, to be looked at, and is then the first that is read."""

    live = True
    _first: Captured | None = None
    _number = 0
    """Of the next frame."""

    def read(self) -> Captured:
        """The next frame; see :meth:`FrameSource.read`."""
        captured, self._first = self._first, None
        if captured is None:
            captured = self._next()
        self._number += 1
        return captured

    @abstractmethod
    def _next(self) -> Captured:
        """Wait for a frame and give it ``_number``. Raises SourceLostError."""


def check_first(frame: NDArray[Any], spec: SensorSpec, name: str, fix: str) -> None:
    """Refuse a source whose first frame contradicts ``spec``.

    Raises:
        SourceLostError: (exit 5) what is wrong, and ``fix``: what to do about it with this kind of source.
    """
    try:
        spec.check(frame, name)
    except FrameError as error:
        raise SourceLostError(f"{error} {fix}") from error


def check_unit(unit_m: float, spec: SensorSpec, name: str) -> None:
    """Refuse a depth camera whose counts are not what ``spec`` says: every distance would be wrong by one factor.

    Args:
        unit_m: metres a count, as the device says.

    Raises:
        SourceLostError: (exit 5) with the line to write.
    """
    if spec.encoding != "linear":
        raise SourceLostError(
            f"{name}: its counts are linear, but the SensorSpec says encoding: {spec.encoding}."
        )
    if spec.unit_m is None or abs(spec.unit_m / unit_m - 1) > _UNIT_TOLERANCE:
        raise SourceLostError(
            f"{name}: the device says {unit_m:g} m a count, but the SensorSpec says unit_m: {spec.unit_m:g}. Copy the "
            f"SensorSpec, write 'unit_m: {unit_m:g}' in it, and give the copy with `sensor`."
        )


def opencv() -> Any:
    """OpenCV's module. Raises MissingDependency (exit 6, extra ``cpu``).

    Its warnings are switched off, unless the user set OPENCV_LOG_LEVEL: reading raw frames triggers one a frame.
    """
    cv2 = require("cv2", "cpu", "reading frames")
    if "OPENCV_LOG_LEVEL" not in os.environ:
        logging = getattr(cv2.utils, "logging", None)  # OpenCV 4.6 has another place for it, or none
        if logging is not None:
            logging.setLogLevel(logging.LOG_LEVEL_ERROR)
        elif hasattr(cv2, "setLogLevel"):
            cv2.setLogLevel(2)  # errors
    return cv2
