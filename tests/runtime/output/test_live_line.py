"""The live line on a terminal: an answer stays until the next one, however slow the camera is."""

from __future__ import annotations

import os
import pty
import subprocess
import time

import pytest

from tests.support.cli import cli_command, cli_environment, read_terminal
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.runtime.output.live_line import LiveLine


@pytest.mark.slow
def test_an_answer_stays_for_two_seconds_while_no_other_comes() -> None:
    _, slave = pty.openpty()
    with os.fdopen(slave, "w") as terminal:
        line = LiveLine(terminal)
        assert line.due(waiting=True)  # nothing was answered yet
        assert line.due()
        begin = time.monotonic()
        line.show("office 0.90")
        time.sleep(0.5)
        assert not line.due(waiting=True) or time.monotonic() - begin >= 2
        time.sleep(1.7)
        assert line.due(waiting=True)
        assert line.due()


@pytest.mark.slow
def test_a_camera_of_four_frames_a_second_does_not_flicker(shim: str, depth_bundle: Bundle) -> None:
    master, slave = pty.openpty()
    process = subprocess.Popen(
        cli_command("run", depth_bundle.path, "--camera", "v4l2:///dev/video42", "--max-frames", 8),
        env=cli_environment(LD_PRELOAD=shim, SHIM_FPS="4"), stdout=subprocess.DEVNULL, stderr=slave,
    )  # fmt: skip
    os.close(slave)
    shown = read_terminal(master)
    assert process.wait(60) == 0
    lines = [line for line in shown.decode().split("\r") if " fps | " in line or line.endswith("fps\x1b[K")]
    answers = [" ms | " in line for line in lines]
    assert sum(answers) >= 5
    begin = answers.index(True)
    assert all(answers[begin:]), lines
