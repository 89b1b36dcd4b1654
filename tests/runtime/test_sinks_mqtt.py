"""Decisions to a real Mosquitto: delivered, encrypted, refused, kept while it is away, and the last will."""

from __future__ import annotations

import gc
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any

import paho.mqtt.client as mqtt
import pytest
from paho.mqtt.enums import CallbackAPIVersion

from tgkt_edge.errors import MissingDependency, UsageError
from tgkt_edge.runtime.sinks import Message, RunInfo, Sink, open_sink
from tgkt_edge.runtime.sinks.broker import parse_broker
from tgkt_edge.sensor import PRESETS

INFO = RunInfo("v4l2:///dev/video0", "onnxruntime cpu", ("a", "b"), PRESETS["depth"], 32, 1.0)
MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"
pytestmark = pytest.mark.skipif(not Path(MOSQUITTO).exists(), reason="Mosquitto is not installed")


def decision(number: int) -> Message:
    return Message({"time": 1.0, "frame": number, "source": "0", "label": "a", "probability": 0.5})


def inside(sink: Sink) -> Any:
    """The sink with its private parts, for what cannot be seen from outside at a given moment."""
    return sink


def until(condition: Callable[[], Any], what: str, seconds: float = 30) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, f"waited {seconds} s for: {what}"
        time.sleep(0.01)


