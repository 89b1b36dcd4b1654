"""A new bundle beside the one that answers: loaded, compared, and measured on the newest frames."""

from __future__ import annotations

import dataclasses
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.bundle.signature import open_trusted
from tgkt_edge.errors import IncompatibleError, TgktEdgeError
from tgkt_edge.monitoring.input_distance import describe
from tgkt_edge.runtime.engines.base import Engine
from tgkt_edge.runtime.engines.calibrated import uncalibrated
from tgkt_edge.runtime.health.sensor_flags import invalid_share
from tgkt_edge.runtime.infer.preprocess_stage import infer, prepare
from tgkt_edge.runtime.model import Model, load
from tgkt_edge.runtime.updates.gates import Comparison
from tgkt_edge.sensor import SensorSpec
from tgkt_edge.system.memory import available_memory

_TIMES = 3
"""What a loaded network takes of memory, in sizes of its file: weights, what the engine makes of them, activations."""

_SPARE = 64_000_000  # bytes that stay free beside it


@dataclass(frozen=True)
class Seen:
    """A frame that was answered: raw counts, of which camera, and the class of this frame alone."""

    frame: NDArray[Any]
    camera: str
    label: str


def load_beside(
    path: Path,
    old: Model,
    spec: SensorSpec,
    *,
    engine: str,
    precision: str,
    sensor: str | SensorSpec | None = None,
    trust: Sequence[Path | str] = (),
) -> Model:
    """Load a bundle while ``old`` answers.

    Args:
        path: its folder, resolved: a link may change meanwhile.
        spec: the SensorSpec of the bundle that ``old`` is of.
        engine, precision, sensor, trust: see :func:`tgkt_edge.runtime.model.load`.

    Raises:
        IncompatibleError: (exit 4) it is damaged, not signed with one of the trusted keys, of other classes or
            another sensor, or there is too little memory.
        TgktEdgeError: whatever :func:`tgkt_edge.runtime.model.load` raises.
    """
    bundle = open_trusted(path, trust)
    if tuple(bundle.classes) != old.classes:
        raise IncompatibleError(
            f"its classes are {', '.join(bundle.classes)}, not {', '.join(old.classes)}: records would change their "
            f"meaning. Start a new run with it."
        )
    difference = _difference(bundle.sensor, spec)
    if difference:
        raise IncompatibleError(f"its sensor differs: {difference}. Start a new run with it.")
    files = [one.stat().st_size for one in (bundle.path / name for name in bundle.files) if one.is_file()]
    need, free = _TIMES * max(files, default=0) + _SPARE, available_memory()
    if free is not None and free < need:
        raise IncompatibleError(
            f"too little memory to load it beside the old one: {free / 1e6:.0f} MB are free, it takes up to "
            f"{need / 1e6:.0f} MB"
        )
    return load(bundle, engine=engine, precision=precision, sensor=sensor, say=_silent)


def damage_of(path: Path, trust: Sequence[Path | str] = ()) -> str:
    """Why a bundle whose manifest is that of the one in use could not be used all the same; empty if it could."""
    try:
        bundle = open_trusted(path, trust)
        for name in bundle.files:
            bundle.file(name)
    except (TgktEdgeError, OSError) as error:
        return str(error)
    return ""


def compare(old: Model, new: Model, frames: Sequence[Seen], sensors: Mapping[str, SensorSpec]) -> Comparison:
    """What ``new`` answers to frames that ``old`` has answered.

    Args:
        sensors: by camera, how its frames are written.

    Raises:
        TgktEdgeError: (exit 1) it fails, or answers with numbers that are not finite.
    """
    if not frames:
        return Comparison()
    agreed, took, took_old, distances = 0, [], [], []
    engine, engine_old = uncalibrated(new.engine), uncalibrated(old.engine)
    for seen in frames:
        spec = sensors[seen.camera]
        ready = infer(prepare(seen.frame, spec, new.size, "frame"), engine)
        if ready.answer is None or ready.unit is None:
            raise TgktEdgeError(f"it cannot use a frame that the old one answered: {ready.problem}")
        probabilities = ready.answer[1][0]
        if not np.isfinite(probabilities).all():
            raise TgktEdgeError("it answers with numbers that are not finite")
        agreed += new.classes[int(probabilities.argmax())] == seen.label
        took.append(ready.inference)
        took_old.append(_seconds_of_old(old, engine_old, ready.unit, seen, spec))
        if new.statistics is not None:
            described = describe(ready.unit, invalid_share(seen.frame, spec))
            distances.append(new.statistics.input.distance(described))
    ratio = statistics.median(took) / max(statistics.median(took_old), 1e-9)
    drift = statistics.median(distances) if distances else None
    return Comparison(len(frames), agreed / len(frames), ratio, drift)


def _seconds_of_old(
    old: Model, engine: Engine, unit: NDArray[np.float32], seen: Seen, spec: SensorSpec
) -> float:
    """What the old engine takes now, beside the same work as the new one."""
    own = unit if old.size == unit.shape[-1] else prepare(seen.frame, spec, old.size, "frame").unit
    if own is None:
        return 0.0
    began = time.perf_counter()
    engine.infer(own[np.newaxis])
    return time.perf_counter() - began


def _difference(new: SensorSpec, old: SensorSpec) -> str:
    """The first fields in which two SensorSpecs differ; empty: none."""
    names = [field.name for field in dataclasses.fields(old)]
    found = [
        f"{name} {getattr(new, name)} instead of {getattr(old, name)}"
        for name in names
        if getattr(new, name) != getattr(old, name)
    ]
    return ", ".join(found[:3])


def _silent(line: str) -> None:
    """What was loaded is in the event."""
