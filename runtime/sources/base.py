"""The narrow door between cameras, recordings and the pipeline."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from dataclasses import dataclass
from types import TracebackType
from typing import Any

from numpy.typing import NDArray

from tgkt_edge.extras import require


@dataclass(frozen=True)
class Captured:
    """One frame as it arrived, or the reason why it could not be read.

    Attributes:
        frame: (H, W) raw counts exactly as the sensor wrote them; (H, W, C) if the source holds colour, which the
            SensorSpec then refuses. None if it could not be read.
        number: counts the frames of this source from 0, unreadable ones included.
        time: Unix seconds, UTC: when the frame arrived from the camera; for a file, when reading it began.
        name: what to call its source: the file's path, or the device.
        error: why ``frame`` is None; None if it is not.
        seconds: what it took to bring the frame into memory once it was there: decoding or copying, never the wait
            for the camera.
    """

    frame: NDArray[Any] | None
    number: int
    time: float
    name: str
    error: str | None = None
    seconds: float = 0.0


class FrameSource(ABC):
    """Delivers frames one at a time, unconverted. Used by one thread at a time; a context manager that closes.

    Attributes:
        live: frames arrive at the source's own pace, so that a late reader misses some.
    """

    live: bool = False

    @abstractmethod
    def read(self) -> Captured | None:
        """The next frame; waits for it. None: the recording is over.

        Raises:
            SourceLostError: (exit 5) a camera stopped delivering.
        """

    @abstractmethod
    def close(self) -> None:
        """Release the device or file. Closing twice is harmless."""

    def __enter__(self) -> FrameSource:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def opencv() -> Any:
    """OpenCV's module. Raises MissingDependency (exit 6, extra ``cpu``).

    Its warnings are switched off, unless the user set OPENCV_LOG_LEVEL: reading raw frames triggers one a frame.
    """
    cv2 = require("cv2", "cpu", "reading frames")
    if "OPENCV_LOG_LEVEL" not in os.environ:
        cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)
    return cv2
