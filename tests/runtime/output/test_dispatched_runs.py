"""Runs with several sinks: memory stays flat, and the command line opens what is named."""

from __future__ import annotations

import io
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.support.cli import run_cli, split_start
from tests.support.images import make_frames, save_frames
from tests.support.pipeline import InstantEngine
from tests.support.sinks import Kept
from tests.support.waiting import wait_until
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.runtime import Captured, FrameSource, classify
from tgkt_edge.runtime.output.dispatcher import Fanout
from tgkt_edge.sensor import PRESETS


class Memory(FrameSource):
    """``count`` frames as fast as they are taken."""

    live = False

    def __init__(self, count: int) -> None:
        self.left, self.count = count, count
        self.frame = np.full((8, 8), 2000, np.uint16)

    def read(self) -> Captured | None:
        if not self.left:
            return None
        self.left -= 1
        return Captured(self.frame, self.count - self.left - 1, time.time(), "memory")

    def close(self) -> None:
        pass


def resident() -> int:
    text = Path("/proc/self/status").read_text(encoding="ascii")
    return int(text.split("VmRSS:")[1].split()[0])


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.slow
def test_memory_stays_flat_however_many_frames_come(monkeypatch: pytest.MonkeyPatch) -> None:
    """With a hung sink of each kind, which is where what nobody takes could pile up."""
    queue = 300
    monkeypatch.setattr("tgkt_edge.runtime.output.dispatcher.QUEUE", queue)
    monkeypatch.setattr("tgkt_edge.runtime.output.dispatcher._GRACE", 0.1)
    gate = threading.Event()
    sinks = [Kept("log", gate=gate), Kept("page", lossless=False, gate=gate)]

    class Nowhere(io.StringIO):
        def write(self, text: str) -> int:
            return len(text)

    def go(frames: int) -> Any:
        source = Memory(frames)
        return classify(
            lambda: source,
            InstantEngine(),
            PRESETS["depth"],
            ("a", "b"),
            8,
            sinks=sinks,
            out=Nowhere(),
            log=Nowhere(),
        )

    before_threads = threading.active_count()
    close = Fanout.close

    def impatient(self: Fanout) -> None:
        self.patience = 0.01
        close(self)

    monkeypatch.setattr(Fanout, "close", impatient)  # or each run would wait for the hung ones
    try:
        go(2 * queue)
        before = resident()
        summary = go(40 * queue)
        grown = resident() - before
    finally:
        gate.set()
    assert summary.frames == 40 * queue
    assert grown < 20_000, f"{grown} kB more after {38 * queue} more frames"
    wait_until(lambda: threading.active_count() <= before_threads, "the end of all threads")


# From the command line


@pytest.mark.slow
def test_run_writes_to_the_sinks_that_are_named(depth_bundle: Bundle, tmp_path: Path) -> None:
    frames = save_frames(tmp_path / "frames", make_frames(6))
    log = tmp_path / "run.jsonl"
    done = run_cli(
        "run", depth_bundle.path, "--camera", frames, "--sink", f"jsonl:{log}", "--sink", "jsonl:-"
    )
    assert done.code == 0, done.stderr
    start, written = split_start(log.read_text())
    assert (start, written) == (done.start, done.records)
    assert len(written) == 6
    # Without jsonl:- nothing goes to stdout.
    more = run_cli("run", depth_bundle.path, "--camera", frames, "--sink", f"jsonl:{log}")
    assert (more.code, more.records) == (0, [])
    assert len(log.read_text().splitlines()) == 2 * (1 + 6)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sink", "text"),
    [
        ("jsonl:{file}/x.jsonl", "frame_0.png"),
        ("jsnl:x", "Did you mean 'jsonl:'?"),
        ("http://0.0.0.0:8080", "--token"),
    ],
)
def test_a_sink_that_cannot_be_opened_ends_the_run_before_it_begins(
    sink: str, text: str, depth_bundle: Bundle, tmp_path: Path
) -> None:
    frames = save_frames(tmp_path / "frames", make_frames(2))
    done = run_cli(
        "run", depth_bundle.path, "--camera", frames, "--sink", sink.format(file=frames / "frame_0.png")
    )
    assert (done.code, done.records) == (2, [])
    assert text in done.stderr
