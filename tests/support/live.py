"""A live page on a port of its own, asked over real HTTP, and a real browser's tab."""

from __future__ import annotations

import http.client
import json
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any

import numpy as np

from tgkt_edge.runtime.events import HealthEvent, NamedCamera, State, StateEvent
from tgkt_edge.runtime.records import Candidate, Decision
from tgkt_edge.runtime.sinks import Message, RunInfo, open_sink
from tgkt_edge.sensor import PRESETS, SensorSpec

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
WAIT = 30_000  # milliseconds; Chromium on a busy machine
MS = {"capture": 1.0, "preprocess": 2.0, "inference": 10.0, "total": 13.5}
Answer = tuple[int, dict[str, str], bytes]


class Live:
    """A sink that listens on a free port of this machine, and a client of it."""

    TOKEN = "correct-horse-battery"
    MS = MS
    INFO = RunInfo(
        "v4l2:///dev/video0",
        "onnxruntime, CPU",
        ("bedroom", "kitchen"),
        PRESETS["depth"],
        32,
        1_700_000_000.0,
    )

    def __init__(
        self,
        uri: str = "http://127.0.0.1:0",
        token: str | None = None,
        sensor: SensorSpec = PRESETS["depth"],
        cameras: Sequence[str] = (),
        maps: tuple[int, int] | None = None,
    ) -> None:
        self.sink = open_sink(uri, token=token)
        named = tuple(NamedCamera(name, f"v4l2:///dev/{name}", sensor) for name in cameras)
        self.sink.open(replace(self.INFO, sensor=sensor, cameras=named, maps=maps))
        self.name = self.url = self.sink.name
        self.port = int(self.url.rpartition(":")[2])

    def write(self, message: Message) -> None:
        self.sink.write(message)

    def close(self) -> None:
        self.sink.close()

    def ask(self, path: str, method: str = "GET", body: str | None = None, **headers: str) -> Answer:
        """Status, headers in lower case, and body. ``Content_Type="a"`` is the header ``Content-Type: a``."""
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
            named = {name.replace("_", "-"): value for name, value in headers.items()}
            connection.request(method, path, body, named)
            answer = connection.getresponse()
            return answer.status, {k.lower(): v for k, v in answer.getheaders()}, answer.read()

    def ask_json(self, path: str, **headers: str) -> Any:
        code, found, body = self.ask(path, **headers)
        assert code == 200, body
        assert found["content-type"] == "application/json"
        return json.loads(body)

    def stream(self, path: str = "/api/events") -> http.client.HTTPResponse:
        """An open event stream; closing it closes its connection."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.request("GET", path, headers={"Connection": "close"})
        answer = connection.getresponse()
        assert answer.status == 200
        return answer

    @staticmethod
    def events(stream: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
        for line in stream:
            if line.startswith(b"data: ") and b'"version"' in line:
                yield json.loads(line[6:])

    @staticmethod
    def decision(number: int, label: str = "bedroom", **more: Any) -> Message:
        other = "kitchen" if label == "bedroom" else "bedroom"
        record = Decision(
            label=label,
            probability=0.75,
            top=(Candidate(label, 0.75), Candidate(other, 0.25)),
            ms=MS,
            time=1_700_000_000.5 + number,
            frame=number,
            source="v4l2:///dev/video0",
        )
        frame = np.full((48, 64), 1000 + number % 60_000, np.uint16)
        frame[0, 0] = 0
        return Message(replace(record, **more), frame)

    @staticmethod
    def state(name: State, detail: str = "", camera: str = "") -> Message:
        return Message(StateEvent(1_700_000_000.0, name, detail, camera=camera))

    @staticmethod
    def health(flag: str, value: float = 1.5, limit: float = 1.0) -> Message:
        return Message(HealthEvent(1.0, flag, True, value, limit))

    @staticmethod
    def ramp(number: int, label: str = "bedroom") -> Message:
        """1 m at the left edge to 1.063 m at the right, 4 rows of holes at the top."""
        frame = np.tile(np.arange(1000, 1064, dtype=np.uint16), (48, 1))
        frame[:4] = 0
        return Message(Live.decision(number, label).record, frame)


class Tab:
    """A page that must stay silent: no error, no refused policy, no request to anybody but its server."""

    def __init__(self, browser: Any, url: str, **options: Any) -> None:
        self.context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        self.page = self.context.new_page()
        self.page.set_default_timeout(WAIT)
        self.messages: list[str] = []
        self.asked: set[str] = set()
        self.page.on("console", lambda message: self.messages.append(message.text))
        self.page.on("pageerror", lambda error: self.messages.append(str(error)))
        self.page.on("request", lambda request: self.asked.add(request.url))
        self.page.goto(url)

    def wait(self, script: str) -> None:
        """Until it is true. Asked from outside: the page's policy forbids what wait_for_function would put into it."""
        end = time.monotonic() + WAIT / 1000
        while not self.page.evaluate(script):
            assert time.monotonic() < end, f"waited for: {script}"
            self.page.wait_for_timeout(50)

    def text(self, selector: str) -> str:
        return str(self.page.locator(selector).inner_text())

    def close(self) -> None:
        self.context.close()
