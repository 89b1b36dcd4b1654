"""Pictures of a compressed stream, without those that FFmpeg completed from earlier ones.

Where packets are lost, decoders fill in what the frame before shows and say so in their log only; every later picture
is then made from the invented one, until a picture comes that needs no other (I).
"""

from __future__ import annotations

import time
from typing import Any

from tgkt_edge.errors import DataError, SourceLostError
from tgkt_edge.io.complaints import DecoderWatch
from tgkt_edge.runtime.sources.base import opencv

PATIENCE_S = 30.0
"""Seconds to wait for a whole picture after damage. Where none comes (intra refresh), the stream has to begin again."""

_AHEAD = 16
"""Pictures that a decoder may work ahead of what it hands out, where there are bidirectional ones (B)."""


_ATTEMPTS = 3


class WholePictures:
    """An open ``cv2.VideoCapture`` of FFmpeg whose ``retrieve`` raises DataError for a picture that is not whole.

    The stream is decoded in one thread: pictures come without delay, and complaints with the picture that they are of.

    Args:
        uri, backend, parameters: of ``cv2.VideoCapture``. name: of the stream, in messages.
    """

    def __init__(self, uri: str, backend: int, parameters: list[int], name: str) -> None:
        self._cv2, self._name = opencv(), name
        self._capture: Any
        self._damage, self._since, self._clean, self._reordered = "", 0.0, 0, False
        self._watch = DecoderWatch("stream")
        try:
            for _ in range(_ATTEMPTS):
                lost = self._open(uri, backend, [*parameters, self._cv2.CAP_PROP_N_THREADS, 1])
                if not lost:
                    return
                self._capture.release()
            raise SourceLostError(
                f"{name}: lost packets each of {_ATTEMPTS} times that it was opened ({lost}). Is the network too slow "
                f"for the camera's stream?"
            )
        except BaseException:
            self._watch.close()
            raise

    def _open(self, uri: str, backend: int, parameters: list[int]) -> str:
        """What was lost meanwhile: pictures that were read ahead, one cannot know which."""
        self._capture = None
        try:
            with self._watch.opening():
                self._capture = self._cv2.VideoCapture(uri, backend, parameters)
        except self._cv2.error:
            return ""
        return self._watch.begin() if self._capture.isOpened() else ""

    def isOpened(self) -> bool:  # noqa: N802 - OpenCV's name
        """Whether there is a stream."""
        return self._capture is not None and bool(self._capture.isOpened())

    def get(self, what: int) -> float:
        """A property."""
        return float(self._capture.get(what))

    def grab(self) -> bool:
        """Decode the next picture."""
        there = bool(self._capture.grab())
        complaint, kind = self._watch.complaint(), self._kind()
        self._watch.forget()
        self._reordered |= kind == "B"
        if complaint:
            self._since = time.monotonic() if not self._damage else self._since
            self._damage, self._clean = complaint, 0
        elif self._damage:
            self._clean += 1
            if kind == "I" and self._clean > (_AHEAD if self._reordered else 1):
                self._damage = ""
        return there

    def retrieve(self, flag: int = 0) -> tuple[bool, Any]:
        """The picture. Raises DataError where it is not whole, SourceLostError where none has been for long."""
        there, frame = self._capture.retrieve(flag=flag)
        complaint = self._watch.complaint()  # of the conversion to what OpenCV hands out
        if complaint:
            self._watch.forget()
            raise DataError(f"cannot be converted ({complaint}). Set the camera to progressive video")
        if self._damage and time.monotonic() - self._since > PATIENCE_S:
            raise SourceLostError(
                f"{self._name}: no complete picture for {PATIENCE_S:g} s after damage ({self._damage})"
            )
        if there and self._damage:
            raise DataError(f"is damaged, or made from a damaged one ({self._damage})")
        return bool(there), frame

    def release(self) -> None:
        """Close the stream. Harmless twice."""
        if self._capture is not None:
            self._capture.release()
        self._watch.close()

    def _kind(self) -> str:
        what = getattr(self._cv2, "CAP_PROP_FRAME_TYPE", None)  # of OpenCV 4.9 and newer
        return "?" if what is None else chr(int(self._capture.get(what)) & 0x7F)
