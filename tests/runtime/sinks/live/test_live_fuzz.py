"""Damaged requests: the server goes on answering, and nothing is asked of the run without the token."""

from __future__ import annotations

import contextlib
import random
import socket
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest

from tests.support.counts import repeats
from tests.support.live import Live
from tgkt_edge.runtime.sinks import Sink, open_sink

REQUESTS = repeats(2_000, 10_000)
WORKERS = 100
"""Most of them wait for the answer to a request that is not whole."""
PATIENCE = 0.3  # seconds: a request that is not whole is waited for

WHOLE = (
    b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n",
    b"GET /camera/door/api/frame?width=320 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
    b"GET /api/latest HTTP/1.1\r\nHost: 127.0.0.1\r\nCookie: tgkt_edge_1=x; a=b\r\nConnection: close\r\n\r\n",
    b"POST /api/reload HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n",
    b"POST /api/reload?to=previous HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
    b"POST /login HTTP/1.1\r\nHost: 127.0.0.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nuser=\r\n0\r\n\r\n",
)


def damaged(chance: random.Random) -> bytes:
    """A request of which some bytes are changed, missing, doubled or strange; now and then the whole of it."""
    request = bytearray(chance.choice(WHOLE))
    for _ in range(chance.choice((0, 1, 1, 2, 5, 20))):
        place = chance.randrange(len(request))
        kind = chance.randrange(5)
        if kind == 0:
            request[place] = chance.randrange(256)
        elif kind == 1:
            del request[place : place + chance.randint(1, 8)]
        elif kind == 2:
            request[place:place] = request[place : place + chance.randint(1, 40)]
        elif kind == 3:
            request[place:place] = chance.choice(
                (b"\r\n", b"\0", b"\xff\xfe", b" ", b"A" * 5000, b"%00", b"?token=")
            )
        else:
            del request[place:]
        if not request:
            return b"\r\n"
    return bytes(request)


def send(port: int, seed: int) -> str:
    """The status of one damaged request; "" where the server waits for more of it, or says nothing."""
    with (
        contextlib.suppress(OSError),
        closing(socket.create_connection(("127.0.0.1", port), 20)) as connection,
    ):
        connection.sendall(damaged(random.Random(seed)))
        connection.settimeout(PATIENCE)
        return connection.recv(64).partition(b" ")[2][:3].decode("ascii", "replace")
    return ""


def opened(asked: list[bool]) -> Sink:
    sink = open_sink("http://127.0.0.1:0", token=Live.TOKEN, update=asked.append)
    sink.open(Live.INFO)
    return sink


@pytest.mark.slow
def test_damaged_requests_crash_nothing_and_ask_nothing_of_the_run(
    caplog: pytest.LogCaptureFixture,
) -> None:
    asked: list[bool] = []
    with closing(opened(asked)) as sink:
        port = int(sink.name.rpartition(":")[2])
        with ThreadPoolExecutor(WORKERS) as pool:
            answers = Counter(pool.map(lambda seed: send(port, seed), range(REQUESTS)))
        print(answers)
        client = Live.__new__(Live)
        client.port = port
        assert client.ask("/api/info", Authorization=f"Bearer {Live.TOKEN}")[0] == 200
    assert asked == []
    assert caplog.messages == []  # nobody can fill a log
    assert answers["401"] > REQUESTS / 5  # many are still requests
    assert answers["400"] > REQUESTS / 50
    assert not {code for code in answers if code.startswith(("2", "5"))}, answers
