"""The command as a real process."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from tests.support.checkout import REPOSITORY


@dataclass(frozen=True)
class Finished:
    """A process that has ended: exit code, stdout's JSON objects, stderr.

    Attributes:
        records: all but ``start``, the event that each run begins with; None: it did not.
    """

    code: int
    records: list[dict[str, Any]]
    stderr: str
    start: dict[str, Any] | None = None


def cli_command(*arguments: object) -> list[str]:
    """The command line that starts tgkt-edge in this interpreter."""
    return [sys.executable, "-m", "tgkt_edge", *map(str, arguments)]


def cli_environment(**more: str) -> dict[str, str]:
    """The environment under which a subprocess finds the package, installed or not."""
    return {**os.environ, "PYTHONPATH": str(REPOSITORY), "PYTHONUNBUFFERED": "", **more}


def run_cli(*arguments: object, **env: str) -> Finished:
    """Run tgkt-edge in a process of its own to its end, for three minutes at most."""
    return run_cli_within(180, *arguments, **env)


def run_cli_within(seconds: float, *arguments: object, **env: str) -> Finished:
    """Run tgkt-edge in a process of its own to its end, for so many seconds at most."""
    done = subprocess.run(
        cli_command(*arguments),
        capture_output=True,
        text=True,
        env=cli_environment(**env),
        timeout=seconds,
        check=False,
    )
    start, records = split_start(done.stdout)
    return Finished(done.returncode, records, done.stderr, start)


def read_terminal(ours: int) -> bytes:
    """All that is written to a terminal (``pty.openpty()``) until its other end is closed; closes this one."""
    with os.fdopen(ours, "rb", 0) as terminal:
        shown = b""
        with suppress(OSError):  # EIO: how Linux tells the end of a terminal
            while piece := terminal.read(4096):
                shown += piece
    return shown


def split_start(text: str) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
    """The start event that JSON lines begin with, if they do, and the records after it."""
    records: list[dict[str, Any]] = [json.loads(line) for line in text.splitlines()]
    if records and records[0].get("event") == "start":
        return records[0], records[1:]
    return None, records
