"""The command line: parse, call, report. The thinking is in the Python function of the same name.

Human text goes to stderr, machine output to stdout. Libraries are imported inside the commands, so that ``--help``
answers at once and a device needs only what it uses.
"""

from __future__ import annotations

import json
import os
import sys
import traceback
from pathlib import Path
from typing import Annotated, Any

import typer
import typer.core

from tgkt_edge import __version__
from tgkt_edge.errors import EXIT_INTERRUPTED, TgktEdgeError
from tgkt_edge.extras import require


class _Group(typer.core.TyperGroup):
    """Turns the errors of tgkt_edge.errors into a message and their exit code, for every command alike."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            typer.echo("interrupted", err=True)
            raise typer.Exit(EXIT_INTERRUPTED) from None
        except TgktEdgeError as error:
            if ctx.params.get("debug"):
                traceback.print_exception(error)
            typer.echo(f"error: {error}", err=True)
            raise typer.Exit(error.exit_code) from None


# No rich markup: plain help reads the same in a terminal, a pipe and a bug report.
app = typer.Typer(
    name="tgkt-edge",
    cls=_Group,
    help="Adapt an RGB scene classifier to a depth or NIR sensor without labels, export it, run it on the device.",
    epilog="Exit codes: 0 ok, 1 failure, 2 usage, 3 a check was not passed, 4 incompatible bundle or engine, "
    "5 source lost or unusable, 6 a library is missing, 130 interrupted.",
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    add_completion=False,
    no_args_is_help=True,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def main() -> None:
    """Entry point of ``tgkt-edge``. Never returns: raises SystemExit with the exit code."""
    try:
        app(prog_name="tgkt-edge")
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    finally:
        _settle_stdout()


def _settle_stdout() -> None:
    """Flush stdout; if its reader is gone, let the rest go nowhere instead of failing at interpreter exit."""
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"tgkt-edge {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    debug: Annotated[
        bool, typer.Option("--debug", envvar="TGKT_EDGE_DEBUG", help="Show a traceback with every error.")
    ] = False,
    version: Annotated[
        bool,
        typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and exit."),
    ] = False,
) -> None:
    """Options of every command; :class:`_Group` reads them."""


@app.command("run")
def run_command(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder, as 'tgkt-edge export' writes it.")],
    camera: Annotated[
        str,
        typer.Option(
            help="Frames: 0, v4l2:///dev/video0, a folder (searched recursively), a glob, an image or a video file."
        ),
    ],
    precision: Annotated[
        str, typer.Option(help="fp32, fp16, int8, int8-cpu (what the bundle holds), or auto.")
    ] = "fp32",
    engine: Annotated[str, typer.Option(help="auto or onnxruntime.")] = "auto",
    sensor: Annotated[
        str | None,
        typer.Option(
            help="Preset or YAML file, if this camera writes its frames differently than the one the bundle was "
            "adapted with."
        ),
    ] = None,
    top_k: Annotated[int, typer.Option(help="Classes listed with every frame.")] = 3,
    drop: Annotated[
        str | None,
        typer.Option(
            help="latest: the newest frame replaces one that still waits (default for cameras); none: every frame is "
            "answered (default for recordings)."
        ),
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="Repeat a recording for ever.")] = False,
    max_frames: Annotated[
        int | None, typer.Option(help="Stop after so many frames, bad ones included.")
    ] = None,
    live: Annotated[bool, typer.Option(help="Show label, fps and latency on stderr while running.")] = True,
) -> None:
    """Classify the frames of a camera or recording: one JSON object a frame on stdout, a summary on stderr."""
    from tgkt_edge.runtime.pipeline import run

    summary = run(
        bundle,
        camera,
        precision=precision,
        engine=engine,
        sensor=sensor,
        top_k=top_k,
        loop=loop,
        max_frames=max_frames,
        drop=drop,  # type: ignore[arg-type]  # run() refuses any other text by name
        live=live,
    )
    if summary.stopped == "interrupted":
        raise typer.Exit(EXIT_INTERRUPTED)


@app.command("adapt")
def adapt_command(
    target: Annotated[
        Path, typer.Option(help="Unlabelled frames of the task: a folder, or a CSV with 'frame'.")
    ],
    paired: Annotated[
        Path, typer.Option(help="Other scenes: a folder with rgb/ and frame/, or a CSV rgb,frame.")
    ],
    sensor: Annotated[
        str, typer.Option(help="What a frame means: depth, nir, nir8, nyuv2, sunrgbd, or a YAML file.")
    ],
    out: Annotated[Path, typer.Option("-o", "--out", help="Run folder to write.")],
    source_model: Annotated[Path | None, typer.Option(help="Source checkpoint (source.safetensors).")] = None,
    source: Annotated[
        Path | None,
        typer.Option(help="Or labelled RGB to train one: a folder of class folders, or a CSV image,label."),
    ] = None,
    weights: Annotated[
        str | None,
        typer.Option(help="Where training the source starts: imagenet, none, or a safetensors file."),
    ] = None,
    epochs: Annotated[int | None, typer.Option(help="Epochs of every stage.")] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Side of the network's input, pixels (default 224).")
    ] = None,
    batch: Annotated[int | None, typer.Option(help="Frames a step (default 32).")] = None,
    seed: Annotated[int | None, typer.Option(help="Seed of everything random (default 0).")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, cuda, cuda:N.")] = None,
    precision: Annotated[str | None, typer.Option(help="auto, fp32 or bf16.")] = None,
    config: Annotated[str | None, typer.Option(help="YAML file of options, or 'paper'.")] = None,
    set_: Annotated[
        list[str] | None, typer.Option("--set", help="One option, e.g. tgmb.epochs=30. Repeatable.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in -o.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is in -o.")] = False,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Go on without frames that cannot be used.")
    ] = False,
) -> None:
    """Train source (unless given), TGMB and TGKT: a target network for the sensor, without labels."""
    from tgkt_edge.config import build_config
    from tgkt_edge.sensor import load_sensor

    flags = {
        **{f"{stage}.epochs": epochs for stage in ("source", "tgmb", "tgkt")},
        "image_size": image_size,
        "batch": batch,
        "seed": seed,
        "device": device,
        "precision": precision,
        "weights": weights,
    }
    options, spec = build_config(config, set_ or (), flags), load_sensor(sensor)
    require("torch", "train", "Adapting")
    from tgkt_edge.train.adapt import adapt, describe
    from tgkt_edge.train.run import RunInputs

    inputs = RunInputs(
        target=str(target.resolve()),
        paired=str(paired.resolve()),
        source=str(source.resolve()) if source else None,
        source_model=str(source_model.resolve()) if source_model else None,
    )
    report = adapt(inputs, spec, out, options, resume=resume, overwrite=overwrite, skip_bad=skip_bad)
    for line in describe(report, out):
        typer.echo(line, err=True)


@app.command("evaluate")
def evaluate_command(
    path: Annotated[Path, typer.Argument(metavar="RUN_OR_BUNDLE", help="Run folder or bundle.")],
    data: Annotated[
        Path, typer.Option(help="Labelled frames: a folder of class folders, or a CSV frame,label.")
    ],
    model: Annotated[
        list[str] | None, typer.Option(help="source-only, tgmb or target; repeatable. Default: all.")
    ] = None,
    sensor: Annotated[
        str | None, typer.Option(help="How these frames are written, if not as the adapted ones.")
    ] = None,
    precision: Annotated[str, typer.Option(help="Precision of a bundle's model.")] = "fp32",
    device: Annotated[str, typer.Option(help="Where a run is evaluated: auto, cpu, cuda.")] = "auto",
    predictions: Annotated[
        Path | None, typer.Option(help="Write every frame's probabilities to this JSONL file.")
    ] = None,
    skip_bad: Annotated[
        bool, typer.Option("--skip-bad", help="Go on without frames that cannot be used.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="The result as JSON on stdout.")] = False,
) -> None:
    """Accuracy, balanced accuracy, recall and confusion on labelled frames."""
    from tgkt_edge.evaluate import describe, evaluate

    result = evaluate(
        path, data, models=model, sensor=sensor, precision=precision, device=device,
        skip_bad=skip_bad, predictions=predictions,
    )  # fmt: skip
    if as_json:
        typer.echo(json.dumps(result))
    else:
        for line in describe(result):
            typer.echo(line, err=True)


@app.command("export")
def export_command(
    run: Annotated[Path, typer.Argument(help="Run folder, as 'tgkt-edge adapt' writes it.")],
    out: Annotated[Path, typer.Option("-o", "--out", help="Bundle folder to write.")],
    precision: Annotated[list[str] | None, typer.Option(help="fp32; repeatable.")] = None,
    calibrate: Annotated[
        Path | None, typer.Option(help="Real frames to verify with. Default: the run's target frames.")
    ] = None,
    verify: Annotated[bool, typer.Option(help="Compare ONNX Runtime with torch on real frames.")] = True,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace what is in -o.")] = False,
) -> None:
    """Write the target network as a verified bundle for the device."""
    require("torch", "export", "Exporting a run")
    require("onnxscript", "export", "Exporting a run")
    from tgkt_edge.export.export import describe, export

    bundle = export(
        run, out, precisions=precision or ("fp32",), frames=calibrate, verify=verify, overwrite=overwrite
    )
    for line in describe(bundle):
        typer.echo(line, err=True)


@app.command("demo")
def demo_command(
    out: Annotated[Path, typer.Option("-o", "--out", help="Folder to write.")] = Path("demo"),
    sensor: Annotated[str, typer.Option(help="depth or nir.")] = "depth",
    seed: Annotated[int, typer.Option(help="Seed of the scenes and of training.")] = 0,
    weights: Annotated[str, typer.Option(help="Where the source model starts, as for adapt.")] = "none",
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace an earlier demo in -o.")] = False,
) -> None:
    """The whole job on scenes it renders itself: adapt, evaluate, export, run."""
    from tgkt_edge.demo.command import demo

    demo(
        out, overwrite=overwrite, seed=seed, sensor=sensor, weights=weights,
        say=lambda line: typer.echo(line, err=True),
    )  # fmt: skip


if __name__ == "__main__":
    main()
