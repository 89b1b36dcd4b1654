"""All commands of the command line."""

from __future__ import annotations

from typing import Any

import typer

from tgkt_edge.cli.main import app

ROOT: Any = typer.main.get_command(app)
"""Of the command line itself."""


def all_commands(group: Any = ROOT, before: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """The words and the command of each, those of groups with two words: ``("data", "check")``."""
    found: list[tuple[tuple[str, ...], Any]] = []
    for name, command in group.commands.items():
        nested = hasattr(command, "commands")
        found += all_commands(command, (*before, name)) if nested else [((*before, name), command)]
    return found
