"""``rtsp://`` and ``http://`` cameras: 8-bit video over a network. MJPEG over HTTP is read here, all else by FFmpeg."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from tgkt_edge.errors import SourceLostError, UsageError
from tgkt_edge.io.addresses import MISPLACED_AT, ambiguous, redacted
from tgkt_edge.runtime.sources.base import StreamFormat, opencv
from tgkt_edge.runtime.sources.mjpeg_http import open_mjpeg
from tgkt_edge.runtime.sources.network_fault import WAYS, why_no_video
from tgkt_edge.runtime.sources.opencv_stream import OpenCvStream, expected_backend
from tgkt_edge.runtime.sources.whole_pictures import WholePictures
from tgkt_edge.sensor import SensorSpec

PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
_OPEN_MS, _READ_MS = 10_000, 10_000
_VARIABLE = "OPENCV_FFMPEG_CAPTURE_OPTIONS"
_OPTIONS = {"rtsp_transport": "tcp", "reorder_queue_size": "16", "allowed_media_types": "video",
            "fpsprobesize": "0"}  # fmt: skip
"""Of FFmpeg's receiver: with a queue, gaps of RTP's numbers are reported over TCP, too; sound is not
asked for, nor is FFmpeg to find out how many pictures come a second, which takes some of them."""


def open_network(
    uri: str,
    spec: SensorSpec | None,
    open_ms: int = _OPEN_MS,
    read_ms: int = _READ_MS,
    pinned: StreamFormat | None = None,
) -> OpenCvStream:
    """Frames of a monochrome camera on the network, (H, W) uint8; a stream that squeezes intensities to 16..235 and
    says so is expanded by the decoder.

    A coloured picture (a day-and-night camera in its day mode) is no frame: refused at first, a bad frame later. Half a
    picture of MJPEG over HTTP is a bad frame, too.

    Args:
        uri: ``rtsp://user:password@host/path``, also rtsps, http, https. No message shows the password.
        spec: what frames must be; None: colour, (H, W, 3) uint8 BGR.
        open_ms, read_ms: how long to wait for the connection, and for a frame.
        pinned: the format of an earlier opening: another one is refused.

    Raises:
        SourceLostError: (exit 5) nothing answers, it is no video, or ``spec`` wants 16 bits.
        MissingDependency: (exit 6) there is no OpenCV, or one without FFmpeg.
    """
    name = redacted(uri)
    if spec is not None and spec.dtype != "uint8":
        raise SourceLostError(
            f"{name}: video over a network ({WAYS}) has 8 bits, but the sensor is {spec.dtype}. Run tgkt-edge where "
            f"the camera is plugged in and send its answers instead; or choose an 8-bit SensorSpec (nir8) if it is one."
        )
    if ambiguous(uri):
        raise UsageError(f"`camera={name}`: {MISPLACED_AT}.")
    try:
        parts = urlsplit(uri)
        host, port = parts.hostname, parts.port or PORTS[parts.scheme.lower()]
    except ValueError:
        host = None
    if not host:
        scheme = uri.partition(":")[0].lower()
        raise UsageError(f"`camera={name}`: expected a host: {scheme}://192.168.0.10/stream")
    cv2 = opencv()
    backend = expected_backend(
        cv2, "CAP_FFMPEG", "FFmpeg", "Use gst:rtspsrc location=... with an OpenCV that has GStreamer."
    )
    how: dict[str, Any] = {
        "until_whole": read_ms / 1e3,
        "fix": "Set the camera to the size the SensorSpec names, or describe what does arrive with `sensor`.",
        "lost": f"The camera ended the stream, or nothing came for {read_ms / 1e3:g} s. Check its power and the "
        "network.",
        "monochrome": spec is not None,
        "pinned": pinned,
    }
    over_http = parts.scheme.lower() in ("http", "https")
    if over_http:
        try:
            mjpeg = open_mjpeg(uri, parts, min(open_ms, read_ms) / 1e3)
        except OSError as error:
            raise SourceLostError(f"{name}: {why_no_video(parts, host, port, open_ms / 1e3)}") from error
        if mjpeg is not None:
            return OpenCvStream(mjpeg, name, spec, **how)
    timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, open_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, read_ms]
    with receiver_options():
        capture = WholePictures(uri, backend, timeouts, name)
    if not capture.isOpened():
        capture.release()
        raise SourceLostError(f"{name}: {why_no_video(parts, host, port, open_ms / 1e3)}")
    if over_http and int(capture.get(cv2.CAP_PROP_FOURCC)) == cv2.VideoWriter.fourcc(*"MJPG"):
        capture.release()
        raise SourceLostError(
            f"{name}: sends single JPEGs, or MJPEG that is not in parts (multipart/x-mixed-replace); FFmpeg would "
            f"complete half a picture of it with the one before. Choose the camera's MJPEG stream, or RTSP."
        )
    return OpenCvStream(capture, name, spec, **how)


_turn = threading.Lock()
_opening = 0  # streams that are being opened, each in a thread of its own
_users: str | None = None  # what the variable said before the first of them


@contextmanager
def receiver_options() -> Iterator[None]:
    """What OpenCV hands to FFmpeg while any thread opens a stream; of the user's own options each keeps its value."""
    global _opening, _users
    with _turn:
        if not _opening:
            _users = os.environ.get(_VARIABLE)
            given = dict(option.partition(";")[::2] for option in (_users or "").split("|") if option)
            os.environ[_VARIABLE] = "|".join(f"{name};{value}" for name, value in (_OPTIONS | given).items())
        _opening += 1
    try:
        yield
    finally:
        with _turn:
            _opening -= 1
            if not _opening and _users is None:
                del os.environ[_VARIABLE]
            elif not _opening:
                os.environ[_VARIABLE] = str(_users)
