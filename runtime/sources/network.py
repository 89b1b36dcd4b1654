"""``rtsp://`` and ``http://`` cameras: 8-bit video over a network, through OpenCV's FFmpeg."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from tgkt_edge.errors import SourceLostError, UsageError
from tgkt_edge.runtime.sources.base import opencv, redacted
from tgkt_edge.runtime.sources.opencv_stream import OpenCvStream, expected_backend
from tgkt_edge.sensor import SensorSpec

PORTS = {"rtsp": 554, "rtsps": 322, "http": 80, "https": 443}
_OPEN_MS, _READ_MS = 10_000, 10_000
_WAYS = "MJPEG over HTTP; MJPEG, H.264 or H.265 over RTSP"


def open_network(
    uri: str, spec: SensorSpec | None, open_ms: int = _OPEN_MS, read_ms: int = _READ_MS
) -> OpenCvStream:
    """Frames of a monochrome camera on the network, (H, W) uint8; a stream that squeezes intensities to 16..235 and
    says so is expanded by the decoder.

    A coloured picture (a day-and-night camera in its day mode) is no frame: refused at first, a bad frame later.

    Args:
        uri: ``rtsp://user:password@host/path``, also rtsps, http, https. No message shows the password.
        spec: what frames must be; None: colour, (H, W, 3) uint8 BGR.
        open_ms, read_ms: how long to wait for the connection, and for a frame.

    Raises:
        SourceLostError: (exit 5) nothing answers, it is no video, or ``spec`` wants 16 bits.
        MissingDependency: (exit 6) there is no OpenCV, or one without FFmpeg.
    """
    name = redacted(uri)
    if spec is not None and spec.dtype != "uint8":
        raise SourceLostError(
            f"{name}: video over a network ({_WAYS}) has 8 bits, but the sensor is {spec.dtype}. Run tgkt-edge where "
            f"the camera is plugged in and send its answers instead; or choose an 8-bit SensorSpec (nir8) if it is one."
        )
    parts = urlsplit(uri)
    try:
        host, port = parts.hostname, parts.port or PORTS[parts.scheme.lower()]
    except ValueError:
        host, port = None, 0
    if not host:
        raise UsageError(f"--camera {name}: expected a host: {parts.scheme}://192.168.0.10/stream")
    cv2 = opencv()
    backend = expected_backend(
        cv2, "CAP_FFMPEG", "FFmpeg", "Use gst:rtspsrc location=... with an OpenCV that has GStreamer."
    )
    timeouts = [cv2.CAP_PROP_OPEN_TIMEOUT_MSEC, open_ms, cv2.CAP_PROP_READ_TIMEOUT_MSEC, read_ms]
    try:
        capture = cv2.VideoCapture(uri, backend, timeouts)
    except cv2.error:
        capture = None
    if capture is None or not capture.isOpened():
        raise SourceLostError(f"{name}: {_why(host, port, open_ms / 1e3)}")
    return OpenCvStream(
        capture,
        name,
        spec,
        fix="Set the camera to the size the SensorSpec names, or say with --sensor what does arrive.",
        lost=f"The camera ended the stream, or nothing came for {read_ms / 1e3:g} s. Check its power and the network.",
        monochrome=spec is not None,
    )


def _why(host: str, port: int, timeout: float) -> str:
    """FFmpeg does not say why it failed: ask the port itself."""
    try:
        socket.create_connection((host, port), timeout).close()
    except OSError as error:
        return (
            f"nothing answers at {host}, port {port}: {error.strerror or error}. Is the camera on, and on this "
            f"network?"
        )
    return (
        f"{host} answers on port {port}, but not with a video. Check the path, the user and the password (special "
        f"characters as %40 and so on). Known to work: {_WAYS}."
    )
