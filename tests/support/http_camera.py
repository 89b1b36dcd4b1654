"""Cameras that send MJPEG over HTTP: real servers on a free port of this machine."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import cv2
from numpy.typing import NDArray

MULTIPART = "multipart/x-mixed-replace; boundary=frame"


def jpeg(pixels: NDArray[Any], quality: int = 95) -> bytes:
    return bytes(cv2.imencode(".jpg", pixels, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes())


def part(body: bytes, length: int | None = -1, kind: str = "image/jpeg", boundary: str = "--frame") -> bytes:
    """One part of a stream; ``length`` is what its head says: None says nothing, -1 the truth."""
    told = f"Content-Length: {len(body) if length == -1 else length}\r\n" if length is not None else ""
    return f"{boundary}\r\nContent-Type: {kind}\r\n{told}\r\n".encode() + body + b"\r\n"


@contextmanager
def http_camera(
    parts: Iterable[bytes],
    kind: str = MULTIPART,
    *,
    admit: Callable[[Any], str | None] = lambda request: None,
    period: float = 0,
) -> Iterator[str]:
    """The address of a camera that answers each client with ``parts``, one every ``period`` seconds, and ends.

    Args:
        parts: iterated once per client; may be endless.
        kind: the content type.
        admit: returns the challenge that a request must answer first, or None.
    """

    class Camera(http.server.BaseHTTPRequestHandler):
        def log_message(self, *_: object) -> None: ...

        def do_GET(self) -> None:
            challenge = admit(self)
            if challenge is not None:
                self.send_response(401)
                self.send_header("WWW-Authenticate", challenge)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("Content-Type", kind)
            self.end_headers()
            try:
                for one in parts:
                    self.wfile.write(one)
                    time.sleep(period)
            except OSError:  # the client has gone
                return

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/stream.mjpg"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
