"""``tgkt_edge.run``: a bundle, a camera and sinks, until the camera ends, a number of frames, or a signal."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.errors import UsageError
from tgkt_edge.notes import log_progress
from tgkt_edge.trt.monitor import ProgressShown, nothing_shown

if TYPE_CHECKING:
    from tgkt_edge.runtime.cameras.names import Cameras, Sensors
    from tgkt_edge.runtime.capture.reader import Drop
    from tgkt_edge.runtime.output.summary import RunSummary


def run(
    bundle: Path | str,
    camera: Cameras,
    *,
    precision: str = "fp32",
    engine: str = "auto",
    rebuild: bool = False,
    sensor: Sensors | None = None,
    top_k: int = 3,
    drop: Drop | None = None,
    smooth: float = 0.0,
    min_confidence: float = 0.0,
    times: str | None = None,
    evidence: bool = False,
    max_wait_ms: float = 0.0,
    watch: bool = False,
    update_gates: Sequence[str] = (),
    update_frames: int = 32,
    sinks: Sequence[str] = (),
    token: str | None = None,
    trust: Sequence[Path | str] = (),
    max_retries: int | None = None,
    wait: float = 0.0,
    loop: bool = False,
    max_frames: int | None = None,
    live: bool = True,
    out: TextIO | None = None,
    log: TextIO | None = None,
    progress: ProgressShown = nothing_shown,
) -> RunSummary:
    """Classify every frame of a camera or recording; decisions go to sinks. For decisions as objects, see ``load``.

    Args:
        bundle: folder written by ``export``.
        camera: a camera's address, a folder, a file: see :func:`tgkt_edge.runtime.sources.open_source`. Several with
            names, ``{"door": "0", "hall": "rtsp://HOST/PATH"}`` or ``["door=0", ...]``, are answered by one engine in
            turn, the newest frame of each; their records have ``camera``.
        precision: one of the bundle's, or "auto".
        engine: "tensorrt", "cuda", "cpu", "onnxruntime", "openvino", or "auto": the first that works. What was chosen
            and why goes to ``log``.
        rebuild: where the bundle has no TensorRT plan of this precision that loads here, build it first (minutes).
        sensor: preset or YAML file, if this camera writes its frames differently than the one that the bundle was
            adapted with. The range stays the bundle's. Of cameras with names also by name, as ``camera``.
        top_k: classes listed a frame; more than there are means all.
        drop: "latest": a frame that arrives while another waits replaces it; "none": every frame is answered.
            None: "latest" for cameras, "none" for recordings.
        smooth: average over about so many seconds; the label then changes only when another is clearly ahead.
        min_confidence: answer "unknown" where no class is this probable.
        times: of a folder of files, when each was taken: "name", "mtime", or a CSV ``file,time``; ``smooth`` then runs
            on these, not on the time that answering takes. Also as ``DIR?times=name`` in ``camera``.
        evidence: add to each record what share of the evidence for the class lies on pixels without a measurement.
        max_wait_ms: with several cameras, milliseconds that a frame may wait so that frames of others join its batch,
            where batches are faster; 0: only frames that are waiting already join.
        watch: when ``bundle`` changes during the run (best a symbolic link that is set to another folder), load the
            new one beside the old one and switch between two frames; also at SIGHUP, which then does not end the run,
            and at ``POST /api/reload``. One that is damaged, of other classes or another sensor, or fails a gate is
            refused, with an event that says why.
        update_gates: conditions on a new bundle: "agreement>=0.7" with the old one, share of frames; "latency<=1.5",
            times the old one's; "drift<=1", the frames' distance from its adaptation frames in multiples of its limit.
        update_frames: newest frames that both are compared on.
        sinks: URIs, see :func:`tgkt_edge.runtime.sinks.open_sink`; none given, or ``jsonl:-`` among them: stdout.
        token: what viewers of an ``http://`` sink must present.
        trust: public keys (.pub); given some, a bundle is refused unless it is signed with one of them.
        max_retries: give up a lost camera after so many failures in a row; None: never.
        wait: seconds to wait for a camera that is not there at the start.
        loop: repeat a recording indefinitely.
        max_frames: stop after so many frames, bad ones included.
        live: show label, fps and latency while running.
        out: takes the JSON lines instead of stdout.
        log: takes the live line and the summary instead of stderr; while the logger ``tgkt_edge`` is above INFO, only
            what a person should know: losses, flags, sinks that fail.
        progress: entered around a TensorRT build; gives what is called with a phase, steps done and steps in all.

    Returns:
        What was done, also after SIGINT and SIGTERM; see ``stopped``.

    Raises:
        UsageError: (exit 2) a bad argument. ConfigError: ``sensor`` is not a sensor, or of another kind.
        IncompatibleError: (exit 4) the bundle or its model cannot be used.
        SourceLostError: (exit 5) the source is missing, was lost, contradicts the SensorSpec in its first frame, or
            gave not one frame that could be classified. The summary of what was answered until then is written.
        MissingDependency: (exit 6) OpenCV or the engine's library is not installed.
    """
    if rebuild and trust:
        raise UsageError(
            "`rebuild=True` changes the bundle, and its signature no longer holds: leave `trust` out, or "
            "build the plan where the bundle is signed"
        )
    from tgkt_edge.runtime.capture.retry import Retry
    from tgkt_edge.runtime.pipeline import run as classify
    from tgkt_edge.trt.rebuild import rebuild_plan

    def build(opened: Bundle, name: str) -> Bundle:
        with progress() as step:
            return rebuild_plan(opened, name, say=log_progress, progress=step)

    return classify(
        Path(bundle),
        camera,
        precision=precision,
        engine=engine,
        rebuild=build if rebuild else None,
        sensor=sensor,
        top_k=top_k,
        loop=loop,
        max_frames=max_frames,
        drop=drop,
        retry=Retry(limit=max_retries, wait=wait),
        sinks=sinks,
        token=token,
        trust=trust,
        smooth=smooth,
        min_confidence=min_confidence,
        evidence=evidence,
        max_wait_ms=max_wait_ms,
        times=times,
        watch=watch,
        update_gates=update_gates,
        update_frames=update_frames,
        out=out,
        log=log,
        live=live,
    )
