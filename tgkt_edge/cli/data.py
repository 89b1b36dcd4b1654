"""``tgkt-edge data``."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Literal

import typer

from tgkt_edge.cli.flags import as_flags
from tgkt_edge.errors import GateError
from tgkt_edge.optional_deps import require

data_app = typer.Typer(
    name="data",
    help="Bring data into the form that adapt and evaluate read, and look at it.",
    no_args_is_help=True,
)


@data_app.callback()
def _data() -> None:
    """Keep each a word of its own."""


@data_app.command("presets", short_help="Show what each --sensor preset means.")
def presets_command(
    as_json: Annotated[bool, typer.Option("--json", help="The fields of every preset as JSON.")] = False,
) -> None:
    """Show what each --sensor preset means, and the YAML file to begin one's own from."""
    from tgkt_edge.sensor import PRESETS, describe_preset

    if as_json:
        typer.echo(json.dumps({name: spec.to_dict() for name, spec in PRESETS.items()}))
        return
    for name in PRESETS:
        typer.echo(f"{name:<10} {describe_preset(name)}")
    typer.echo("\nA camera that none fits: a YAML file of these fields, for --sensor FILE, for example")
    for name in ("depth", "depth-m", "nir", "lepton"):
        fields = ", ".join(f"{key}: {value}" for key, value in PRESETS[name].to_dict().items())
        typer.echo(f"  {{{fields}}}")


