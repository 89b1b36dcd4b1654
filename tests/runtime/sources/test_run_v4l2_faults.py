"""``tgkt-edge run`` on a V4L2 camera with faults that pass: no answer changes for them, and each is told."""

from __future__ import annotations

import errno
import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import cli_command, cli_environment, run_cli
from tests.support.v4l2 import CAMERA
from tgkt_edge.bundle.bundle import Bundle

pytestmark = pytest.mark.slow


def decisions(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record for record in records if "event" not in record]


def test_one_failed_streamon_changes_no_answer(shim: str, depth_bundle: Bundle) -> None:
    def answers(**more: str) -> list[tuple[str, float]]:
        done = run_cli(
            "run", depth_bundle.path, "--camera", CAMERA, "--max-frames", 3, "--drop", "none", LD_PRELOAD=shim,
            SHIM_FORMATS="Z16 ,Y16 ,Y12 ", **more,
        )  # fmt: skip
        assert done.code == 0, done.stderr
        assert "/dev/video42 delivers Z16 64x48" in done.stderr
        assert "camera format Z16 64x48" in done.stderr
        (live,) = [record for record in done.records if record.get("state") == "live"]
        assert live["format"] == "Z16 64x48"
        return [(record["label"], record["probability"]) for record in decisions(done.records)]

    assert answers() == answers(SHIM_FAIL_ON=f"{errno.EIO}:1")


def test_lost_frames_are_in_records_and_summary(shim: str, depth_bundle: Bundle) -> None:
    done = run_cli(
        "run", depth_bundle.path, "--camera", CAMERA, "--max-frames", 6, "--drop", "none", LD_PRELOAD=shim, SHIM_GAP="4"
    )  # fmt: skip
    assert done.code == 0, done.stderr
    assert [record.get("lost") for record in decisions(done.records)] == [None] * 4 + [2, 2]
    assert "6 frames (0 bad, 0 dropped, 2 lost in the driver)" in done.stderr


def test_noise_without_a_signal_is_never_classified(tmp_path: Path, shim: str, depth_bundle: Bundle) -> None:
    switch = tmp_path / "nosignal"
    command = cli_command("run", depth_bundle.path, "--camera", CAMERA, "--drop", "none", "--no-live")
    env = cli_environment(LD_PRELOAD=shim, SHIM_HDMI="1", SHIM_NOSIGNAL=str(switch))
    process = subprocess.Popen(command, env=env, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    records: list[dict[str, Any]] = []

    def until(what: str) -> None:
        assert process.stdout is not None
        for line in process.stdout:
            records.append(json.loads(line))
            if what in records[-1]:
                return
        raise AssertionError(f"ended before a record with {what}")

    until("label")
    switch.touch()
    until("error")
    for _ in range(50):
        until("error")
    begin = len(records)
    switch.unlink()
    until("label")
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=30)
    errors = [record["error"] for record in records if "error" in record]
    assert all("no signal" in error or "just come back" in error for error in errors)
    first = next(number for number, record in enumerate(records) if "error" in record)
    assert all("error" in record for record in records[first:begin])


@pytest.mark.parametrize("ignored", [False, True])
def test_a_closed_terminal_ends_a_run_with_its_summary_unless_nohup_says_otherwise(
    shim: str, depth_bundle: Bundle, ignored: bool
) -> None:
    words = cli_command("run", depth_bundle.path, "--camera", CAMERA, "--no-live")
    if ignored:
        words = ["nohup", *words]
    process = subprocess.Popen(
        words, env=cli_environment(LD_PRELOAD=shim), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdout is not None
    for _ in range(10):
        assert process.stdout.readline()
    process.send_signal(signal.SIGHUP)
    if ignored:
        for _ in range(200):
            assert process.stdout.readline()
        process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 0, errors
    assert "ended by: terminated" in errors
