"""``tgkt-edge doctor``."""

from __future__ import annotations

import json
from typing import Annotated

import typer

from tgkt_edge.api.doctor import doctor
from tgkt_edge.doctor.findings import as_text
from tgkt_edge.errors import MissingDependency


def doctor_command(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Report what is installed and works here, and what to do about the rest. Exit code 6: 'run' cannot work here."""
    found = doctor()
    if as_json:
        typer.echo(json.dumps(found))
    else:
        typer.echo(as_text(found["findings"]))
        typer.echo(f"'tgkt-edge run' {'works' if found['run_works'] else 'does not work'} here.")
    if not found["run_works"]:
        raise typer.Exit(MissingDependency.exit_code)
