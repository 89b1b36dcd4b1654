"""Inputs whose signal goes and comes: what a driver delivers without one is no picture."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import cli_environment

pytestmark = pytest.mark.slow

# The signal goes after the third frame and comes back after the sixth; the driver keeps delivering.
LOSE = """
import json, os, sys
from tgkt_edge.runtime import open_source
from tgkt_edge.sensor import PRESETS
switch, found = sys.argv[1], []
with open_source("v4l2:///dev/video42", PRESETS["depth"]) as source:
    for number in range(16):
        if number == 3:
            open(switch, "w").close()
        if number == 6:
            os.unlink(switch)
        captured = source.read()
        found.append([captured.error, None if captured.frame is None else captured.frame[0, :4].tolist()])
print(json.dumps(found))
"""


@pytest.mark.parametrize("kind", ["INPUT", "HDMI"])
def test_frames_without_a_signal_are_error_lines_and_pictures_follow(
    tmp_path: Path, shim: str, kind: str
) -> None:
    switch = tmp_path / "nosignal"
    env = cli_environment(LD_PRELOAD=shim, SHIM_NOSIGNAL=str(switch), **{f"SHIM_{kind}": "1"})
    command = [sys.executable, "-c", LOSE, str(switch)]
    done = subprocess.run(command, env=env, check=True, timeout=60, capture_output=True, text=True)
    found = json.loads(done.stdout)
    errors = [error for error, _ in found]
    assert errors[:3] == [None] * 3
    for error in errors[3:6]:
        assert error.startswith("/dev/video42: input HDMI 0 has no signal: frame")
    # As many frames as the driver may hold from before the signal came back.
    assert ["has only just come back" in str(error) for error in errors[6:11]] == [True] * 4 + [False]
    assert errors[10:] == [None] * 6
    first = 4096 + 257 * 10
    assert found[10][1] == [first, first + 3, first + 6, first + 9]


@pytest.mark.parametrize("kind", ["INPUT", "HDMI"])
def test_a_camera_without_a_signal_does_not_open(read: Callable[..., Any], tmp_path: Path, kind: str) -> None:
    (tmp_path / "nosignal").touch()
    found = read("depth", NOSIGNAL=tmp_path / "nosignal", **{kind: 1})
    assert "input HDMI 0 has no signal" in found.lost
    assert found.frames == []


def test_silence_without_a_signal_says_so(read: Callable[..., Any], tmp_path: Path) -> None:
    for name in ("nosignal", "quiet"):
        (tmp_path / name).touch()
    found = read("depth", timeout=0.3, INPUT=1, NOSIGNAL=tmp_path / "nosignal", QUIET=tmp_path / "quiet")
    assert "silent. input HDMI 0 has no signal: switch on or plug in what feeds it." in found.lost


@pytest.mark.parametrize("event", [0, 1])
def test_another_signal_is_named_with_both_sizes(read: Callable[..., Any], event: int) -> None:
    found = read(count=100, HDMI=1, CHANGE=3, EVENT=event)
    # By the third, the driver knows of the other signal. It is asked every 0.2 s at least, and a frame takes 5 ms.
    assert 2 <= len(found.frames) <= (3 if event else 50)
    assert "the signal at its input changed from 64x48 to 64x24." in found.lost
    assert "Y16" not in found.lost  # the driver's own format has not changed


# A driver that reports another source, and neither a signal's size nor another format.
def test_a_change_that_the_driver_does_not_explain_is_told_as_such(tmp_path: Path, shim: str) -> None:
    program = (
        "from tgkt_edge.runtime.sources.v4l2 import V4l2Source\n"
        "from tgkt_edge.runtime.sources.v4l2_device import FormatChanged\n"
        "from tgkt_edge.sensor import PRESETS\n"
        "print(V4l2Source('/dev/video42', PRESETS['depth'])._changed(FormatChanged()))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], env=cli_environment(LD_PRELOAD=shim), check=True, timeout=60,
        capture_output=True, text=True,
    )  # fmt: skip
    assert "another signal at its input, and does not say which; its format is still Y16 64x48" in done.stdout
