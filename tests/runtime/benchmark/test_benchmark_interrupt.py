"""Ctrl-C, or the end of a row's process: what was measured until then is printed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import cli_command, cli_environment
from tgkt_edge.bundle.bundle import Bundle

pytestmark = pytest.mark.slow

PATIENCE_S = 240
"""For a machine that does much else: no part of what is tested."""


def listen_to_interrupts() -> None:
    """What a shell starts in the background, tests too, ignores SIGINT and hands that down; Ctrl-C reaches programs
    that do not."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@contextmanager
def measuring(bundle: Bundle, *flags: str) -> Iterator[tuple[subprocess.Popen[str], list[str]]]:
    """``tgkt-edge benchmark``, whose three rows have begun to be measured, and its stderr so far."""
    process = subprocess.Popen(
        cli_command("benchmark", bundle.path, "--engine", "cpu", "--json", "-", *flags),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=cli_environment(),
        preexec_fn=listen_to_interrupts, start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    lines: list[str] = []
    try:
        for line in process.stderr:
            lines.append(line)
            if "measuring 3 rows in turns" in line:
                break
        yield process, lines
    finally:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()


def children(process: subprocess.Popen[str]) -> list[int]:
    """Process numbers of the rows."""
    return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def interrupted(bundle: Bundle, *flags: str) -> tuple[int, dict[str, Any], str, list[int]]:
    """Ctrl-C a second after measuring began: exit code, --json, stderr, and the children there were."""
    with measuring(bundle, *flags) as (process, lines):
        started = children(process)
        time.sleep(1)  # some rounds, or none
        process.send_signal(signal.SIGINT)
        stdout, rest = process.communicate(timeout=PATIENCE_S)
    return process.returncode, json.loads(stdout), "".join(lines) + rest, started


def test_ctrl_c_prints_what_was_measured_and_leaves_no_process(bundle: Bundle) -> None:
    code, result, errors, started = interrupted(bundle, "--rounds", "1000", "--seconds", "20")
    assert code == 130, errors
    assert result["interrupted"]
    for row in result["rows"]:
        assert row["ran"]
        assert 1 <= len(row["round_medians_ms"]) < 1000
    assert "interrupted: the table holds what was measured until then" in errors
    assert "Traceback" not in errors
    assert len(started) == 3
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]


def test_ctrl_c_in_a_long_first_turn_says_which_rows_have_no_figures(bundle: Bundle) -> None:
    code, result, errors, started = interrupted(bundle, "--rounds", "1", "--seconds", "600")
    assert code == 130, errors
    assert {row["why"] for row in result["rows"]} == {"interrupted before its first round"}
    assert "cannot run: fp32 on cpu, batch 1; fp16 on cpu, batch 1" in errors
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]


def test_a_row_whose_process_is_killed_keeps_its_figures_and_the_others_go_on(bundle: Bundle) -> None:
    """As the system does when memory runs out."""
    with measuring(bundle, "--rounds", "20", "--seconds", "1") as (process, _):
        started = children(process)
        assert len(started) == 3
        time.sleep(1)  # some rounds
        os.kill(started[1], signal.SIGKILL)
        stdout, errors = process.communicate(timeout=PATIENCE_S)
    assert process.returncode == 0, errors
    rows = {row["precision"]: row for row in json.loads(stdout)["rows"]}
    assert {name: len(row["began_s"]) for name, row in rows.items() if name != "fp16"} == {
        "fp32": 20, "int8-cpu": 20
    }  # fmt: skip
    assert 0 < len(rows["fp16"]["began_s"]) < 20
    assert rows["fp16"]["why"] == "its process was killed (SIGKILL): out of memory?"
    assert "did not get to its end: fp16 on cpu, batch 1: its process was killed" in errors
