"""MJPEG over HTTP: each part of the stream is checked before it is decoded, so that half a picture is none.

FFmpeg completes half a picture with the one before. Here a part goes through the same checks as a JPEG file.
"""

from __future__ import annotations

import http.client
import ssl
import urllib.error
import urllib.request
from typing import Any
from urllib.parse import SplitResult, unquote

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.io.images import decode_jpeg_frame

_PIECE = 1 << 16
_MAX_HEAD = 1 << 16
_MAX_PART = 1 << 26


class MjpegCapture:
    """The parts of a ``multipart`` answer, through the three methods of ``cv2.VideoCapture`` that streams use.

    Args:
        answer: of the camera, open.
    """

    def __init__(self, answer: Any) -> None:
        self._answer = answer
        self._held = bytearray()
        self._boundary = b""
        self._part = b""

    def grab(self) -> bool:
        """Wait for the next part that is a picture. False: the camera ended the stream, or said nothing in time."""
        try:
            while True:
                head = self._head()
                kind = head.get(b"content-type", b"image/jpeg")
                self._part = self._body(head.get(b"content-length", b""))
                if kind.lower().startswith((b"image/", b"application/octet-stream")):
                    return True
        except (OSError, http.client.HTTPException, EOFError):
            return False

    def retrieve(self, flag: int = 0) -> tuple[bool, NDArray[Any]]:
        """Decode that part: (H, W, 3) uint8, blue first; of a grey JPEG three equal channels, since cameras turn to
        grey and back.

        Raises:
            DataError: it is truncated, damaged or no JPEG.
        """
        frame = decode_jpeg_frame(self._part)
        return True, np.repeat(frame[..., np.newaxis], 3, axis=2) if frame.ndim == 2 else frame

    def release(self) -> None:
        """End the connection."""
        self._answer.close()

    def _head(self) -> dict[bytes, bytes]:
        """Go on to behind the next boundary and its head; the fields of that."""
        while True:
            line = self._line()
            if line.startswith(b"--") and (not self._boundary or line == self._boundary):
                break
        self._boundary = line
        fields: dict[bytes, bytes] = {}
        while (line := self._line()) != b"":
            name, _, value = line.partition(b":")
            fields[name.strip().lower()] = value.strip()
        return fields

    def _line(self) -> bytes:
        while (end := self._held.find(b"\n")) < 0:
            if len(self._held) > _MAX_HEAD:
                self._held.clear()  # pixels: a part without a boundary where one should be
            self._more()
        line = bytes(self._held[:end]).rstrip(b"\r")
        del self._held[: end + 1]
        return line

    def _body(self, length: bytes) -> bytes:
        """The bytes of a part: up to its length, or to the next boundary if that comes first or there is no length."""
        announced = min(int(length), _MAX_PART) if length.isdigit() else _MAX_PART
        mark, searched = b"\n" + self._boundary, 0
        while True:
            end = self._held.find(mark, searched, announced + len(mark))
            if end >= 0:
                break
            if len(self._held) >= announced:
                end = announced
                break
            searched = max(0, len(self._held) - len(mark))
            self._more()
        part = bytes(self._held[:end])
        del self._held[:end]
        return part

    def _more(self) -> None:
        piece = self._answer.read1(_PIECE)
        if not piece:
            raise EOFError
        self._held += piece


class _CloseRefusal(urllib.request.BaseHandler):
    """Close the answer that asks for a password before the request is sent again; urllib leaves it open."""

    handler_order = 400  # before those that send it again

    def http_error_401(self, request: Any, answer: Any, *_: object) -> None:
        answer.close()


def open_mjpeg(uri: str, parts: SplitResult, timeout: float) -> MjpegCapture | None:
    """Ask an HTTP camera for its stream.

    Args:
        uri: with user and password, if it needs them; certificates are not checked, as cameras make their own.
        timeout: seconds to wait for an answer, and for each further piece.

    Returns:
        None if it answers with something else than MJPEG, which FFmpeg may know.

    Raises:
        OSError: nothing answers, or the camera refuses.
    """
    bare = parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()
    words = urllib.request.HTTPPasswordMgrWithDefaultRealm()
    if parts.username is not None:
        words.add_password(None, bare, unquote(parts.username), unquote(parts.password or ""))
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    opener = urllib.request.build_opener(
        _CloseRefusal(),
        urllib.request.HTTPSHandler(context=context),
        urllib.request.HTTPBasicAuthHandler(words),
        urllib.request.HTTPDigestAuthHandler(words),
    )
    try:
        answer = opener.open(bare, timeout=timeout)
        in_parts = answer.headers.get_content_type().startswith("multipart/") or (
            answer.peek(_PIECE).lstrip().startswith(b"--")  # some cameras name another type
        )
    except urllib.error.HTTPError as error:
        error.close()
        raise
    except (http.client.HTTPException, ValueError) as error:
        raise OSError(str(error)) from error
    if in_parts:
        return MjpegCapture(answer)
    answer.close()
    return None
