"""A recording holds what the camera gave, bit for bit, and is valid whatever ends it."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support.cli import cli_command, cli_environment, run_cli
from tests.support.images import noise, save_frames
from tests.support.recordings import record_quietly, recorded_lines, replay
from tests.support.v4l2 import CAMERA
from tgkt_edge.errors import SourceLostError, TgktEdgeError, UsageError
from tgkt_edge.runtime.recorder.writer import RecordingWriter
from tgkt_edge.runtime.sources import Captured
from tgkt_edge.sensor import PRESETS, load_sensor


@pytest.mark.parametrize("form", ["png", "ffv1"])
@pytest.mark.parametrize(("preset", "dtype"), [("depth", "uint16"), ("nir", "uint16"), ("nir8", "uint8")])
def test_record_and_replay_are_bit_exact(tmp_path: Path, form: str, preset: str, dtype: str) -> None:
    frames = noise(7, dtype)
    out = tmp_path / "out"
    before = time.time()
    summary = record_quietly(save_frames(tmp_path / "in", frames), out, sensor=preset, form=form)
    assert (summary.frames, summary.bad, summary.stopped) == (7, 0, "end")
    found = replay(out, preset)
    assert [captured.error for captured in found] == [None] * 7
    assert found[0].frame.dtype == np.dtype(dtype)
    np.testing.assert_array_equal([captured.frame for captured in found], frames)
    lines = recorded_lines(out)
    assert [captured.time for captured in found] == [line["time"] for line in lines]
    assert before <= lines[0]["time"] <= lines[-1]["time"] <= time.time()
    assert load_sensor(str(out / "sensor.yaml")) == (
        PRESETS[preset] if preset == "nir8" else PRESETS[preset].with_size(64, 48)
    )
    names = {"sensor.yaml", "frames.jsonl", "frame" if form == "png" else "frames.mkv"}
    assert {path.name for path in out.iterdir()} == names


def test_odd_sizes_are_exact_as_png_and_refused_as_ffv1(tmp_path: Path) -> None:
    frames = noise(2, shape=(47, 63))
    camera = save_frames(tmp_path / "in", frames)
    record_quietly(camera, tmp_path / "out", sensor="depth")
    np.testing.assert_array_equal([captured.frame for captured in replay(tmp_path / "out")], frames)
    with pytest.raises(UsageError, match=r"63x47.*even sizes.*`form=png`"):
        record_quietly(camera, tmp_path / "video", sensor="depth", form="ffv1")


def test_a_recording_of_a_recording_needs_no_sensor_and_keeps_the_times(tmp_path: Path) -> None:
    record_quietly(save_frames(tmp_path / "in", noise(3)), tmp_path / "one", sensor="depth")
    record_quietly(tmp_path / "one", tmp_path / "two", form="ffv1")
    keep = ("number", "time", "crc32")
    one, two = (
        [[line[key] for key in keep] for line in recorded_lines(tmp_path / name)] for name in ("one", "two")
    )
    assert one == two
    assert (tmp_path / "one/sensor.yaml").read_text() == (tmp_path / "two/sensor.yaml").read_text()


def test_max_frames_seconds_and_interval(tmp_path: Path) -> None:
    camera = tmp_path / "camera"
    with RecordingWriter(camera, PRESETS["depth"], "png") as writer:
        for number, frame in enumerate(noise(10)):
            writer.add(Captured(frame, number, 100 + number / 10, "camera"))
    times = [line["time"] for line in recorded_lines(camera)]
    assert times == [100 + number / 10 for number in range(10)]

    def numbers(**how: Any) -> tuple[list[int], str]:
        out = tmp_path / f"out{len(list(tmp_path.iterdir()))}"
        stopped = record_quietly(camera, out, **how).stopped
        return [line["number"] for line in recorded_lines(out)], stopped

    assert numbers(max_frames=3) == ([0, 1, 2], "max-frames")
    assert numbers(seconds=0.45) == ([0, 1, 2, 3, 4], "seconds")
    assert numbers(interval=0.25) == ([0, 3, 6, 9], "end")


def test_a_clock_that_is_set_back_costs_no_frame(tmp_path: Path) -> None:
    camera = tmp_path / "camera"
    with RecordingWriter(camera, PRESETS["depth"], "png") as writer:
        for number, frame in enumerate(noise(20)):
            seconds = number / 10 if number < 10 else number / 10 - 3600
            writer.add(Captured(frame, number, 7200 + seconds, "camera"))
    assert record_quietly(camera, tmp_path / "all").frames == 20
    assert record_quietly(camera, tmp_path / "some", interval=0.15).frames == 10


def test_bad_frames_are_left_out_and_counted(tmp_path: Path) -> None:
    frames = noise(4)
    camera = save_frames(tmp_path / "in", frames)
    (camera / "frame_1.png").write_bytes(b"broken")
    assert cv2.imwrite(str(camera / "frame_2.png"), frames[2][:, :32])
    summary = record_quietly(camera, tmp_path / "out", sensor="depth")
    assert (summary.frames, summary.bad) == (2, 2)
    assert [line["number"] for line in recorded_lines(tmp_path / "out")] == [0, 3]
    np.testing.assert_array_equal([c.frame for c in replay(tmp_path / "out")], frames[[0, 3]])


def test_what_does_not_fit_is_refused_and_leaves_nothing(tmp_path: Path) -> None:
    camera = save_frames(tmp_path / "in", noise(2, "uint8"))
    with pytest.raises(SourceLostError, match=r"uint8 pixels, but the sensor is uint16.*`sensor`"):
        record_quietly(camera, tmp_path / "out", sensor="depth")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("how", "text"),
    [
        ({}, "`sensor` is missing"),
        ({"sensor": "depth", "form": "mp4"}, "`form=mp4`: expected png or ffv1"),
        ({"sensor": "depth", "max_frames": 0}, "`max_frames=0`"),
        ({"sensor": "depth", "seconds": 0}, "`seconds=0`"),
        ({"sensor": "depth", "interval": -1}, "`interval=-1`"),
        ({"sensor": "depth", "rgb": "0", "max_skew_ms": 0}, "`max_skew_ms=0`"),
        ({"sensor": "depth", "rgb": "0", "form": "ffv1"}, "`rgb`: pairs are written as PNG"),
        ({"sensor": "depth", "rgb": "0"}, "`rgb` pairs two cameras by time"),
    ],
)
def test_bad_arguments(tmp_path: Path, how: dict[str, Any], text: str) -> None:
    camera = save_frames(tmp_path / "in", noise(1))
    with pytest.raises(UsageError, match=text):
        record_quietly(camera, tmp_path / "out", **how)
    assert not (tmp_path / "out").exists()


def test_what_is_there_is_never_overwritten(tmp_path: Path) -> None:
    camera = save_frames(tmp_path / "in", noise(1))
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "precious.txt").write_text("mine")
    with pytest.raises(UsageError, match="already exists and is not empty"):
        record_quietly(camera, tmp_path / "out", sensor="depth")
    with pytest.raises(UsageError, match="already exists"):
        record_quietly(camera, tmp_path / "out" / "precious.txt", sensor="depth")
    assert (tmp_path / "out" / "precious.txt").read_text() == "mine"


@pytest.mark.slow
@pytest.mark.parametrize("form", ["png", "ffv1"])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_a_valid_recording(
    tmp_path: Path, shim: str, form: str, number: signal.Signals
) -> None:
    out = tmp_path / "out"
    arguments = ("record", "--camera", CAMERA, "-o", out, "--sensor", "depth", "--format", form)
    env = cli_environment(LD_PRELOAD=shim, SHIM_FORMATS="Z16 ", SHIM_FPS="60")
    process = subprocess.Popen(cli_command(*arguments), env=env, stderr=subprocess.PIPE, text=True)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if (out / "frames.jsonl").is_file() and len(index_if_any(out)) >= 5:
            break
        time.sleep(0.05)
    process.send_signal(number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == (130 if number == signal.SIGINT else 0), errors
    assert f"stopped: {'interrupted' if number == signal.SIGINT else 'terminated'}" in errors
    found = replay(out)
    assert len(found) >= 5
    for captured in found:
        assert captured.error is None
        painted = 4096 + 257 * captured.number + 3 * np.arange(48 * 64)
        np.testing.assert_array_equal(captured.frame, (painted % 65536).reshape(48, 64))


def index_if_any(folder: Path) -> list[str]:
    return (folder / "frames.jsonl").read_text().splitlines()


@pytest.mark.slow
def test_an_unplugged_camera_leaves_a_valid_recording(tmp_path: Path, shim: str) -> None:
    out = tmp_path / "out"
    done = run_cli(
        "record", "--camera", CAMERA, "-o", out, "--sensor", "nir", LD_PRELOAD=shim, SHIM_FRAMES="6"
    )
    assert done.code == 5
    assert f"{out}: 6 frames in" in done.stderr
    assert "unplugged" in done.stderr
    assert [captured.error for captured in replay(out, "nir")] == [None] * 6


@pytest.mark.slow
@pytest.mark.parametrize("form", ["png", "ffv1"])
def test_a_full_disk_leaves_the_earlier_frames(tmp_path: Path, form: str) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    size = "600k" if form == "png" else "9m"
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip("needs the right to mount a small disk")
    try:
        frames = noise(400)
        with (
            pytest.raises(TgktEdgeError, match=r"recording ended after \d+ frames: the disk is full") as full,
            RecordingWriter(disk / "out", PRESETS["depth"], form) as writer,
        ):
            for number, frame in enumerate(frames):
                writer.add(Captured(frame, number, 100.0 + number, "camera"))
        assert full.value.exit_code == 1
        found = replay(disk / "out")
        assert len(found) == writer.written > 10
        np.testing.assert_array_equal([captured.frame for captured in found], frames[: len(found)])
        assert str(full.value).endswith("They are intact and can be replayed.")
        with (
            pytest.raises(TgktEdgeError, match=r"after 0 frames: the disk is full \(\d\.\d MiB left\)\.$"),
            RecordingWriter(disk / "none", PRESETS["depth"], form) as writer,
        ):
            writer.add(Captured(frames[0], 0, 100.0, "camera"))
    finally:
        subprocess.run(["umount", disk], check=True)


LIMITED = """
import resource, signal, sys
import numpy as np
from pathlib import Path
from tgkt_edge.errors import TgktEdgeError
from tgkt_edge.runtime.recorder.writer import RecordingWriter
from tgkt_edge.runtime.sources import Captured
from tgkt_edge.sensor import PRESETS
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
rng = np.random.default_rng(0)
try:
    with RecordingWriter(Path(sys.argv[1]), PRESETS["depth"], "png") as writer:
        for number in range(100):
            if number == 5:  # from here on each file may hold 3000 bytes: frames do not fit, nor does the index
                resource.setrlimit(resource.RLIMIT_FSIZE, (3000, 3000))
            frame = rng.integers(0, 65536, (48, 64)).astype(np.uint16)
            writer.add(Captured(frame, number, 100.0 + number, "camera"))
except TgktEdgeError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_write_that_fails_midway_leaves_no_half_file(tmp_path: Path) -> None:
    out = tmp_path / "out"
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, str(out)],
        env=cli_environment(),
        capture_output=True,
        text=True,
        check=True,
    )
    assert "recording ended after 5 frames: File too large" in done.stdout
    assert sorted(path.name for path in (out / "frame").iterdir()) == [f"{n:06d}.png" for n in range(5)]
    assert [captured.error for captured in replay(out)] == [None] * 5
