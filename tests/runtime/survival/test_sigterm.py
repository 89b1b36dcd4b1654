"""SIGTERM while the camera's driver hangs: two seconds, and every sink has what was decided."""

from __future__ import annotations

import json
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import cli_command
from tests.support.mqtt import Broker, Subscriber
from tests.support.survival import WatchedRun
from tests.support.v4l2 import CAMERA
from tests.support.waiting import wait_until
from tgkt_edge.bundle.bundle import Bundle


def quiet(run: Any) -> bool:
    """Whether no record came for a while."""
    before = len(run.records)
    time.sleep(0.1)
    return len(run.records) == before


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.parametrize("case", ["hung from the start", "hung later", "hung later, as is the broker"])
def test_sigterm_ends_a_run_whose_driver_hangs_within_two_seconds(
    tmp_path: Path,
    shim: str,
    depth_bundle: Bundle,
    case: str,
) -> None:
    log = tmp_path / "log.jsonl"
    with Broker(tmp_path) as broker, Subscriber(broker.port) as reader:
        sinks = ["jsonl:-", f"jsonl:{log}", f"mqtt://127.0.0.1:{broker.port}/t", "http://127.0.0.1:0"]
        if case == "hung from the start":
            (tmp_path / "HANG").touch()  # opening takes a first frame
        words = cli_command("run", depth_bundle.path, "--camera", CAMERA, "--drop", "none", "--no-live")
        command = [*words, *(word for sink in sinks for word in ("--sink", sink))]
        assert broker.process is not None
        with WatchedRun(command, tmp_path, shim, FPS=500) as run:
            run.until(lambda: reader.last("t/status") == "online", "the sinks")
            if case != "hung from the start":
                run.more(200)
            if "broker" in case:
                broker.process.send_signal(signal.SIGSTOP)
                run.more(200)
            run.switches["HANG"].touch()
            wait_until(lambda: quiet(run), "the hang")
            seconds = run.end()
            broker.process.send_signal(signal.SIGCONT)
        frames, messages = run.frames, run.stderr.read_text()
        print(f"{case}: {len(frames)} frames, gone after {seconds:.2f} s\n{messages}")
        assert run.process.returncode == 0, messages
        assert "ended by: terminated" in messages
        assert frames == list(range(len(frames)))
        assert (len(frames) > 150) == (case != "hung from the start")
        assert [r["frame"] for r in map(json.loads, log.read_text().splitlines()) if "frame" in r] == frames
        wait_until(lambda: reader.last("t/status") == "offline", "the sink's last word or the last will", 60)
        if "broker" not in case:
            assert reader.frames() == frames
        assert seconds < 2  # what a service manager is promised
