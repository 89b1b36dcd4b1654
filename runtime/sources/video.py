"""Recorded frames in a video file, exactly as they were encoded."""

from __future__ import annotations

import time
from pathlib import Path

from tgkt_edge.errors import DataError, SourceLostError
from tgkt_edge.io.video import ExactVideo
from tgkt_edge.runtime.sources.base import Captured, FrameSource, opencv


class VideoSource(FrameSource):
    """The frames of a video file as they were encoded: FFV1 gray16le gives (H, W) uint16, gray gives uint8.

    Frames come as fast as they are asked for; the file's frame rate plays no part. A file that was cut off ends
    where its data ends. From damage within it on, every frame is a :class:`Captured` with ``error``: a decoder would
    replace what is damaged by the frame before.

    Args:
        path: the file.
        loop: start again after the last frame, indefinitely; ends if a whole pass held no readable frame.
        checked: the frames have checksums, which tell more than the decoder's complaints: these are left out.

    Raises:
        SourceLostError: (exit 5) not a video, or one whose frames do not arrive exactly (:mod:`tgkt_edge.io.video`).
        MissingDependency: (exit 6) OpenCV is not installed.
    """

    live = False

    def __init__(self, path: Path, *, loop: bool = False, checked: bool = False) -> None:
        opencv()
        self._path = path
        self._loop = loop
        self._checked = checked
        self._number = 0
        self._readable_in_pass = 0
        self._video = self._open()

    def read(self) -> Captured | None:
        """The next frame; see :meth:`FrameSource.read`."""
        began, clock = time.time(), time.perf_counter()
        read = self._video.read()
        if read is None and self._loop and self._readable_in_pass:
            self._video.close()
            self._video, self._readable_in_pass = self._open(), 0
            read = self._video.read()
        if read is None:
            return None
        number = self._number
        self._number += 1
        frame, damage = read
        trouble = damage if frame is None or not self._checked else ""
        frame = None if trouble else frame
        self._readable_in_pass += frame is not None
        return Captured(frame, number, began, str(self._path), trouble or None, time.perf_counter() - clock)

    def close(self) -> None:
        """Close the file."""
        self._video.close()

    def _open(self) -> ExactVideo:
        try:
            return ExactVideo(self._path)
        except DataError as error:
            raise SourceLostError(str(error)) from error
