"""A bundle that is ready to classify: one frame, several, or what a camera delivers."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, overload

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.bundle.signature import open_trusted
from tgkt_edge.errors import FrameError, IncompatibleError, TgktEdgeError, UsageError
from tgkt_edge.monitoring.reference_stats import Statistics, of_bundle
from tgkt_edge.notes import LOGGER
from tgkt_edge.optional_deps import require
from tgkt_edge.preprocess import make_ready
from tgkt_edge.runtime.cameras.group import CameraGroup
from tgkt_edge.runtime.cameras.names import Camera, Cameras, Sensors, cameras_of
from tgkt_edge.runtime.cameras.open import open_records
from tgkt_edge.runtime.capture.reader import Drop
from tgkt_edge.runtime.capture.retry import Retry
from tgkt_edge.runtime.engines.base import Engine, grid_of
from tgkt_edge.runtime.engines.select import Rebuild, Say, open_engine
from tgkt_edge.runtime.events import Event
from tgkt_edge.runtime.health.sensor_flags import flags_of
from tgkt_edge.runtime.infer.evidence import never, with_evidence
from tgkt_edge.runtime.infer.preprocess_stage import infer, prepare
from tgkt_edge.runtime.infer.processor import Processor, top_of
from tgkt_edge.runtime.infer.smoothing import Decider
from tgkt_edge.runtime.records import BadFrame, Decision
from tgkt_edge.runtime.sources import open_source
from tgkt_edge.runtime.sources.base import FrameSource
from tgkt_edge.runtime.sources.stream_format import PinnedOpener
from tgkt_edge.runtime.stream import RecordStream
from tgkt_edge.sensor import SensorSpec

_POLL = 0.1  # seconds after which a wait for a frame looks after the capture thread


def load(
    bundle: str | Path | Bundle,
    *,
    engine: str = "auto",
    precision: str = "auto",
    sensor: str | SensorSpec | None = None,
    lanes: int = 1,
    rebuild: Rebuild | None = None,
    trust: Sequence[str | Path] = (),
    say: Say = LOGGER.info,
    warn: Say | None = None,
) -> Model:
    """Open a bundle and its engine. Needs OpenCV and ONNX Runtime or TensorRT, and no PyTorch.

    Args:
        bundle: the folder that ``tgkt-edge export`` wrote, or an opened Bundle.
        engine, precision: see :func:`tgkt_edge.runtime.engines.select.open_engine`. "auto" takes the first engine of
            TensorRT, CUDA and CPU that works, and its best precision of those that the bundle holds.
        sensor: how the frames are written (preset, YAML file or SensorSpec), if not as those that the bundle was
            adapted with. The range stays the bundle's.
        lanes: how many classifications run side by side on a CPU, of one core each. 1: one, on all cores.
        rebuild: builds a TensorRT plan where none loads; None: none is built.
        trust: public keys (.pub); given some, a bundle is refused unless it is signed with one of them.
        say: called with a line on the engine that was chosen. warn: with one on each skipped; None: ``say`` is.

    Raises:
        BundleError, IncompatibleError: (exit 4) no bundle, an altered one, or none of its models can be used here.
        UsageError, ConfigError: (exit 2) no such engine or precision; no such sensor, or one of another kind.
        MissingDependency: (exit 6) a library is not installed.
    """
    if isinstance(bundle, Bundle) and not trust:
        opened = bundle
    else:
        opened = open_trusted(bundle.path if isinstance(bundle, Bundle) else Path(bundle), trust)
    spec = Camera("", sensor=sensor).spec(opened.sensor)
    statistics = of_bundle(opened)
    loaded = open_engine(opened, precision, engine, say=say, warn=warn, rebuild=rebuild, lanes=lanes)
    try:
        return Model(loaded, spec, opened.classes, opened.size, statistics, opened.digest)
    except BaseException:
        loaded.close()
        raise


class Model:
    """Classifies raw frames of one sensor; see :func:`load`. A context manager that closes its engine.

    Several threads may use one model at once, for frames and for streams: calls do not affect each other. With
    more than one of ``lanes`` their calls run side by side; otherwise they take turns where the engine requires it.

    Args:
        engine: opened; closed with the model.
        sensor: what a raw frame means.
        classes: names in the order of the engine's outputs.
        size: side of the network's input, pixels.
        statistics: of the adaptation frames, for drift flags of streams; None: no such flags.
        digest: SHA-256 of the bundle's manifest; None: the engine was not opened from a bundle.
    """

    def __init__(
        self,
        engine: Engine,
        sensor: SensorSpec,
        classes: Sequence[str],
        size: int,
        statistics: Statistics | None = None,
        digest: str | None = None,
    ) -> None:
        self.engine, self.sensor, self.classes, self.size = engine, sensor, tuple(classes), size
        self.statistics, self.digest = statistics, digest
        require("cv2", "cpu", "preprocessing frames")
        make_ready(sensor, size)

    @overload
    def __call__(
        self, frames: np.ndarray[tuple[int, int], Any], *, top_k: int = 3, maps: bool = False
    ) -> Decision: ...

    @overload
    def __call__(
        self,
        frames: Sequence[NDArray[Any]] | np.ndarray[tuple[int, int, int], Any],
        *,
        top_k: int = 3,
        maps: bool = False,
    ) -> list[Decision]: ...

    def __call__(
        self, frames: NDArray[Any] | Sequence[NDArray[Any]], *, top_k: int = 3, maps: bool = False
    ) -> Decision | list[Decision]:
        """Classify one frame, or each of several.

        Args:
            frames: (H, W) raw counts exactly as the sensor gives them, uint8 or uint16 as ``sensor`` says: one
                decision. A list of such frames, or an array (N, H, W): a list of decisions, frame by frame as a
                stream makes them.
            top_k: classes listed in ``top``; more than there are means all.
            maps: decisions come with ``maps``, each class's evidence by place, and ``evidence_invalid``.

        Returns:
            ``label`` and ``probability`` of the likeliest class. ``health`` has the flags that one frame alone can
            raise, "invalid" and "saturated"; ``ms`` "preprocess", "inference" and "total". ``time`` is now, ``frame``
            the place in the list.

        Raises:
            FrameError: a frame contradicts the SensorSpec, or none of its pixels is valid.
            TgktEdgeError: (exit 1) the engine failed, or answered with numbers that are not finite.
            IncompatibleError: (exit 4) ``maps`` of a bundle without them.
            ValueError: the model is closed.
        """
        check_choices(top_k)
        if maps:
            self._need_maps("maps")
        if isinstance(frames, np.ndarray) and frames.ndim != 3:
            return self._decide(frames, 0, "frame", top_k, maps)
        return [
            self._decide(frame, number, f"frame {number}", top_k, maps) for number, frame in enumerate(frames)
        ]

    def stream(
        self,
        camera: Cameras,
        *,
        sensor: Sensors | None = None,
        top_k: int = 3,
        loop: bool = False,
        drop: Drop | None = None,
        retry: Retry | None = None,
        smooth: float = 0.0,
        min_confidence: float = 0.0,
        max_wait_ms: float = 0.0,
        maps: bool = False,
        others: Callable[[BadFrame | Event], None] | None = None,
    ) -> Generator[Decision, None, None]:
        """Decisions on what a camera or recording delivers, until its end or until the generator is closed.

        Nothing is opened before the first decision is asked for. Leaving a ``for`` loop over it early closes the
        camera; a generator that is kept is closed with ``close()`` or :func:`contextlib.closing`.

        Args:
            camera: see :func:`tgkt_edge.runtime.sources.open_source`. Several by name, ``{"door": "0", "hall": "1"}``
                or ``["door=0", "hall=1"]``: decisions on all of them in turn, each with its ``camera``.
            sensor: how the frames are written, of all cameras or by name, if not as the model's ``sensor`` says.
            loop, drop, retry, top_k, smooth, min_confidence, max_wait_ms: see :func:`tgkt_edge.runtime.run`.
            maps: decisions come with ``maps``, each class's evidence by place, and ``evidence_invalid``.
            others: called with everything that is not a decision: frames that could not be used, and changes of state
                and health, each before the decisions that follow it. None: they are left out.

        Raises:
            UsageError: (exit 2) a bad argument.
            SourceLostError: (exit 5) the source is missing, was lost, contradicts the SensorSpec in its first frame,
                or gave no frame that could be classified. With several cameras: raised when all have ended.
        """
        cameras = cameras_of(camera, sensor)
        opened = open_records(
            self,
            cameras,
            top_k=top_k,
            loop=loop,
            drop=drop,
            retry=retry,
            decider=lambda: Decider(self.classes, smooth, min_confidence),
            max_wait_ms=max_wait_ms,
            evidence=maps,
            maps=lambda: maps,
        )
        return _decisions(opened, ", ".join(one.shown for one in cameras), others)

    def records(
        self,
        source: str | Callable[[], FrameSource],
        *,
        top_k: int = 3,
        loop: bool = False,
        drop: Drop | None = None,
        retry: Retry | None = None,
        decider: Decider | None = None,
        evidence: bool = False,
        maps: Callable[[], bool] = never,
        sensor: SensorSpec | None = None,
        camera: str = "",
        ring: Callable[[], None] | None = None,
    ) -> RecordStream:
        """All records of a source, for a program with a loop of its own: what ``tgkt-edge run`` hands to its sinks.

        Args:
            source: as ``camera`` of :meth:`stream`; or what opens a source, called in the capture thread, again after
                each loss as ``retry`` allows.
            decider: None: each frame's likeliest class.
            evidence: add ``evidence_invalid`` to each decision.
            maps: called before each frame: whether its decision is to come with its maps of evidence.
            sensor: what this source's frames mean; None: as the model's.
            camera: its name, for the records. ring: called when a record is ready, and at the end.

        Returns:
            A context manager, not yet entered.
        """
        check_choices(top_k, drop)
        if evidence:
            self._need_maps("evidence")
        spec = sensor or self.sensor
        processor = Processor(
            self.engine,
            spec,
            self.classes,
            self.size,
            top_k,
            decider or Decider(self.classes),
            self.statistics,
            camera,
            evidence,
            maps,
        )
        opener = PinnedOpener(partial(open_source, source, spec, loop)) if isinstance(source, str) else source
        return RecordStream(opener, self.engine, processor, drop, retry or Retry(), ring)

    def close(self) -> None:
        """Free the engine; streams must have ended. Closing twice is harmless."""
        self.engine.close()

    def __enter__(self) -> Model:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _decide(self, frame: NDArray[Any], number: int, name: str, top_k: int, maps: bool) -> Decision:
        began, now = time.perf_counter(), time.time()
        self.sensor.check(frame, name)
        ready = infer(replace(prepare(frame, self.sensor, self.size, name), mapped=maps), self.engine)
        if ready.answer is None:
            raise FrameError(ready.problem)
        probabilities = ready.answer[1][0]  # (K,)
        if not np.isfinite(probabilities).all():
            raise TgktEdgeError(f"{name}: the model answered with numbers that are not finite")
        top = top_of(probabilities, self.classes, top_k)
        health = flags_of(frame, self.sensor)
        ms = {"preprocess": ready.seconds * 1e3, "inference": ready.inference * 1e3}
        ms["total"] = (time.perf_counter() - began) * 1e3
        decision = Decision(*top[0], top, health, ms, now, number, name)
        if ready.maps is None:
            return decision
        return with_evidence(decision, ready.maps[0], frame, self.sensor, self.size, self.classes)

    def _need_maps(self, argument: str) -> None:
        """Raise IncompatibleError unless the engine gives maps."""
        if grid_of(self.engine) is None:
            raise IncompatibleError(
                f"`{argument}=True`: the graphs of this bundle have no maps of evidence. Export its run again with "
                "this tgkt-edge; networks with more than one layer between their last feature map and the classes have "
                "none."
            )


def _decisions(
    stream: RecordStream | CameraGroup, name: str, others: Callable[[BadFrame | Event], None] | None
) -> Generator[Decision, None, None]:
    with stream:
        while not stream.ended:
            for message in stream.take(_POLL):
                if isinstance(message.record, Decision):
                    yield message.record
                elif others is not None:
                    others(message.record)
        stream.refuse_empty(name)


def check_choices(top_k: int, drop: str | None = None) -> None:
    """Raise UsageError (exit 2) for numbers and words that no stream takes."""
    if top_k < 1:
        raise UsageError(f"`top_k={top_k}`: expected at least 1")
    if drop not in (None, "latest", "none"):
        raise UsageError(f"`drop={drop}`: expected latest or none")
