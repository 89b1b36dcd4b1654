"""Ctrl-C, or the end of a row's process: what was measured until then is printed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

from tgkt_edge.bundle import Bundle


def interrupted(kit: Any, bundle: Bundle, at: str, *flags: str) -> tuple[int, dict[str, Any], str, list[int]]:
    """Ctrl-C to the whole group once stderr has a line with ``at``; and the children it had by then."""
    process = subprocess.Popen(
        kit.command("benchmark", bundle.path, "--engine", "cpu", "--json", "-", *flags),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=kit.environment(), start_new_session=True,
    )  # fmt: skip
    assert process.stderr is not None
    assert process.stdout is not None
    lines: list[str] = []
    for line in process.stderr:
        lines.append(line)
        if at in line:
            break
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children")
    kit.until(lambda: children.read_text().split(), "a row's process")
    started = [int(pid) for pid in children.read_text().split()]
    timer = threading.Timer(1.0, process.send_signal, [signal.SIGINT])
    timer.start()
    stdout, rest = process.communicate(timeout=60)
    timer.join()
    return process.returncode, json.loads(stdout), "".join(lines) + rest, started


def test_ctrl_c_prints_what_was_measured_and_leaves_no_process(kit: Any, bundle: Bundle) -> None:
    code, result, errors, started = interrupted(
        kit, bundle, "measuring 3 rows in turns", "--rounds", "1000", "--seconds", "20"
    )
    assert code == 130, errors
    assert result["interrupted"]
    for row in result["rows"]:
        assert row["ran"]
        assert 1 <= len(row["round_medians_ms"]) < 1000
    assert "interrupted: the table holds what was measured until then" in errors
    assert "Traceback" not in errors
    assert len(started) == 3
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]


def test_ctrl_c_in_a_long_first_turn_says_which_rows_have_no_figures(kit: Any, bundle: Bundle) -> None:
    code, result, errors, started = interrupted(
        kit, bundle, "measuring 3 rows in turns", "--rounds", "1", "--seconds", "600"
    )
    assert code == 130, errors
    assert {row["why"] for row in result["rows"]} == {"interrupted before its first round"}
    assert "cannot run: fp32 on cpu, batch 1; fp16 on cpu, batch 1" in errors
    assert not [pid for pid in started if Path(f"/proc/{pid}").exists()]


def test_a_row_whose_process_is_killed_keeps_its_figures_and_the_others_go_on(
    kit: Any, bundle: Bundle
) -> None:
    """As the system does when memory runs out."""
    process = subprocess.Popen(
        kit.command(
            "benchmark", bundle.path, "--engine", "cpu", "--json", "-", "--rounds", "60", "--seconds", "3"
        ),
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=kit.environment(),
    )  # fmt: skip
    assert process.stderr is not None
    for line in process.stderr:
        if "measuring 3 rows in turns" in line:
            break
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert len(children) == 3
    time.sleep(1)  # some rounds
    os.kill(int(children[1]), signal.SIGKILL)
    stdout, errors = process.communicate(timeout=60)
    assert process.returncode == 0, errors
    rows = {row["precision"]: row for row in json.loads(stdout)["rows"]}
    assert {name: len(row["began_s"]) for name, row in rows.items() if name != "fp16"} == {
        "fp32": 60, "int8-cpu": 60
    }  # fmt: skip
    assert 0 < len(rows["fp16"]["began_s"]) < 60
    assert rows["fp16"]["why"] == "its process was killed (SIGKILL): out of memory?"
    assert "did not get to its end: fp16 on cpu, batch 1: its process was killed" in errors
