"""A real broker and a real subscriber."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import threading
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.waiting import wait_until

MOSQUITTO = shutil.which("mosquitto") or "/usr/sbin/mosquitto"


class Broker:
    """A Mosquitto in a process of its own that keeps its messages over a restart; without Mosquitto the test skips."""

    def __init__(self, folder: Path, *lines: str) -> None:
        if not Path(MOSQUITTO).exists():
            pytest.skip("Mosquitto is not installed")
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
        wait_until(self.answers, "Mosquitto's port")

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
            self.process.wait(60)
            self.process = None

    def __enter__(self) -> Broker:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class Subscriber:
    """A subscriber that the broker remembers over restarts of either."""

    def __init__(
        self, port: int, topic: str = "t/#", ca: Path | None = None, user: str | None = None
    ) -> None:
        import paho.mqtt.client as mqtt
        from paho.mqtt.enums import CallbackAPIVersion

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
        assert self.subscribed.wait(60)

    def wait_for_more(self, what: str, count: int = 5, seconds: float = 30) -> None:
        """Until more than so many further messages have come."""
        before = len(self.got)
        wait_until(lambda: len(self.got) > before + count, what, seconds)

    def frames(self) -> list[int]:
        return [json.loads(payload)["frame"] for topic, payload, _ in list(self.got) if topic == "t"]

    def last(self, topic: str) -> str | None:
        found = [payload for name, payload, _ in list(self.got) if name == topic]
        return found[-1] if found else None

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.disconnect()
        self.client.loop_stop()
