"""``tgkt-edge record``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tgkt_edge.cli.log import is_quiet
from tgkt_edge.errors import EXIT_INTERRUPTED


def record_command(
    camera: Annotated[str, typer.Option(help="Frames of the sensor: what 'tgkt-edge run --camera' takes.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="New folder.")],
    sensor: Annotated[
        str | None,
        typer.Option(
            help="What the counts mean: preset (depth, nir, ...) or YAML file. It is stored with them."
        ),
    ] = None,
    form: Annotated[
        Literal["png", "ffv1"],
        typer.Option(
            "--format",
            help="png (a file a frame; .npy for float frames) or ffv1 (one video). Both are bit-exact.",
        ),
    ] = "png",
    max_frames: Annotated[int | None, typer.Option(help="Stop after so many frames.")] = None,
    seconds: Annotated[float | None, typer.Option(help="Stop so long after the first frame.")] = None,
    interval: Annotated[
        float, typer.Option(help="Seconds between two frames that are kept; 0 keeps all.")
    ] = 0.0,
    rgb: Annotated[
        str | None,
        typer.Option(
            help="A second, colour camera, or realsense (the colour of --camera): writes pairs matched by time, which "
            "'adapt --paired' takes as they are."
        ),
    ] = None,
    max_skew_ms: Annotated[
        float, typer.Option(help="Milliseconds that the two frames of a pair may lie apart.")
    ] = 20.0,
    align: Annotated[
        bool, typer.Option("--align", help="Warp colour into the depth camera's view, by its depth.")
    ] = False,
    extrinsics: Annotated[
        Path | None,
        typer.Option(
            help="YAML for --align: rotation, translation, depth, color, where the device does not know them."
        ),
    ] = None,
    live: Annotated[bool, typer.Option(help="Show the count on stderr while recording.")] = True,
) -> None:
    """Record a camera bit for bit, with times: frames for adapt, pairs for adapt --paired, or a replay for run."""
    from tgkt_edge.runtime.recorder.record import record

    summary = record(
        camera,
        output,
        sensor=sensor,
        form=form,
        max_frames=max_frames,
        seconds=seconds,
        interval=interval,
        rgb=rgb,
        max_skew_ms=max_skew_ms,
        align=align,
        extrinsics=extrinsics,
        live=live and not is_quiet(),
    )
    if summary.stopped == "interrupted":
        raise typer.Exit(EXIT_INTERRUPTED)
