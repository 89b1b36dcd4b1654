"""``tgkt-edge doctor``."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Annotated

import typer

from tgkt_edge.errors import MissingDependency


def doctor_command(
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object on stdout.")] = False,
) -> None:
    """Say what is installed and works here, and what to do about the rest. Exit code 6: 'run' cannot work here."""
    from tgkt_edge.doctor.examine import examine
    from tgkt_edge.doctor.findings import as_text

    findings, works = examine()
    if as_json:
        typer.echo(json.dumps({"run_works": works, "findings": [asdict(finding) for finding in findings]}))
    else:
        typer.echo(as_text(findings))
        typer.echo(f"'tgkt-edge run' {'works' if works else 'does not work'} here.")
    if not works:
        raise typer.Exit(MissingDependency.exit_code)