class Broker:
    """A Mosquitto in a process of its own that keeps its messages over a restart."""

    def __init__(self, folder: Path, *lines: str) -> None:
        with closing(socket.create_server(("127.0.0.1", 0))) as free:
            self.port = free.getsockname()[1]
        self.config = folder / "mosquitto.conf"
        (folder / "store").mkdir()
        self.config.write_text(
            "\n".join(
                [
                    f"listener {self.port} 127.0.0.1",
                    "user root" if os.geteuid() == 0 else "",
                    "persistence true",
                    f"persistence_location {folder}/store/",
                    "max_queued_messages 0",
                    *(lines or ["allow_anonymous true"]),
                    "",
                ]
            )
        )
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.process = subprocess.Popen(
            [MOSQUITTO, "-c", str(self.config)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until(self.answers, "Mosquitto's port")

    def answers(self) -> bool:
        assert self.process is not None
        assert self.process.poll() is None, "Mosquitto ended"
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except ConnectionError:
            return False
        return True

    def stop(self) -> None:
        if self.process is not None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(20)
            self.process = None

    def __enter__(self) -> Broker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Reader:
    """A subscriber that the broker remembers over restarts of either."""

    def __init__(
        self, port: int, topic: str = "t/#", ca: Path | None = None, user: str | None = None
    ) -> None:
        self.got: list[tuple[str, str, bool]] = []
        self.client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="reader", clean_session=False)
        if ca is not None:
            self.client.tls_set(str(ca))
        if user is not None:
            self.client.username_pw_set(user, "s3cret")
        self.subscribed = threading.Event()
        self.client.reconnect_delay_set(0.05, 0.1)  # type: ignore[arg-type]  # fractions work
        self.client.on_connect = lambda client, *_: client.subscribe(topic, qos=1) and None
        self.client.on_subscribe = lambda *_: self.subscribed.set()
        self.client.on_message = lambda _client, _data, m: self.got.append(
            (m.topic, m.payload.decode(), m.retain)
        )
        self.client.connect("127.0.0.1" if ca is None else "localhost", port)
        self.client.loop_start()
        assert self.subscribed.wait(20)

    def frames(self) -> list[int]:
        return [json.loads(payload)["frame"] for topic, payload, _ in list(self.got) if topic == "t"]

    def last(self, topic: str) -> str | None:
        found = [payload for name, payload, _ in list(self.got) if name == topic]
        return found[-1] if found else None

    def __enter__(self) -> Reader:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    with Broker(tmp_path) as running:
        yield running


def opened(uri: str) -> Sink:
    sink = open_sink(uri)
    sink.open(INFO)
    return sink


def write(sink: Sink, message: Message) -> str:
    """What was said about trouble, or nothing."""
    try:
        sink.write(message)
    except OSError as error:
        return str(error)
    return ""


def test_records_arrive_in_order_on_their_topics(broker: Broker) -> None:
    with Reader(broker.port, "site/cam 1/#") as reader:
        sink = opened(f"mqtt://127.0.0.1:{broker.port}/site/cam%201")
        assert sink.name == f"mqtt://127.0.0.1:{broker.port}/site/cam 1"
        event = {"time": 1.0, "event": "state", "state": "live", "detail": "opened"}
        bad = {"time": 1.0, "frame": 200, "source": "0", "error": "broken"}
        for number in range(200):
            sink.write(decision(number))
        sink.write(Message(event))
        sink.write(Message(bad))
        until(lambda: len(reader.got) >= 204, "204 messages")
        by_topic: dict[str, list[Any]] = {}
        for topic, payload, _ in reader.got:
            value = payload if topic.endswith("status") else json.loads(payload)
            by_topic.setdefault(topic, []).append(value)
        assert by_topic["site/cam 1"] == [*(decision(number).record for number in range(200)), bad]
        assert by_topic["site/cam 1/events"] == [event]
        assert by_topic["site/cam 1/status"] == ["online"]
        (info,) = by_topic["site/cam 1/info"]
        assert info["classes"] == ["a", "b"]
        assert info["sensor"]["unit_m"] == 0.001
        sink.close()
        sink.close()
        until(lambda: reader.last("site/cam 1/status") == "offline", "offline")
    assert len(reader.got) == 205


def test_status_and_info_are_retained_for_who_comes_later(broker: Broker) -> None:
    with closing(opened(f"mqtt://127.0.0.1:{broker.port}/t")) as sink:
        sink.write(decision(1))
        until(
            lambda: not inside(sink)._in_flight and not inside(sink)._waiting and inside(sink)._online,
            "delivery",
        )
        with Reader(broker.port) as reader:
            # The decision itself may still be on its way to who is there; it is not retained.
            until(
                lambda: {topic for topic, _, retain in reader.got if retain} == {"t/status", "t/info"}, "both"
            )
            assert {topic for topic, _, retain in reader.got if not retain} <= {"t"}
            assert reader.last("t/status") == "online"


KILLED = """
import sys, time
from tgkt_edge.runtime.sinks import Message, RunInfo, open_sink
from tgkt_edge.sensor import PRESETS
sink = open_sink(sys.argv[1])
sink.open(RunInfo("0", "cpu", ("a",), PRESETS["depth"], 32, 1.0))
sink.write(Message({"frame": 1}))
time.sleep(120)
"""


def test_a_killed_process_leaves_its_last_will(broker: Broker, repository: Path) -> None:
    with Reader(broker.port) as reader:
        process = subprocess.Popen(
            [sys.executable, "-c", KILLED, f"mqtt://127.0.0.1:{broker.port}/t"],
            env={**os.environ, "PYTHONPATH": str(repository)},
        )
        until(lambda: reader.last("t/status") == "online" and reader.frames() == [1], "its first words")
        process.kill()
        process.wait(20)
        until(lambda: reader.last("t/status") == "offline", "the last will")


def test_a_broker_that_comes_late_gets_the_newest_of_the_buffer(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    with closing(opened(f"mqtt://127.0.0.1:{broker.port}/t?buffer=30")) as sink:
        until(lambda: inside(sink)._trouble, "the first refusal")
        said = [write(sink, decision(number)) for number in range(100)]
        assert "cannot be reached: Connection refused; records wait" in said[0]
        assert said[1:30] == [""] * 29  # said once
        assert "the buffer of 30 records is full, 70 of the oldest were dropped" in said[-1]
        assert inside(sink).dropped == 70
        with broker, Reader(broker.port) as reader:
            until(lambda: len(reader.frames()) == 30, "the buffer")
            assert reader.frames() == list(range(70, 100))


def test_fifty_restarts_lose_no_decision_and_leave_no_thread_or_socket(tmp_path: Path) -> None:
    broker = Broker(tmp_path)
    broker.start()
    done = threading.Event()
    count = 0
    sink = opened(f"mqtt://127.0.0.1:{broker.port}/t")
    inside(sink)._client.reconnect_delay_set(0.02, 0.05)  # else the test takes minutes
    with Reader(broker.port) as reader:

        def produce() -> None:
            nonlocal count
            while not done.is_set():
                write(sink, decision(count))
                count += 1
                done.wait(0.002)

        until(lambda: inside(sink)._online, "the connection")
        producer = threading.Thread(target=produce)
        producer.start()
        try:
            threads = files = 0
            for restart in range(50):
                broker.stop()
                broker.start()
                before = len(reader.got)
                until(lambda before=before: len(reader.got) > before + 5, f"messages after restart {restart}")  # type: ignore[misc]
                if restart == 4:
                    threads, files = threading.active_count(), len(os.listdir("/proc/self/fd"))
            assert threading.active_count() <= threads
            assert len(os.listdir("/proc/self/fd")) <= files
        finally:
            done.set()
            producer.join()
        until(lambda: len(set(reader.frames())) == count, f"all {count} decisions")
        frames = reader.frames()
        first_seen = list(dict.fromkeys(frames))
        assert first_seen == list(range(count))  # none lost, and in order
        assert count > 200
        assert inside(sink).dropped == 0
        sink.close()
        broker.stop()


def test_wrong_password_is_said_once_and_the_right_one_goes_through(tmp_path: Path) -> None:
    passwords = tmp_path / "passwords"
    subprocess.run(
        ["mosquitto_passwd", "-b", "-c", passwords, "cam", "s3cret"], check=True, capture_output=True
    )
    with Broker(tmp_path, "allow_anonymous false", f"password_file {passwords}") as broker:
        with closing(opened(f"mqtt://cam:wr0ng@127.0.0.1:{broker.port}/t")) as sink:
            until(lambda: "refuses" in inside(sink)._trouble, "the refusal")
            said = [write(sink, decision(number)) for number in range(5)]
            assert "the broker refuses the connection: Not authorized" in said[0]
            assert said[1:] == [""] * 4
            assert "wr0ng" not in "".join(said) + sink.name + repr(inside(sink)._broker)
        (tmp_path / "pw").write_text("s3cret\n")
        with Reader(broker.port, user="cam") as reader:
            uri = f"mqtt://cam@127.0.0.1:{broker.port}/t?password_file={tmp_path}/pw"
            with closing(opened(uri)) as sink:
                sink.write(decision(1))
                until(lambda: reader.frames() == [1], "the decision")
            assert "s3cret" not in "".join(payload for _, payload, _ in reader.got)


def openssl(folder: Path, *arguments: str) -> None:
    subprocess.run(["openssl", *arguments], cwd=folder, check=True, capture_output=True)


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An authority, a certificate of it for ``localhost``, one for a client, and another authority."""
    if not shutil.which("openssl"):
        pytest.skip("openssl is not installed")
    folder = tmp_path_factory.mktemp("certificates")
    key = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]
    for name in ("ca", "other"):
        openssl(
            folder,
            "req",
            "-x509",
            *key,
            "-keyout",
            f"{name}.key",
            "-out",
            f"{name}.crt",
            "-subj",
            f"/CN={name}",
        )
    for name, names in (("server", "DNS:localhost"), ("client", "DNS:cam")):
        openssl(folder, "req", *key, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN={name}")
        (folder / f"{name}.ext").write_text(f"subjectAltName={names}\n")
        signed = [
            "-CA",
            "ca.crt",
            "-CAkey",
            "ca.key",
            "-CAcreateserial",
            "-days",
            "2",
            "-extfile",
            f"{name}.ext",
        ]
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", *signed, "-out", f"{name}.crt")
    return folder


@pytest.fixture
def others_garbage() -> None:
    """Sockets that earlier tests left to the garbage collector are not this test's."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


@pytest.mark.usefixtures("others_garbage")
@pytest.mark.filterwarnings("error::pytest.PytestUnraisableExceptionWarning")  # a socket left unclosed
def test_tls_with_an_own_authority_and_a_client_certificate(tmp_path: Path, certificates: Path) -> None:
    c = certificates
    lines = [
        f"cafile {c}/ca.crt",
        f"certfile {c}/server.crt",
        f"keyfile {c}/server.key",
        "allow_anonymous true",
    ]
    plain, strict = tmp_path / "plain", tmp_path / "strict"
    plain.mkdir()
    strict.mkdir()
    with Broker(plain, *lines) as broker, Reader(broker.port, ca=c / "ca.crt") as reader:
        with closing(opened(f"mqtts://localhost:{broker.port}/t?ca={c}/ca.crt")) as sink:
            sink.write(decision(5))
            until(lambda: reader.frames() == [5], "the decision")
        for uri, reason in (
            (f"mqtts://localhost:{broker.port}/t?ca={c}/other.crt", "certificate is not accepted: "),
            (f"mqtts://localhost:{broker.port}/t", "Give its authority with ?ca=FILE"),
            (f"mqtts://127.0.0.1:{broker.port}/t?ca={c}/ca.crt", "not accepted: IP address mismatch"),
        ):
            with closing(opened(uri)) as sink:
                until(partial(getattr, sink, "_trouble"), "the refusal")
                assert reason in write(sink, decision(6))
        gc.collect()
        assert reader.frames() == [5]
    with Broker(strict, *lines, "require_certificate true") as broker:
        uri = f"mqtts://localhost:{broker.port}/t?ca={c}/ca.crt"
        with closing(opened(f"{uri}&cert={c}/client.crt&key={c}/client.key")) as sink:
            until(lambda: inside(sink)._online, "the connection")
        with closing(opened(uri)) as sink:
            until(lambda: inside(sink)._trouble, "the refusal")
            assert "Does it want a certificate" in write(sink, decision(7))
            assert not inside(sink)._online


def test_closing_takes_less_than_two_seconds_when_nobody_answers() -> None:
    with closing(socket.create_server(("127.0.0.1", 0), backlog=1)) as silent:  # accepts, never speaks
        sink = opened(f"mqtt://127.0.0.1:{silent.getsockname()[1]}/t")
        sink.write(decision(1))
        time.sleep(0.2)
        begin = time.monotonic()
        sink.close()
        assert time.monotonic() - begin < 2  # the interface's promise, ten times what it takes
        assert inside(sink).dropped == 1


@pytest.mark.parametrize(
    ("uri", "words"),
    [
        ("mqtt://host", ["wanted mqtt://host/topic"]),
        ("mqtt:///t", ["wanted mqtt://host/topic"]),
        ("mqtt://host:99999/t", ["not a host and port"]),
        ("mqtt://u:hunter2@host/a/+/b", ["no '+', '#'"]),
        ("mqtt://u:hunter2@host/t?quos=1", ["unknown option 'quos'", "Did you mean 'qos'"]),
        ("mqtt://u:hunter2@host/t?qos=3", ["qos=3", "from 0 to 2"]),
        ("mqtt://u:hunter2@host/t?ca=x", ["'ca' needs an encrypted connection: mqtts://"]),
        ("mqtt://:hunter2@host/t", ["a password needs a user"]),
        ("mqtt://u:hunter2@host/t?password_file=x", ["give one of them"]),
        ("mqtt://u@host/t?password_file=/no/file", ["/no/file cannot be read: No such file"]),
        ("mqtts://u:hunter2@host/t?key=x", ["give 'cert', too"]),
        ("mqtts://u:hunter2@host/t?ca=/no/file", ["ca=/no/file cannot be used: No such file"]),
        ("mqtts://u:hunter2@host/t?ca={}", ["no certificate or crl found", "Wanted a PEM file"]),
        ("mqtts://u:hunter2@host/t?cert={}", ["cannot be used", "unlocked key"]),
    ],
)
def test_bad_uris_and_certificates_exit_2_and_show_no_password(
    tmp_path: Path, uri: str, words: list[str]
) -> None:
    (tmp_path / "empty.pem").write_text("nothing\n")
    with pytest.raises(UsageError) as caught:
        opened(uri.format(tmp_path / "empty.pem"))
    for word in words:
        assert word in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_locked_key_is_an_error_not_a_question(certificates: Path) -> None:
    if not (certificates / "locked.key").exists():
        locked = ["pkey", "-in", "client.key", "-aes256", "-passout", "pass:x", "-out", "locked.key"]
        openssl(certificates, *locked)
    with pytest.raises(UsageError, match="unlocked key"):
        opened(f"mqtts://host/t?cert={certificates}/client.crt&key={certificates}/locked.key")


def test_the_parts_of_a_uri() -> None:
    broker = parse_broker("mqtts://cam%40site:p%40ss%2Fw@[::1]/a/b%3F?client_id=x&buffer=7&qos=0")
    assert (broker.host, broker.port, broker.topic) == ("::1", 8883, "a/b?")
    assert (broker.user, broker.password) == ("cam@site", "p@ss/w")
    assert (broker.client_id, broker.buffer, broker.qos) == ("x", 7, 0)
    assert broker.name == "mqtts://[::1]:8883/a/b?"
    assert "p@ss" not in repr(broker)
    assert parse_broker("mqtt://h/t").port == 1883
    assert parse_broker("mqtt://h/t").client_id != parse_broker("mqtt://h/t").client_id


def test_a_missing_library_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    with pytest.raises(MissingDependency, match=r"pip install 'tgkt-edge\[sinks\]'"):
        open_sink("mqtt://host/t")
