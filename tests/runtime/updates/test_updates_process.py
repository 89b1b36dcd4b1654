"""``run --watch`` as a process: signals, and an end while a bundle is loaded."""

from __future__ import annotations

import json
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from tests.support.cli import cli_command, cli_environment
from tests.support.updates import heavy_bundle, point
from tests.support.waiting import wait_until
from tests.support.watching import Watching


@pytest.mark.slow
@pytest.mark.parametrize("watch", [True, False])
def test_sighup_looks_at_the_bundle_where_it_is_watched_and_ends_the_run_where_not(
    tmp_path: Path, watch: bool
) -> None:
    run = Watching(tmp_path)
    out = tmp_path / "out.jsonl"
    given = ["--watch"] if watch else []
    command = cli_command("run", run.link, "--camera", tmp_path / "frames", "--loop", "--no-live", *given)
    with out.open("wb") as file, (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=file, stderr=log, env=cli_environment())
        try:
            wait_until(lambda: out.read_bytes().count(b"label") > 3, "decisions")
            process.send_signal(signal.SIGHUP)
            if watch:
                wait_until(lambda: b'"unchanged"' in out.read_bytes(), "an event")
                point(run.link, tmp_path / "nowhere")
                wait_until(lambda: b'"refused"' in out.read_bytes(), "a refusal")
                assert process.poll() is None
                process.send_signal(signal.SIGTERM)
            assert process.wait(60) == 0
        finally:
            process.kill()
    text = (tmp_path / "log").read_text()
    assert "ended by: terminated" in text
    assert ("does not exist" in text) == watch


@pytest.mark.slow
@pytest.mark.parametrize("stop", [signal.SIGTERM, signal.SIGINT])
def test_a_run_that_ends_while_a_bundle_is_loaded_ends_in_time_and_without_a_crash(
    tmp_path: Path, stop: signal.Signals
) -> None:
    run = Watching(tmp_path)
    heavy_bundle(tmp_path / "heavy")
    out = tmp_path / "out.jsonl"
    for delay in (0.7, 0.85, 1.0):  # it is looked for twice a second, and is loaded for about as long
        point(run.link, tmp_path / "bedroom")
        camera = ("--camera", tmp_path / "frames", "--loop", "--no-live", "--watch")
        with out.open("wb") as file, (tmp_path / "log").open("wb") as log:
            command = cli_command("run", run.link, *camera)
            process = subprocess.Popen(command, stdout=file, stderr=log, env=cli_environment())
            try:
                wait_until(lambda: out.read_bytes().count(b"label") > 3, "decisions")
                point(run.link, tmp_path / "heavy")
                time.sleep(delay)
                process.send_signal(stop)
                begin = time.monotonic()
                assert process.wait(60) == (0 if stop == signal.SIGTERM else 130), delay
                assert time.monotonic() - begin < 15  # two on a quiet machine
            finally:
                process.kill()
        lines = out.read_text()
        assert lines.endswith("\n")
        assert json.loads(lines.splitlines()[-1])
        assert "ended by: " in (tmp_path / "log").read_text()
    shutil.rmtree(tmp_path / "heavy")
