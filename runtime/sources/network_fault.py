"""Why no video comes from an address on the network. FFmpeg does not return it: a connection to the host is tried."""

from __future__ import annotations

import re
import socket
from urllib.parse import SplitResult

WAYS = "MJPEG over HTTP; MJPEG, H.264 or H.265 over RTSP"
"""What is known to work."""

_ANSWER = re.compile(rb"(?:RTSP|HTTP)/\d\.\d (\d{3})(?: ([A-Za-z -]{1,40}))?")


def why_no_video(parts: SplitResult, host: str, port: int, timeout: float) -> str:
    """One sentence or two, without anything of the address but host and port.

    Args:
        parts: the address, split. timeout: seconds for the connection, and for an answer.
    """
    try:
        with socket.create_connection((host, port), timeout) as connection:
            status = _status(connection, parts, host)
    except OSError as error:
        reason = error.strerror or error
        return f"nothing answers at {host}, port {port}: {reason}. Is the camera on, and on this network?"
    found = f"{host} answers on port {port}, but not with a video"
    if status in ("401", "403") and parts.username is None:
        return f"{found}: it asks for a user and a password ({status}). Expected {parts.scheme}://USER:PASSWORD@{host}"
    if status == "404":
        return f"{found}: it knows no such path (404). The camera's manual, or ONVIF, names its paths."
    return (
        f"{found}. Check the path, the user and the password (special characters as %40 and so on). "
        f"Known to work: {WAYS}."
    )


def _status(connection: socket.socket, parts: SplitResult, host: str) -> str:
    """The status of the answer to a request without the password; empty: none, or the connection is encrypted."""
    scheme = parts.scheme.lower()
    if scheme not in ("rtsp", "http"):
        return ""
    path = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    where = parts.netloc.rpartition("@")[2]
    first = (
        f"DESCRIBE rtsp://{where}{path} RTSP/1.0\r\nCSeq: 1" if scheme == "rtsp" else f"GET {path} HTTP/1.0"
    )
    request = f"{first}\r\nHost: {host}\r\nUser-Agent: tgkt-edge\r\n\r\n"
    try:
        connection.sendall(request.encode("utf-8", "surrogateescape"))
        found = _ANSWER.match(connection.recv(4096))
    except OSError:
        return ""
    return found.group(1).decode() if found else ""
