"""``tgkt-edge run``."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

import typer

from tgkt_edge.cli.bundle import TrustOption
from tgkt_edge.cli.log import is_quiet
from tgkt_edge.errors import EXIT_INTERRUPTED, TgktEdgeError

SINK_OPTIONS = """\
Options of sinks, as KIND:PLACE?option=value&option=value (in quotes, for the shell):

\b
jsonl:PATH, csv:PATH
  max_mb=100      size of a file in MB, then a new one is begun
  keep=10         full files that stay beside it, as NAME.1.jsonl and so on
  buffer=10000    lines kept in memory while the disk is full

\b
mqtt://[USER[:PASSWORD]@]HOST[:PORT]/TOPIC, mqtts:// (encrypted)
  qos=1           0, 1 or 2
  buffer=10000    records kept in memory while the broker is away
  client_id=NAME  default: made of this machine, topic and camera
  password_file=FILE
  ca=FILE, cert=FILE, key=FILE  PEM files; mqtts:// only

\b
video:PATH (.mkv or .avi)
  fps=10          of the film
  pace=time       frames at the pace of their timestamps, or pace=frames: each
                  frame once
  width=640       pixels
  colours=NAME    viridis, turbo or grey; default: by the kind of sensor
  max_mb=500, keep=10  as for jsonl:
  reserve_mb=64   of the disk that stay free

\b
frames:DIR
  budget_mb=500   that the folder never exceeds
  policy=random:0.2,uncertain:0.4,novel:0.4  shares of it
  spacing=10      seconds between two uncertain, or two novel frames
  reserve_mb=64   of the disk that stay free

\b
http://HOST:PORT, https://HOST:PORT
  host=NAME       a name that viewers may use beside addresses; several: commas
  stale=30        seconds of silence after which /healthz answers 503
  cert=FILE, key=FILE  PEM files; https:// only
