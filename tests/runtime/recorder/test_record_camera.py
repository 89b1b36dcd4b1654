"""Recording cameras: signals while they open, what they deliver, what they lost, and two options for one device."""

from __future__ import annotations

import json
import signal
import subprocess
import time
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import cli_command, cli_environment, run_cli
from tests.support.images import make_frames, save_frames
from tests.support.v4l2 import CAMERA
from tests.support.waiting import wait_until
from tgkt_edge.errors import UsageError
from tgkt_edge.runtime.recorder.record import record
from tgkt_edge.sensor import PRESETS, load_sensor


def index(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "frames.jsonl").read_text().splitlines()]


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("paired", [False, True])
def test_a_signal_is_heard_while_a_silent_camera_is_opened(
    tmp_path: Path, shim: str, number: signal.Signals, paired: bool
) -> None:
    (tmp_path / "quiet").touch()
    log, out = tmp_path / "log", tmp_path / "out"
    env = cli_environment(LD_PRELOAD=shim, SHIM_QUIET=str(tmp_path / "quiet"), SHIM_LOG=str(log))
    more = ("--rgb", "7") if paired else ()
    command = cli_command("record", "--camera", CAMERA, "-o", out, "--sensor", "depth", *more)
    process = subprocess.Popen(command, env=env, stderr=subprocess.PIPE, text=True)
    wait_until(lambda: log.is_file() and "STREAMON" in log.read_text(), "the stream", 60)
    begin = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert (
        time.monotonic() - begin < 20
    )  # a silent camera alone takes 25 s; 2 s is the promise on a quiet machine
    assert process.returncode == (130 if number == signal.SIGINT else 0), errors
    assert (
        f"0 frames in 0.0 s (stopped: {'interrupted' if number == signal.SIGINT else 'terminated'})" in errors
    )
    assert not out.exists()


@pytest.mark.slow
def test_what_a_camera_delivers_is_written_beside_its_frames(tmp_path: Path, shim: str) -> None:
    out = tmp_path / "out"
    arguments = ("record", "--camera", CAMERA, "-o", out, "--sensor", "nir", "--max-frames", "6")
    done = run_cli(*arguments, LD_PRELOAD=shim, SHIM_FORMATS="Y12 ", SHIM_GAP="3")
    assert done.code == 0, done.stderr
    assert "/dev/video42 delivers Y12 64x48" in done.stderr
    assert "2 lost in the driver" in done.stderr
    spec = load_sensor(str(out / "sensor.yaml"))
    assert (spec.pixel_format, spec.size) == ("Y12", (64, 48))
    assert {line["format"] for line in index(out)} == {"Y12 64x48"}
    assert [line.get("lost") for line in index(out)] == [None, None, None, 2, 2, 2]
    # Whoever runs with this SensorSpec gets Y12 or nothing: Y16 holds other counts.
    done = run_cli(
        "record", "--camera", CAMERA, "-o", tmp_path / "two", "--sensor", out / "sensor.yaml", "--max-frames", "2",
        LD_PRELOAD=shim, SHIM_FORMATS="Y16 ",
    )  # fmt: skip
    assert done.code == 5
    assert "Expected pixel format Y12 (the SensorSpec's pixel_format; without it, other" in done.stderr


@pytest.mark.parametrize("rgb", ["/dev/video42", "42", "v4l2://42", "link"])
def test_one_device_for_both_halves_of_a_pair_is_refused_by_name(tmp_path: Path, rgb: str) -> None:
    if rgb == "link":
        (tmp_path / "camera").symlink_to("/dev/video42")
        rgb = f"v4l2://{tmp_path}/camera"
    with pytest.raises(UsageError, match=r"`camera=.*video42` and `rgb=.*` are one device"):
        record(CAMERA, tmp_path / "out", sensor="depth", rgb=rgb, live=False)
    assert not (tmp_path / "out").exists()


def test_a_recording_of_files_names_no_format(tmp_path: Path) -> None:
    frames = save_frames(tmp_path / "in", make_frames(2))
    record(str(frames), tmp_path / "out", sensor="depth", live=False)
    assert load_sensor(str(tmp_path / "out" / "sensor.yaml")) == PRESETS["depth"].with_size(64, 48)
    assert {"format", "lost"}.isdisjoint(index(tmp_path / "out")[0])