@data_app.command("prepare", short_help="Write tables for a public data set.")
def prepare_command(
    name: Annotated[str, typer.Argument(help="sunrgbd, diml, rgbnir or nyuv2.")],
    src: Annotated[
        Path, typer.Argument(help="The downloaded set: its unpacked folder, or nyuv2's .mat file.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write; it must not exist yet.")],
    source_domain: Annotated[
        str | None,
        typer.Option(
            help="Camera of the RGB images, for sunrgbd: kv1, kv2, realsense, xtion. Default: every pair."
        ),
    ] = None,
    target_domain: Annotated[
        str | None, typer.Option(help="Camera of the depth frames, for sunrgbd.")
    ] = None,
    depth: Annotated[
        Literal["filled", "raw"],
        typer.Option(help="filled, or raw as the sensor delivers it, where a set has both."),
    ] = "filled",
    task: Annotated[
        list[str] | None,
        typer.Option(
            help="A scene to classify; repeatable, two or more. Every other scene gives pairs. "
            "Default: the set's usual task."
        ),
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Go on without images that have no partner.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The counts as JSON on stdout.")] = False,
) -> None:
    """Write CSVs and a sensor file for adapt and evaluate, split as in the paper; images stay where they are."""
    from tgkt_edge.data.public.prepare import describe, prepare

    reports = prepare(
        name, src, out,
        source_domain=source_domain, target_domain=target_domain, depth=depth, task=task or (), skip_bad=skip_bad,
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(reports))
        return
    for report in reports:
        for line in describe(report):
            typer.echo(as_flags(line), err=True)


@data_app.command("check", short_help="Look for faults in pairs before training.")
def check_command(
    paired: Annotated[
        Path, typer.Argument(metavar="PAIRS", help="A folder with rgb/ and frame/, or a CSV rgb,frame.")
    ],
    sensor: Annotated[str, typer.Option(help="What the frames mean: preset or YAML file.")],
    target: Annotated[
        Path | None, typer.Option(help="Target frames to look at, too: a folder, or a CSV with 'frame'.")
    ] = None,
    page: Annotated[
        Path | None,
        typer.Option(help="HTML file to write: pairs with the frame's edges over the RGB image."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Every finding with its figures, as JSON.")] = False,
) -> None:
    """Look at pairs before training on them: alignment, mismatches, copies, holes, range, exposure. Exit 3: fix."""
    require("cv2", "cpu", "A look at pairs")
    from tgkt_edge.data.check.check import check_data

    report = check_data(paired, sensor, target, page=page)
    if as_json:
        typer.echo(json.dumps(report.to_dict()))
    else:
        typer.echo(as_flags(report.text()))
    if report.state == "fix":
        raise typer.Exit(GateError.exit_code)


@data_app.command("range", short_help="Choose a sensor's range by frames.")
def range_command(
    frames: Annotated[Path, typer.Argument(help="Frames of the task, as for adapt --target.")],
    sensor: Annotated[
        str, typer.Option(help="What they mean: preset or YAML file; its range does not count.")
    ],
    out: Annotated[
        Path | None, typer.Option("-o", "--out", help="Sensor file to write, with the new range.")
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="The sensor and what was measured, as JSON.")
    ] = False,
) -> None:
    """Choose a sensor's range by frames: near and far, black and white, or cold and hot, in round numbers."""
    from tgkt_edge.data.check.measure_range import measure_range

    report = measure_range(frames, sensor, out)
    if as_json:
        typer.echo(json.dumps(report.to_dict()))
    typer.echo(as_flags(report.text()), err=True)


@data_app.command("import", short_help="Turn a recording into frames or pairs.")
def import_command(
    src: Annotated[
        Path,
        typer.Argument(
            help="A .bag, .mcap, .db3, .mkv or .sens file, a folder of 'ros2 bag record' or of OAK's .mcap files, or "
            "a folder of images."
        ),
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="New folder.")],
    topic: Annotated[
        str | None,
        typer.Option(help="Topic, or sub-folder, of the sensor's pictures [the only one that fits]."),
    ] = None,
    sensor: Annotated[
        str | None,
        typer.Option(help="What the counts mean: preset or YAML file [16UC1: millimetres, 32FC1: metres]."),
    ] = None,
    pair: Annotated[
        bool,
        typer.Option(
            "--pair", help="Write pairs with the colour pictures nearest in time, for adapt --paired."
        ),
    ] = False,
    rgb_topic: Annotated[
        str | None,
        typer.Option(help="Topic, or sub-folder, of the colour pictures [the only one]; implies --pair."),
    ] = None,
    max_skew_ms: Annotated[
        float, typer.Option(help="Milliseconds that the two halves of a pair may lie apart.")
    ] = 20.0,
    clock: Annotated[
        str, typer.Option(help="Times of a recording: header (of the camera) or received.")
    ] = "header",
    times: Annotated[
        str, typer.Option(help="Times of files: name, mtime, or a CSV with columns file,time.")
    ] = "name",
    confidence: Annotated[
        Path | None,
        typer.Option(
            help="Folder with an image of confidences for each frame, of equal name; of files only."
        ),
    ] = None,
    min_confidence: Annotated[
        float | None, typer.Option(help="Pixels with a lower confidence become no measurement.")
    ] = None,
    form: Annotated[
        str, typer.Option("--format", help="png (a file a frame; .npy for float frames) or ffv1 (one video).")
    ] = "png",
    align: Annotated[
        bool,
        typer.Option(
            "--align", help="Warp RGB images into the depth camera's view, by its depth; implies --pair."
        ),
    ] = False,
    extrinsics: Annotated[
        Path | None,
        typer.Option(
            help="YAML for --align: rotation, translation, depth, color, where a recording does not have them."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="What was written, as JSON on stdout.")] = False,
) -> None:
    """Bring recordings (ROS, MCAP, OAK, Azure Kinect, ScanNet), or files with times, to a folder of frames or pairs."""
    from tgkt_edge.runtime.recorder.import_data import import_data

    summary = import_data(
        src, out, times=times, confidence=confidence, min_confidence=min_confidence,
        topic=topic, sensor=sensor, pair=pair, rgb_topic=rgb_topic, max_skew_ms=max_skew_ms, clock=clock, form=form,
        align=align, extrinsics=extrinsics,
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(summary.to_dict()))
    typer.echo(summary.text(), err=True)
