"""``tgkt-edge run``: a bundle, a camera and sinks; stop requests, the live line, the summary.

What comes from the camera goes through ``stream.py``. Each sink writes in a thread of its own, except stdout, which the
deciding thread writes (``output/dispatcher.py``).
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from pathlib import Path
from typing import TextIO

from tgkt_edge.bundle.signature import open_trusted
from tgkt_edge.errors import UsageError
from tgkt_edge.io.addresses import redacted
from tgkt_edge.monitoring.reference_stats import Statistics as AdaptationStatistics
from tgkt_edge.runtime.cameras.names import Cameras, Sensors, cameras_of
from tgkt_edge.runtime.cameras.open import open_records
from tgkt_edge.runtime.capture.reader import Drop
from tgkt_edge.runtime.capture.retry import NEVER, Retry
from tgkt_edge.runtime.engines.base import Engine
from tgkt_edge.runtime.engines.onnxruntime import lanes_for_files
from tgkt_edge.runtime.engines.select import Rebuild
from tgkt_edge.runtime.infer.smoothing import Decider
from tgkt_edge.runtime.model import Model, check_choices, load
from tgkt_edge.runtime.output.delivery import deliver
from tgkt_edge.runtime.output.live_line import LiveLine
from tgkt_edge.runtime.output.shutdown import StopRequest
from tgkt_edge.runtime.output.summary import RunSummary
from tgkt_edge.runtime.sinks import STDOUT, Sink, open_sink
from tgkt_edge.runtime.sources import is_files
from tgkt_edge.runtime.sources.base import FrameSource
from tgkt_edge.runtime.updates.rules import watch_rules
from tgkt_edge.runtime.updates.updater import Requests, Updater
from tgkt_edge.sensor import SensorSpec


def run(
    bundle: Path,
    camera: Cameras,
    *,
    precision: str = "fp32",
    engine: str = "auto",
    rebuild: Rebuild | None = None,
    sensor: Sensors | None = None,
    top_k: int = 3,
    loop: bool = False,
    max_frames: int | None = None,
    drop: Drop | None = None,
    retry: Retry | None = None,
    sinks: Sequence[str] = (),
    token: str | None = None,
    trust: Sequence[Path | str] = (),
    smooth: float = 0.0,
    min_confidence: float = 0.0,
    evidence: bool = False,
    max_wait_ms: float = 0.0,
    times: str | None = None,
    watch: bool = False,
    update_gates: Sequence[str] = (),
    update_frames: int = 32,
    update_poll: float = 0.5,
    out: TextIO | None = None,
    log: TextIO | None = None,
    live: bool = True,
) -> RunSummary:
    """Classify every frame of a camera or recording until it ends, ``max_frames`` or a signal.

    Arguments, result and errors are those of :func:`tgkt_edge.api.run.run`, except for these.

    Args:
        rebuild: builds a TensorRT plan where none loads, see :func:`tgkt_edge.runtime.engines.select.open_engine`.
        retry: what happens when a camera is lost; None: it is opened again indefinitely.
        smooth, min_confidence: see :class:`tgkt_edge.runtime.infer.smoothing.Decider`.
        update_poll: seconds between two looks at a watched bundle.
    """
    _check_max(max_frames)
    check_choices(top_k, drop)
    cameras = cameras_of(camera, sensor, times)
    rules = watch_rules(
        Path(bundle), watch, update_gates, update_frames, update_poll, engine, precision, cameras[0], trust
    )
    # A link is followed once: all files are then of one bundle.
    found = open_trusted(Path(bundle) if rules is None else Path(os.path.realpath(bundle)), trust)
    Decider(found.classes, smooth, min_confidence)  # refuses what it does not take, before anything is opened
    specs = [one.spec(found.sensor) for one in cameras]
    line = LiveLine(sys.stderr if log is None else log)
    requests = Requests()
    with StopRequest(None if rules is None else requests.hang_up) as stop:
        # A name twice is one sink: lines must not come twice.
        opened = [
            open_sink(
                uri,
                token=token,
                out=out,
                stopping=stop.asked,
                update=None if rules is None else requests.ask,
            )
            for uri in dict.fromkeys(sinks or (STDOUT,))
        ]
        with load(
            found,
            engine=engine,
            precision=precision,
            sensor=None if cameras[0].name else cameras[0].sensor,
            lanes=_lanes([one.uri for one in cameras], drop) if rules is None else 1,
            rebuild=rebuild,
            say=line.inform,
            warn=line.say,
        ) as model:
            stream = open_records(
                model,
                cameras,
                top_k=top_k,
                loop=loop,
                drop=drop,
                retry=retry,
                decider=lambda: Decider(found.classes, smooth, min_confidence),
                max_wait_ms=max_wait_ms,
                evidence=evidence,
                maps=lambda: any(sink.wants_maps for sink in opened),
                say=line.inform,
            )
            if model.statistics is None:
                line.say(
                    f"{bundle} holds no statistics of its adaptation frames: no flags input_drift, upside_down, "
                    "class_drift and wrong_scale. Export it again to add them."
                )
            elif model.statistics.scale is None:
                line.say(
                    f"{bundle} holds no quantiles of its adaptation frames' values: no flag wrong_scale. Export it "
                    "again from its run, or with `calibrate`, to add them."
                )
            updater = None
            if rules is not None:
                by_name = {one.name: spec for one, spec in zip(cameras, specs, strict=True)}
                updater = Updater(rules, model, found.sensor, by_name, requests)
            with updater or nullcontext():
                return deliver(
                    stream,
                    model,
                    ", ".join(one.shown for one in cameras),
                    cameras=[
                        one.described(spec) for one, spec in zip(cameras, specs, strict=True) if one.name
                    ],
                    max_frames=max_frames,
                    sinks=opened,
                    log=log,
                    live=live,
                    stop=stop,
                    updater=updater,
                )


def classify(
    source: Callable[[], FrameSource],
    engine: Engine,
    spec: SensorSpec,
    classes: Sequence[str],
    size: int,
    *,
    name: str = "source",
    digest: str | None = None,
    top_k: int = 3,
    max_frames: int | None = None,
    drop: Drop | None = None,
    retry: Retry = NEVER,
    sinks: Sequence[Sink] = (),
    stdout: bool = True,
    decider: Decider | None = None,
    statistics: AdaptationStatistics | None = None,
    out: TextIO | None = None,
    log: TextIO | None = None,
    live: bool = True,
    stop: StopRequest | None = None,
) -> RunSummary:
    """:func:`run` with an engine that is already open and is not closed, and something that opens the source.

    Args:
        source: called in the capture thread; again after each loss, as ``retry`` allows.
        digest: the bundle's, for the records; None: the engine is of none.
        decider: None: each frame's likeliest class. statistics: what is normal; None: no drift flags.
        sinks: not yet open; closed at the end. stdout: write JSON lines to ``out`` as well.
    """
    _check_max(max_frames)
    stop = stop or StopRequest()
    if stdout:
        sinks = [open_sink(STDOUT, out=out, stopping=stop.asked), *sinks]
    model = Model(engine, spec, classes, size, statistics, digest)
    stream = model.records(
        source,
        top_k=top_k,
        drop=drop,
        retry=retry,
        decider=decider,
        maps=lambda: any(sink.wants_maps for sink in sinks),
    )
    return deliver(
        stream, model, redacted(name), max_frames=max_frames, sinks=sinks, log=log, live=live, stop=stop
    )


def _lanes(uris: Sequence[str], drop: Drop | None) -> int:
    """Inferences to run side by side."""
    return lanes_for_files() if drop != "latest" and all(map(is_files, uris)) else 1


def _check_max(max_frames: int | None) -> None:
    if max_frames is not None and max_frames < 1:
        raise UsageError(f"`max_frames={max_frames}`: expected at least 1")
