"""Many viewers, slow ones and strange ones: none holds up the run, and all are gone when it ends."""

from __future__ import annotations

import errno
import http.client
import socket
import subprocess
import sys
import threading
import time
from contextlib import closing, suppress

import numpy as np
import pytest

from tests.support.cli import cli_environment
from tests.support.live import Live
from tests.support.waiting import wait_until
from tgkt_edge.runtime.sinks import Message
from tgkt_edge.runtime.sinks.live import connection


@pytest.mark.slow
def test_a_hundred_viewers_all_see_the_newest(live: Live) -> None:
    streams = [live.stream() for _ in range(100)]
    done = threading.Event()

    def produce() -> None:
        number = 0
        while not done.wait(0.02):
            live.write(Live.decision(number, "kitchen" if number > 20 else "bedroom"))
            number += 1
        live.write(Live.decision(number, "bedroom", source="last"))

    producer = threading.Thread(target=produce)
    producer.start()
    try:
        for stream in streams:
            until_kitchen = (
                event
                for event in Live.events(stream)
                if (event.get("latest") or {}).get("label") == "kitchen"
            )
            assert next(until_kitchen)["counts"]["frames"] > 20
    finally:
        done.set()
        producer.join()
    for stream in streams:
        last = next(e for e in Live.events(stream) if (e.get("latest") or {}).get("source") == "last")
        assert last["state"]["state"] == "live"
        stream.close()


def test_a_viewer_that_reads_nothing_delays_nobody(live: Live) -> None:
    big = np.random.default_rng(0).integers(0, 65535, (480, 640), dtype=np.uint16)
    lazy = []
    for path in ["/api/events", "/api/frame"] * 10:
        one = socket.create_connection(("127.0.0.1", live.port))
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.sendall(
            (f"GET {path} HTTP/1.1\r\nHost: localhost\r\n\r\n" * (1 if "events" in path else 20)).encode()
        )
        lazy.append(one)
    live.write(Message(Live.decision(0).record, big))
    for number in range(1, 2000):
        live.write(Message(Live.decision(number).record, big))  # returns although nobody reads
    assert live.ask_json("/api/latest")["latest"]["frame"] == 1999
    assert len(live.ask("/api/frame")[2]) == big.nbytes
    for one in lazy:
        one.close()


@pytest.mark.alone
def test_it_ends_at_once_with_viewers_and_slow_readers_and_leaves_nothing() -> None:
    live = Live()
    threads = threading.active_count()
    for number in range(3):
        live.write(Live.decision(number))
    streams = [live.stream() for _ in range(5)]
    lazy = socket.create_connection(("127.0.0.1", live.port))
    lazy.sendall(b"GET /api/events HTTP/1.1\r\nHost: localhost\r\n\r\n")
    half = socket.create_connection(("127.0.0.1", live.port))
    half.sendall(b"GET / HTTP/1.1\r\n")
    begin = time.monotonic()
    live.close()
    live.close()
    assert time.monotonic() - begin < 2  # the interface's promise
    assert threading.active_count() == threads - 1
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", live.port))
    for stream in streams:
        stream.close()
    lazy.close()
    half.close()


def test_the_port_is_free_again_at_once() -> None:
    first = Live()
    port = first.port
    assert first.ask("/healthz")[0] == 200
    first.close()
    with closing(Live(f"http://127.0.0.1:{port}")) as again:
        assert again.ask("/healthz")[0] == 200


def test_garbage_over_the_wire_is_answered_and_forgotten(live: Live) -> None:
    noise = (
        b"\x16\x03\x01\x02\x00",
        b"GET /\xff HTTP/1.1\r\nHost: \xff\r\n\r\n",
        b"A" * 200_000,
        b"GET / HTTP/1.1\r\n\r\n",
    )
    for text in noise:
        with closing(socket.create_connection(("127.0.0.1", live.port), 30)) as one:
            try:
                one.sendall(text)
                one.shutdown(socket.SHUT_WR)
                assert not one.recv(4096).startswith(b"HTTP/1.1 200")
            except OSError as error:  # it may hang up before all is sent: ENOTCONN is no ConnectionError
                if error.errno not in {errno.ECONNRESET, errno.EPIPE, errno.ENOTCONN}:
                    raise
    assert live.ask("/", "POST", "x")[0] == 405
    assert live.ask("/api/../../etc/passwd")[0] == 404
    assert live.ask("/healthz")[0] == 200


def closed_by_the_server(one: socket.socket) -> bool:
    one.settimeout(0.01)
    try:
        return one.recv(1) == b""
    except TimeoutError:
        return False
    except ConnectionError:
        return True


@pytest.mark.slow
def test_a_connection_that_asks_for_nothing_is_closed_and_a_viewer_is_not(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "PATIENCE", 0.5)
    stream = live.stream()
    idle, half, login = (socket.create_connection(("127.0.0.1", live.port)) for _ in range(3))
    login.sendall(b"POST /login HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\ntoken")
    half.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\nX-Slow: ")

    def all_closed() -> bool:
        with suppress(ConnectionError):
            half.sendall(b"x")  # a byte now and then does not help
        return all(closed_by_the_server(one) for one in (idle, half, login))

    wait_until(all_closed, "connections without a request to be closed")
    live.write(Live.decision(0, "kitchen"))  # the open stream took longer than that, and goes on
    assert next(e for e in Live.events(stream) if e.get("latest"))["latest"]["label"] == "kitchen"
    for one in (idle, half, login):
        one.close()
    stream.close()


def test_more_connections_than_files_leave_room_for_the_run(
    live: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connection, "TOO_MANY", 20)
    many = [socket.create_connection(("127.0.0.1", live.port)) for _ in range(60)]
    wait_until(lambda: sum(map(closed_by_the_server, many)) == 40, "those over the limit to be closed")
    for one in many:
        one.close()
    wait_until(lambda: answers(live), "room again")


def answers(live: Live) -> bool:
    try:
        return bool(live.ask("/healthz")[0] == 200)
    except (ConnectionError, http.client.HTTPException):
        return False


INTERRUPTED = """
import signal, sys, time
from tgkt_edge.runtime.sinks import RunInfo, open_sink
from tgkt_edge.sensor import PRESETS
seen = []
signal.signal(signal.SIGTERM, lambda *_: seen.append(1))
sink = open_sink("http://127.0.0.1:0")
sink.open(RunInfo("0", "cpu", ("a",), PRESETS["depth"], 32, 1.0))
print(sink.url, flush=True)
while not seen:
    time.sleep(0.02)
sink.close()
print("closed", flush=True)
"""


@pytest.mark.slow
def test_signals_stay_with_the_run() -> None:
    """The server is a guest in the process: it takes neither its signals nor its logging."""
    process = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        env=cli_environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline().startswith("http://127.0.0.1:")
    process.terminate()
    out, err = process.communicate(timeout=60)
    assert (process.returncode, out, err) == (0, "closed\n", "")
