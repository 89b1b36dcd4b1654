"""``tgkt-edge --help`` is grouped by what a person wants to do, and the shell completes commands."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from tgkt_edge.cli.main import app

GROUPS = {
    "Adapt": ["demo", "record", "adapt", "data", "source"],
    "Check": ["evaluate", "audit", "compare"],
    "Export": ["export", "verify", "bundle"],
    "Run": ["run", "predict"],
    "Look after": ["doctor", "inspect", "benchmark"],
}


@pytest.mark.slow
def test_every_command_stands_under_what_it_is_for() -> None:
    shown = CliRunner().invoke(app, ["--help"], terminal_width=80).output
    found: dict[str, list[str]] = {}
    for block in shown.split("\n\n")[3:-1]:
        title, *rows = block.splitlines()
        found[title.rstrip(":")] = [row.split()[0] for row in rows]
        assert not any("..." in row for row in rows), "a line that had to be cut off"
    assert found == GROUPS


@pytest.mark.parametrize("group", ["data", "source", "bundle"])
def test_what_a_group_of_commands_is_for_is_never_cut_off(group: str) -> None:
    shown = CliRunner().invoke(app, [group, "--help"], terminal_width=80).output
    _, _, rows = shown.partition("Commands:\n")
    assert rows.strip()
    assert "..." not in rows


@pytest.mark.slow
def test_the_shell_completes_commands_and_flags() -> None:
    def complete(words: str) -> list[str]:
        done = subprocess.run(
            [sys.executable, "-m", "tgkt_edge"],
            env={
                **os.environ,
                "_TGKT_EDGE_COMPLETE": "complete_bash",
                "COMP_WORDS": words,
                "COMP_CWORD": str(len(words.split()) - 1),
            },
            capture_output=True,
            text=True,
            timeout=60,
            check=True,
        )
        return done.stdout.split()

    assert complete("tgkt-edge ex") == ["export"]
    assert complete("tgkt-edge run --min") == ["--min-confidence"]
