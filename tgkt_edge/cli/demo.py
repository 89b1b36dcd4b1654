"""``tgkt-edge demo``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tgkt_edge.api.demo import demo


def demo_command(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write.")] = Path("demo"),
    sensor: Annotated[Literal["depth", "nir"], typer.Option(help="Kind of frames to render.")] = "depth",
    seed: Annotated[int, typer.Option(help="Seed of the scenes and of training.")] = 0,
    weights: Annotated[str, typer.Option(help="Where the source model starts, as for adapt.")] = "none",
    precision: Annotated[str, typer.Option(help="fp32, bf16 or auto, as for adapt.")] = "auto",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier demo in -o.")] = False,
) -> None:
    """The whole job on scenes it renders itself: adapt, evaluate, export, run."""
    demo(out, sensor=sensor, seed=seed, weights=weights, precision=precision, overwrite=overwrite)
