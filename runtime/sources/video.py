"""Recorded frames in a video file, through OpenCV's FFmpeg."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from tgkt_edge.errors import SourceLostError
from tgkt_edge.runtime.sources.base import Captured, FrameSource, opencv

_RECORD = "Record lossless: FFV1 with pixel format gray16le (16 bit) or gray (8 bit), in a .mkv file."


class VideoSource(FrameSource):
    """The frames of a video file as they were encoded: FFV1 gray16le gives (H, W) uint16, gray gives uint8.

    Frames come as fast as they are asked for; the file's frame rate plays no part. A file that was cut off ends
    where its data ends.

    Args:
        path: the file.
        loop: start again after the last frame, indefinitely.

    Raises:
        SourceLostError: (exit 5) not a video, or one whose pixel format does not hold raw counts.
        MissingDependency: (exit 6) OpenCV is not installed.
    """

    live = False

    def __init__(self, path: Path, *, loop: bool = False) -> None:
        self._cv2 = opencv()
        self._path = path
        self._loop = loop
        self._number = 0
        self._in_pass = 0
        self._capture: Any = self._open()

    def read(self) -> Captured | None:
        """The next frame; see :meth:`FrameSource.read`."""
        began, clock = time.time(), time.perf_counter()
        found, frame = self._capture.read()
        if not found and self._loop and self._in_pass:
            self._capture.release()
            self._capture, self._in_pass = self._open(), 0
            found, frame = self._capture.read()
        if not found:
            return None
        self._in_pass += 1
        number = self._number
        self._number += 1
        return Captured(frame, number, began, str(self._path), None, time.perf_counter() - clock)

    def close(self) -> None:
        """Close the file."""
        self._capture.release()

    def _open(self) -> Any:
        cv2 = self._cv2
        try:
            capture = cv2.VideoCapture(str(self._path), cv2.CAP_FFMPEG, [cv2.CAP_PROP_CONVERT_RGB, 0])
        except cv2.error as error:
            raise SourceLostError(
                f"{self._path}: cannot be opened as a video: {error.err or error}"
            ) from error
        if not capture.isOpened():
            raise SourceLostError(
                f"{self._path}: neither an image nor a video that FFmpeg can read. {_RECORD} "
                f"A folder or a glob of image files works too."
            )
        # FFmpeg hands out the luma plane of yuv420p as if it were grey. Encoders squeeze it to 16..235 (MJPEG does
        # not): those counts are not the sensor's, and nothing later could notice.
        pixels = int(capture.get(cv2.CAP_PROP_CODEC_PIXEL_FORMAT))
        planar = pixels == cv2.VideoWriter.fourcc(*"I420")
        if planar and int(capture.get(cv2.CAP_PROP_FOURCC)) != cv2.VideoWriter.fourcc(*"MJPG"):
            capture.release()
            raise SourceLostError(
                f"{self._path}: encoded as yuv420p, which squeezes intensities to 16..235 and loses the raw counts. "
                f"{_RECORD}"
            )
        return capture
