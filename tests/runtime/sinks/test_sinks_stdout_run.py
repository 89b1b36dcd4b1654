"""Whole runs whose reader is slow, stopped, or was never there."""

from __future__ import annotations

import io
import json
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import TextIO

import numpy as np
import pytest

from tests.support.cli import cli_command, cli_environment, split_start
from tests.support.images import make_frames, save_frames
from tests.support.pipeline import InstantEngine
from tests.support.waiting import wait_until
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.errors import SourceLostError
from tgkt_edge.runtime import Captured, FrameSource, classify
from tgkt_edge.runtime.sinks.jsonl import JsonlSink
from tgkt_edge.sensor import PRESETS

PIPE = 64 * 1024  # bytes that Linux keeps in a pipe


class Camera(FrameSource):
    """Five hundred frames, as fast as they are taken."""

    live, number = True, 0

    def read(self) -> Captured | None:
        self.number += 1
        frame = np.full((8, 8), self.number, np.uint16)
        return Captured(frame, self.number - 1, time.time(), "camera") if self.number <= 500 else None

    def close(self) -> None:
        pass


def test_another_sink_gets_every_decision_on_a_camera_while_the_reader_of_stdout_hangs(
    tmp_path: Path, pipe: tuple[TextIO, TextIO]
) -> None:
    reader, writer = pipe
    log, got = tmp_path / "log.jsonl", list[str]()

    def frames() -> list[int]:
        found = map(json.loads, log.read_text().splitlines() if log.exists() else ())
        return [record["frame"] for record in found if "frame" in record]

    def read_late() -> None:
        wait_until(lambda: len(frames()) == 500, "the other sink to have everything")
        got.extend(reader)

    late = threading.Thread(target=read_late)
    late.start()
    summary = classify(
        Camera, InstantEngine(), PRESETS["depth"], ("a", "b"), 8,
        drop="none", sinks=[JsonlSink(log)], out=writer, log=io.StringIO(), live=False,
    )  # fmt: skip
    writer.close()
    late.join(60)
    assert frames() == list(range(500))
    shown = [json.loads(line) for line in got]
    assert sum(map(len, got)) > PIPE
    assert [record["frame"] for record in shown if "frame" in record] == list(range(500))
    assert summary.sinks["jsonl:-"] == (0, 0)


def test_a_camera_that_is_given_up_loses_no_line_to_a_slow_reader(pipe: tuple[TextIO, TextIO]) -> None:
    class Lost(Camera):
        def read(self) -> Captured | None:
            captured = super().read()
            if captured is None:
                raise SourceLostError("unplugged")
            return captured

    reader, writer = pipe
    got: list[str] = []

    def read_slowly() -> None:
        time.sleep(0.5)
        got.extend(reader)

    taking = threading.Thread(target=read_slowly)
    taking.start()
    with pytest.raises(SourceLostError):
        classify(
            Lost, InstantEngine(), PRESETS["depth"], ("a", "b"), 8,
            drop="none", out=writer, log=io.StringIO(), live=False,
        )  # fmt: skip
    writer.close()
    taking.join(60)
    frames = [json.loads(line).get("frame") for line in got]
    assert [number for number in frames if number is not None] == list(range(500))


@pytest.mark.alone
@pytest.mark.slow
@pytest.mark.parametrize("quiet", [False, True])
def test_a_run_whose_reader_hangs_ends_on_sigterm_with_every_line_of_its_log(
    tmp_path: Path, depth_bundle: Bundle, quiet: bool
) -> None:
    folder, log = save_frames(tmp_path / "f", make_frames(3)), tmp_path / "log.jsonl"
    process = subprocess.Popen(
        cli_command("run", depth_bundle.path, "--camera", folder, "--loop", "--sink", "jsonl:-",
                    "--sink", f"jsonl:{log}", *(["-q"] if quiet else [])),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=cli_environment(),
    )  # fmt: skip
    try:
        wait_until(lambda: log.exists() and log.stat().st_size > PIPE // 2, "the pipe to be full")
        wait_until(lambda: unchanged(log), "the frames to wait")
        begin = time.monotonic()
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        assert time.monotonic() - begin < 2
        stdout, stderr = process.communicate()
    finally:
        process.kill()
    assert ("ended by: terminated" in stderr) is not quiet
    shown = [record["frame"] for record in split_start(stdout)[1]]
    kept = [record["frame"] for record in split_start(log.read_text())[1]]
    assert shown == list(range(len(shown)))
    assert kept == list(range(len(kept)))
    assert len(kept) - len(shown) == 1  # the one that waited
    assert "jsonl:-: 1 messages lost" in stderr


def unchanged(file: Path) -> bool:
    size = file.stat().st_size
    time.sleep(0.5)
    return file.stat().st_size == size


@pytest.mark.slow
def test_a_closed_stdout_is_said(tmp_path: Path, depth_bundle: Bundle) -> None:
    folder = save_frames(tmp_path / "f", make_frames(1))
    words = " ".join(cli_command("run", depth_bundle.path, "--camera", folder))
    run = ["bash", "-c", f"{words} >&-"]
    done = subprocess.run(run, capture_output=True, text=True, env=cli_environment(), timeout=60, check=False)
    assert done.returncode == 2
    assert "stdout is closed" in done.stderr
    assert "Traceback" not in done.stderr
