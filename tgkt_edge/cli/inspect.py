"""``tgkt-edge inspect``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from tgkt_edge.cli.flags import as_flags
from tgkt_edge.errors import BundleError


def inspect_command(
    path: Annotated[
        Path, typer.Argument(help="Bundle or run folder, ONNX file, TensorRT plan, or safetensors.")
    ],
    as_json: Annotated[bool, typer.Option("--json", help="Everything, as JSON on stdout.")] = False,
) -> None:
    """Show what a bundle, run, ONNX file, plan or checkpoint holds. Exit 4: a file of it is missing or altered."""
    from tgkt_edge.bundle.inspect_bundle import describe, inspect

    seen = inspect(path)
    if as_json:
        typer.echo(json.dumps(seen))
    else:
        for line in describe(seen, path):
            theirs = line.startswith(("  metadata", "  origin"))  # what others wrote is shown as it is
            typer.echo(line if theirs else as_flags(line))
    if seen.get("problems"):
        raise BundleError(f"{path}: {len(seen['problems'])} of its files cannot be trusted; see above")
