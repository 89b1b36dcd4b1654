"""A run that watches its bundle, and what it answers meanwhile."""

from __future__ import annotations

import io
import json
import threading
from pathlib import Path
from typing import Any

from tests.support.images import make_frames, save_frames
from tests.support.updates import good_bundle, point
from tests.support.waiting import wait_until
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.runtime import pipeline

CLASSES = ("bedroom", "kitchen", "office")


class Lines(io.StringIO):
    """Takes JSON lines until ``gone``, like a pipe whose reader ends.

    Attributes:
        lines: all of them. updates: the events of updates among them.
    """

    gone = False

    def __init__(self) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.updates: list[dict[str, Any]] = []

    def write(self, text: str) -> int:
        if self.gone:
            raise BrokenPipeError
        self.lines.append(text)
        if '"update"' in text:
            self.updates.append(json.loads(text))
        return len(text)


class Watching:
    """A run in a thread over frames without end, and the link that it watches. A context manager."""

    def __init__(self, folder: Path, **how: Any) -> None:
        self.folder, self.link = folder, folder / "link"
        save_frames(folder / "frames", make_frames(4))
        for favorite, name in enumerate(CLASSES):
            good_bundle(folder / name, favorite)
        point(self.link, folder / "bedroom")
        self.out, self.log = Lines(), io.StringIO()
        self.how = {"camera": str(folder / "frames"), "update_frames": 4, "update_poll": 0.02, **how}
        self.summary: Any = None
        self.thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        self.summary = pipeline.run(
            self.link, watch=True, loop=True, out=self.out, log=self.log, live=False, **self.how
        )

    def __enter__(self) -> Watching:
        self.thread.start()
        self.wait_for_more()
        return self

    def __exit__(self, *error: object) -> None:
        self.out.gone = True
        self.thread.join(60)
        assert not self.thread.is_alive()

    @property
    def records(self) -> list[dict[str, Any]]:
        return list(map(json.loads, self.out.lines))

    @property
    def updates(self) -> list[dict[str, Any]]:
        return self.out.updates

    def wait_for_label(self, label: str) -> None:
        wait_until(lambda: json.loads(self.out.lines[-1]).get("label") == label, f"decisions for {label}")

    def wait_for_more(self) -> None:
        count = len(self.out.lines)
        wait_until(lambda: len(self.out.lines) > count + 5, "decisions")

    def offer(self, name: str) -> dict[str, Any]:
        """Point the link to a bundle; the event that follows."""
        count = len(self.updates)
        point(self.link, self.folder / name)
        return self.next_update(count, f"what becomes of {name}")

    def next_update(self, count: int, what: str) -> dict[str, Any]:
        """The update event after the first ``count``."""
        wait_until(lambda: len(self.updates) > count, what)
        return self.updates[count]

    def check_order(self) -> None:
        """No frame is lost or answered twice, and each is answered by the bundle that the events say."""
        digests = {Bundle.open(self.folder / name).digest: name for name in CLASSES}
        start, *records = self.records
        current = digests[start["bundle"]]
        frames = []
        for record in records:
            if record.get("event") == "update":
                assert record["before"] == next(d for d, name in digests.items() if name == current)
                current = digests[record["bundle"]] if record["state"] == "accepted" else current
            elif "frame" in record:
                frames.append(record["frame"])
                assert record["label"] == current, record
        assert frames == list(range(len(frames)))
