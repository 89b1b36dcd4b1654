"""Decisions to a real Mosquitto: delivered, refused, kept while it is away, and the last will."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkout import REPOSITORY
from tests.support.cli import cli_environment
from tests.support.mqtt import Broker, Subscriber
from tests.support.sinks import decision, inside, opened, write
from tests.support.waiting import wait_until
from tgkt_edge.runtime.events import StateEvent
from tgkt_edge.runtime.records import BadFrame
from tgkt_edge.runtime.sinks import Message


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Any]:
    with Broker(tmp_path) as running:
        yield running


def test_records_arrive_in_order_on_their_topics(broker: Any) -> None:
    with Subscriber(broker.port, "site/cam 1/#") as reader:
        sink = opened(f"mqtt://127.0.0.1:{broker.port}/site/cam%201")
        assert sink.name == f"mqtt://127.0.0.1:{broker.port}/site/cam 1"
        event = StateEvent(1.0, "live", "opened")
        bad = BadFrame("broken", time=1.0, frame=200, source="0")
        for number in range(200):
            sink.write(decision(number))
        sink.write(Message(event))
        sink.write(Message(bad))
        wait_until(lambda: len(reader.got) >= 204, "204 messages")
        by_topic: dict[str, list[Any]] = {}
        for topic, payload, _ in reader.got:
            value = payload if topic.endswith("status") else json.loads(payload)
            by_topic.setdefault(topic, []).append(value)
        assert by_topic["site/cam 1"] == [
            *(decision(number).record.to_dict() for number in range(200)),
            bad.to_dict(),
        ]
        assert by_topic["site/cam 1/events"] == [event.to_dict()]
        assert by_topic["site/cam 1/status"] == ["online"]
        (info,) = by_topic["site/cam 1/info"]
        assert info["classes"] == ["a", "b"]
        assert info["sensor"]["unit_m"] == 0.001
        sink.close()
        sink.close()
        wait_until(lambda: reader.last("site/cam 1/status") == "offline", "offline")
    assert len(reader.got) == 205


def test_status_and_info_are_retained_for_who_comes_later(broker: Any) -> None:
    with closing(opened(f"mqtt://127.0.0.1:{broker.port}/t")) as sink:
        sink.write(decision(1))
        wait_until(
            lambda: not inside(sink)._in_flight and not inside(sink)._waiting and inside(sink)._online,
            "delivery",
        )
        with Subscriber(broker.port) as reader:
            # The decision itself may still be on its way to who is there; it is not retained.
            wait_until(
                lambda: {topic for topic, _, retain in reader.got if retain} == {"t/status", "t/info"}, "both"
            )
            assert {topic for topic, _, retain in reader.got if not retain} <= {"t"}
            assert reader.last("t/status") == "online"


KILLED = """
import sys, time
from tgkt_edge.runtime.records import Decision
from tgkt_edge.runtime.sinks import Message, RunInfo, open_sink
from tgkt_edge.sensor import PRESETS
sink = open_sink(sys.argv[1])
sink.open(RunInfo("0", "cpu", ("a",), PRESETS["depth"], 32, 1.0))
sink.write(Message(Decision("a", 0.5, frame=1)))
time.sleep(120)
"""


@pytest.mark.slow
def test_a_killed_process_leaves_its_last_will(broker: Any) -> None:
    with Subscriber(broker.port) as reader:
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, f"mqtt://127.0.0.1:{broker.port}/t"],
            env=cli_environment(),
        )
        wait_until(lambda: reader.last("t/status") == "online" and reader.frames() == [1], "its first words")
        process.kill()
        process.wait(60)
        wait_until(lambda: reader.last("t/status") == "offline", "the last will")


@pytest.mark.slow
def test_a_device_that_comes_back_after_a_power_cut_is_not_called_offline(broker: Any) -> None:
    uri = f"mqtt://127.0.0.1:{broker.port}/t"
    with Subscriber(broker.port) as reader:
        code = [sys.executable, "-c", KILLED, uri]
        first = subprocess.Popen(code, cwd=REPOSITORY)
        wait_until(lambda: reader.last("t/status") == "online", "the first run")
        os.kill(first.pid, signal.SIGSTOP)  # a power cut, to the broker: silence on an open connection
        second = subprocess.Popen(code, cwd=REPOSITORY)
        try:
            # The broker ends the old session as soon as the device is back, and not later.
            status = ["online", "offline", "online"]
            wait_until(
                lambda: [payload for topic, payload, _ in reader.got if topic == "t/status"] == status, "both"
            )
            assert second.poll() is None
        finally:
            for process in (first, second):
                process.kill()
                process.wait()


@pytest.mark.slow
def test_a_broker_that_comes_late_gets_the_newest_of_the_buffer(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    with closing(opened(f"mqtt://127.0.0.1:{broker.port}/t?buffer=30")) as sink:
        wait_until(lambda: inside(sink).trouble, "the first refusal")
        messages = [write(sink, decision(number)) for number in range(100)]
        assert all("cannot be reached: Connection refused; records wait" in one for one in messages[:30])
        assert "the buffer of 30 records is full, 70 of the oldest were dropped" in messages[-1]
        assert inside(sink).dropped == 70
        with broker, Subscriber(broker.port) as reader:
            wait_until(lambda: len(reader.frames()) == 30, "the buffer")
            assert reader.frames() == list(range(70, 100))


@pytest.mark.slow
def test_fifty_restarts_lose_no_decision_and_leave_no_thread_or_socket(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    broker.start()
    done = threading.Event()
    count = 0
    sink = opened(f"mqtt://127.0.0.1:{broker.port}/t")
    inside(sink)._client.reconnect_delay_set(0.02, 0.05)  # else the test takes minutes
    with Subscriber(broker.port) as reader:

        def produce() -> None:
            nonlocal count
            while not done.is_set():
                write(sink, decision(count))
                count += 1
                done.wait(0.002)

        wait_until(lambda: inside(sink)._online, "the connection")
        producer = threading.Thread(target=produce)
        producer.start()
        try:
            threads = files = 0
            for restart in range(50):
                broker.stop()
                broker.start()
                reader.wait_for_more(f"messages after restart {restart}")
                if restart == 4:
                    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
            assert threading.active_count() <= threads
            assert len(os.listdir("/proc/self/fd")) <= files
        finally:
            done.set()
            producer.join()
        wait_until(lambda: len(set(reader.frames())) == count, f"all {count} decisions")
        frames = reader.frames()
        first_seen = list(dict.fromkeys(frames))
        assert first_seen == list(range(count))  # none lost, and in order
        assert count > 200
        assert inside(sink).dropped == 0
        sink.close()
        broker.stop()


@pytest.mark.slow
def test_wrong_password_is_said_once_and_the_right_one_goes_through(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    subprocess.run(
        ["mosquitto_passwd", "-b", "-c", passwords, "cam", "s3cret"], check=True, capture_output=True
    )
    with Broker(tmp_path, "allow_anonymous false", f"password_file {passwords}") as broker:
        with closing(opened(f"mqtt://cam:wr0ng@127.0.0.1:{broker.port}/t")) as sink:
            wait_until(lambda: "refuses" in inside(sink).trouble, "the refusal")
            messages = [write(sink, decision(number)) for number in range(5)]
            assert all(
                "the broker refuses the connection: Not authorized; records wait" in one for one in messages
            )
            assert "wr0ng" not in "".join(messages) + sink.name + repr(inside(sink)._broker)
        (tmp_path / "pw").write_text("s3cret\n")
        with Subscriber(broker.port, user="cam") as reader:
            uri = f"mqtt://cam@127.0.0.1:{broker.port}/t?password_file={tmp_path}/pw"
            with closing(opened(uri)) as sink:
                sink.write(decision(1))
                wait_until(lambda: reader.frames() == [1], "the decision")
            assert "s3cret" not in "".join(payload for _, payload, _ in reader.got)


@pytest.mark.alone
@pytest.mark.slow
def test_closing_takes_less_than_two_seconds_when_nobody_answers() -> None:
    with closing(socket.create_server(("127.0.0.1", 0), backlog=1)) as silent:  # accepts, never speaks
        sink = opened(f"mqtt://127.0.0.1:{silent.getsockname()[1]}/t")
        sink.write(decision(1))
        time.sleep(0.2)
        begin = time.monotonic()
        sink.close()
        assert time.monotonic() - begin < 2  # the interface's promise, ten times what it takes
        assert inside(sink).dropped == 1