"""
"""What ``tgkt-edge run --help`` ends with."""


def run_command(
    bundle: Annotated[Path, typer.Argument(help="Bundle folder, as 'tgkt-edge export' writes it.")],
    camera: Annotated[
        list[str],
        typer.Option(
            help="Frames: 0, v4l2:///dev/video0, realsense://SERIAL_OR_FILE, openni2://0, depthai://, orbbec://, "
            "csi://0, gst:PIPELINE, rtsp://HOST/PATH, http://HOST/PATH, a folder (searched recursively), a glob, an "
            "image or a video file, what 'tgkt-edge record' wrote, replay:DIR (the same at its recorded pace). "
            "Repeatable with names: --camera door=0 --camera hall=rtsp://HOST/PATH are answered by one engine in turn."
        ),
    ],
    precision: Annotated[
        str, typer.Option(help="fp32, fp16, int8, int8-cpu (what the bundle holds), or auto.")
    ] = "fp32",
    engine: Annotated[
        str,
        typer.Option(
            help="tensorrt, cuda or cpu (ONNX Runtime on a GPU or not), onnxruntime (either of these two), openvino; "
            "auto: the first of tensorrt, cuda and cpu that works, or openvino where 'tgkt-edge benchmark' measured it "
            "to be faster. One named here that does not work is an error."
        ),
    ] = "auto",
    rebuild: Annotated[
        bool,
        typer.Option(
            "--rebuild",
            help="Where the bundle has no TensorRT plan of this precision that loads here, build it into the bundle "
            "first (minutes). Plans for other GPUs stay, and so does the old plan if the build fails.",
        ),
    ] = False,
    sensor: Annotated[
        list[str] | None,
        typer.Option(
            help="Preset or YAML file, if this camera writes its frames differently than the one the bundle was "
            "adapted with; for one of several cameras as NAME=FILE (repeatable)."
        ),
    ] = None,
    top_k: Annotated[int, typer.Option(help="Classes listed with every frame.")] = 3,
    drop: Annotated[
        Literal["latest", "none"] | None,
        typer.Option(
            help="latest: the newest frame replaces one that still waits (default for cameras); none: every frame is "
            "answered (default for recordings)."
        ),
    ] = None,
    smooth: Annotated[
        float,
        typer.Option(
            help="Average over about so many seconds; the label then changes only when another is clearly ahead."
        ),
    ] = 0.0,
    min_confidence: Annotated[
        float, typer.Option(help="Answer 'unknown' where no class is this probable.")
    ] = 0.0,
    times: Annotated[
        str | None,
        typer.Option(
            help="When the files of a folder were taken, for --smooth: name (times in their names), mtime, or a CSV "
            "with columns file,time. Default: when each is answered."
        ),
    ] = None,
    evidence: Annotated[
        bool,
        typer.Option(
            "--evidence",
            help="Add to each record what share of the evidence for the class lies on pixels without a measurement.",
        ),
    ] = False,
    max_wait_ms: Annotated[
        float,
        typer.Option(
            help="With several cameras: milliseconds that a frame may wait so that frames of other cameras join its "
            "batch, where batches are faster; 0: only frames that are waiting already join."
        ),
    ] = 0.0,
    watch: Annotated[
        bool,
        typer.Option(
            "--watch",
            help="Switch to a new bundle while running when BUNDLE (best a symbolic link) changes; also looks at "
            "SIGHUP and POST /api/reload. A bundle that cannot be used or fails a gate is refused.",
        ),
    ] = False,
    update_gate: Annotated[
        list[str] | None,
        typer.Option(
            help="What a new bundle must reach on the newest frames; repeatable: 'agreement>=0.7' with the old one, "
            "'latency<=1.5' times the old one's, 'drift<=1' multiples of its limit."
        ),
    ] = None,
    update_frames: Annotated[int, typer.Option(help="Newest frames that both bundles are compared on.")] = 32,
    sink: Annotated[
        list[str] | None,
        typer.Option(
            help="Where decisions go; repeatable: jsonl:PATH, jsonl:- (stdout, the default), csv:PATH, "
            "mqtt://HOST/TOPIC, video:PATH, frames:DIR (frames worth adapting to), http://HOST:PORT (a live page). "
            "Options of each: below."
        ),
    ] = None,
    token: Annotated[
        str | None, typer.Option(help="What viewers of an http sink must present.", envvar="TGKT_EDGE_TOKEN")
    ] = None,
    trust: TrustOption = None,
    max_retries: Annotated[
        int | None,
        typer.Option(help="Give up a lost camera after so many failures in a row (default: never)."),
    ] = None,
    wait: Annotated[
        float, typer.Option(help="Seconds to wait for a camera that is not there at the start.")
    ] = 0.0,
    loop: Annotated[bool, typer.Option("--loop", help="Repeat a recording indefinitely.")] = False,
    max_frames: Annotated[
        int | None, typer.Option(help="Stop after so many frames, bad ones included.")
    ] = None,
    live: Annotated[bool, typer.Option(help="Show label, fps and latency on stderr while running.")] = True,
) -> None:
    """Classify the frames of a camera or recording: one JSON object a frame on stdout, a summary on stderr."""
    from tgkt_edge.api.run import run
    from tgkt_edge.cli.build_progress import build_progress

    summary = run(
        bundle,
        camera,
        precision=precision,
        engine=engine,
        rebuild=rebuild,
        sensor=sensor or None,
        top_k=top_k,
        drop=drop,
        smooth=smooth,
        min_confidence=min_confidence,
        times=times,
        evidence=evidence,
        max_wait_ms=max_wait_ms,
        watch=watch,
        update_gates=update_gate or (),
        update_frames=update_frames,
        sinks=sink or (),
        token=token,
        trust=trust or (),
        max_retries=max_retries,
        wait=wait,
        loop=loop,
        max_frames=max_frames,
        live=live and not is_quiet(),
        progress=build_progress,
    )
    if summary.stopped == "interrupted":
        raise typer.Exit(EXIT_INTERRUPTED)
    if summary.undelivered:
        texts = (
            f"{name}: not one message was delivered: {why}." for name, why in summary.undelivered.items()
        )
        raise TgktEdgeError(" ".join(texts))
