"""An RTSP camera as a thread: sends H.264 or H.265 within its TCP connection, and loses what a test wants lost."""

from __future__ import annotations

import re
import socket
import struct
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

PIECE = 300
"""Bytes of a packet."""

Loses = Callable[[int, int, int], bool]
"""Of frame, packet of it, and how many there are: whether it never arrives."""


@contextmanager
def rtsp_camera(stream: Path, loses: Loses, renumbered: bool = False, fps: float = 200) -> Iterator[str]:
    """Yield the address.

    Args:
        renumbered: packets are numbered after the loss, as by a server that hands on what it got.
    """
    with socket.create_server(("127.0.0.1", 0)) as server:
        units = [unit for unit in re.split(rb"\x00\x00\x00?\x01", stream.read_bytes()) if unit]
        thread = threading.Thread(
            target=_serve, args=(server, units, stream.suffix == ".h265", loses, renumbered, fps), daemon=True
        )
        thread.start()
        yield f"rtsp://127.0.0.1:{server.getsockname()[1]}/camera"


def _serve(
    server: socket.socket, units: list[bytes], h265: bool, loses: Loses, renumbered: bool, fps: float
) -> None:
    while True:
        try:
            connection, _ = server.accept()
        except OSError:  # the test is over
            return
        with connection, suppress(OSError):  # the viewer has left
            _answer(connection, units, h265)
            number = frame = 0
            for unit in units:
                packets, picture = _packets(unit, h265), _is_picture(unit, h265)
                for position, packet in enumerate(packets):
                    lost = picture and loses(frame, position, len(packets))
                    last = picture and position == len(packets) - 1
                    head = struct.pack(">BBHII", 0x80, 96 | last << 7, number & 0xFFFF, frame * 6000, 1)
                    number += not (lost and renumbered)
                    if not lost:
                        connection.sendall(b"$\0" + struct.pack(">H", len(head + packet)) + head + packet)
                frame += picture
                time.sleep(picture / fps)
            time.sleep(0.3)


def _answer(connection: socket.socket, units: list[bytes], h265: bool) -> None:
    """Everything until the stream begins."""
    sets = [b64encode(unit).decode() for unit in units[:3]]
    if h265:
        about = f"sprop-vps={sets[0]}; sprop-sps={sets[1]}; sprop-pps={sets[2]}"
    else:
        about = f"packetization-mode=1; sprop-parameter-sets={sets[0]},{sets[1]}"
    description = (
        "v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=camera\r\nt=0 0\r\nm=video 0 RTP/AVP 96\r\n"
        f"a=rtpmap:96 {'H265' if h265 else 'H264'}/90000\r\na=fmtp:96 {about}\r\na=control:track0\r\n"
    )
    more = {
        "OPTIONS": "Public: OPTIONS, DESCRIBE, SETUP, PLAY, TEARDOWN\r\n",
        "DESCRIBE": "Content-Type: application/sdp\r\n",
        "SETUP": "Transport: RTP/AVP/TCP;unicast;interleaved=0-1\r\nSession: 1\r\n",
        "PLAY": "Session: 1\r\n",
    }
    asked = b""
    while True:
        while b"\r\n\r\n" not in asked:
            piece = connection.recv(4096)
            if not piece:
                raise OSError("closed")
            asked += piece
        request, _, asked = asked.partition(b"\r\n\r\n")
        method = request.split()[0].decode()
        (count,) = re.findall(rb"CSeq: (\d+)", request)
        body = description if method == "DESCRIBE" else ""
        connection.sendall(
            f"RTSP/1.0 200 OK\r\nCSeq: {count.decode()}\r\n{more.get(method, '')}"
            f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
        )
        if method == "PLAY":
            return


def _is_picture(unit: bytes, h265: bool) -> bool:
    return unit[0] >> 1 & 63 < 32 if h265 else unit[0] & 31 in (1, 5)


def _packets(unit: bytes, h265: bool) -> list[bytes]:
    """The unit as it is, or in fragments (RFC 6184, RFC 7798)."""
    if len(unit) <= PIECE:
        return [unit]
    header, rest = (unit[:2], unit[2:]) if h265 else (unit[:1], unit[1:])
    kind = header[0] >> 1 & 63 if h265 else header[0] & 31
    begin = bytes([header[0] & 0x81 | 49 << 1, header[1]]) if h265 else bytes([header[0] & 0xE0 | 28])
    pieces = [rest[start : start + PIECE] for start in range(0, len(rest), PIECE)]
    return [
        begin + bytes([(n == 0) << 7 | (n == len(pieces) - 1) << 6 | kind]) + piece
        for n, piece in enumerate(pieces)
    ]
