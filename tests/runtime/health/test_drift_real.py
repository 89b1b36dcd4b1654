"""Drift flags on real frames: half of a set is the adaptation's, the other half, other places, is new."""

from __future__ import annotations

import csv
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tgkt_edge.monitoring.input_distance import FALSE_ALARM, describe
from tgkt_edge.monitoring.orientation import tilt
from tgkt_edge.monitoring.reference_stats import Statistics
from tgkt_edge.preprocess import preprocess
from tgkt_edge.runtime.health.drift import MIN_FRAMES, WINDOW, Drift
from tgkt_edge.sensor import PRESETS, RawFrame, SensorSpec

EVEN = np.full(3, 1 / 3, np.float32)


def grey(file: Path) -> RawFrame:
    frame: RawFrame | None = cv2.imread(str(file), cv2.IMREAD_GRAYSCALE)  # type: ignore[assignment]
    assert frame is not None
    return frame


def halves(files: list[Path], parts: int) -> tuple[list[RawFrame], list[RawFrame]]:
    frames = [grey(file) for file in files]
    part = [number * parts // len(frames) % 2 for number in range(len(frames))]
    return tuple([f for f, p in zip(frames, part, strict=True) if p == half] for half in (0, 1))  # type: ignore[return-value]


@pytest.fixture(scope="module", params=["depth", "nir"])
def real(
    request: pytest.FixtureRequest, data_dir: Path
) -> tuple[str, SensorSpec, list[RawFrame], list[RawFrame]]:
    """NYU Depth v2 or RGB-NIR frames: kind, SensorSpec, adaptation's, new ones."""
    if request.param == "depth":
        with (data_dir / "nyuv2" / "labels.csv").open() as file:
            names = [row["depth"] for row in csv.DictReader(file)][::2]
        files = [data_dir / "nyuv2" / name for name in names]
        return "depth", replace(PRESETS["nyuv2"], size="any"), *halves(files, 40)
    files = sorted((data_dir / "epfl-rgbnir").glob("*/*_nir.jpg"))
    return "nir", PRESETS["nir8"], *halves(files, 30)


def learn(spec: SensorSpec, frames: list[RawFrame]) -> Statistics:
    units = [preprocess(frame, spec, 112) for frame in frames]
    described = np.stack([describe(one, 0.0) for one in units])
    tilts = np.array([tilt(one) for one in units], np.float32)
    found = Statistics.of(described, np.tile(EVEN, (len(frames), 1)), tilts)
    assert found is not None
    return found


def unlike(known: Statistics, spec: SensorSpec, frames: Sequence[RawFrame]) -> float:
    """Share of frames beyond the limit."""
    return float(np.mean([known.input.distance(describe(preprocess(f, spec, 112), 0.0)) > 1 for f in frames]))


def flagged(
    known: Statistics, spec: SensorSpec, frames: Sequence[RawFrame], flag: str = "input_drift"
) -> bool:
    drift = Drift(known, live=False)
    for frame in frames:
        flags = drift.look(preprocess(frame, spec, 112), 0.0, EVEN, 0.0)[1]
    return flag in flags


def clip(frame: NDArray[Any]) -> RawFrame:
    counts: RawFrame = np.clip(np.rint(frame), 0, 255).astype(np.uint8)
    return counts


RNG = np.random.default_rng(0)
CORRUPTED: dict[str, Callable[[RawFrame], RawFrame]] = {
    "lens covered": lambda f: clip(RNG.normal(2, 1, f.shape)),
    "counts times ten": lambda f: clip(f.astype(float) * 10),
    "strong noise": lambda f: clip(f + RNG.normal(0, 80, f.shape)),
    "washed out": lambda f: clip(250 + RNG.normal(0, 2, f.shape)),
}


@pytest.mark.slow
def test_real_frames_of_other_places_raise_nothing_and_rarely_pass_the_limit(real: Any) -> None:
    _, spec, seen, new = real
    known = learn(spec, seen)
    # 362 frames in 20 rooms each, or 106 in 15: at most three times what is promised for independent frames.
    assert unlike(known, spec, new) <= 3 * max(FALSE_ALARM, 1 / (len(seen) + 1))
    assert not flagged(known, spec, new)


@pytest.mark.parametrize("what", CORRUPTED)
@pytest.mark.slow
def test_real_frames_that_are_spoilt_raise_input_drift(real: Any, what: str) -> None:
    _, spec, seen, new = real
    known = learn(spec, seen)
    frames = [CORRUPTED[what](frame) for frame in new[:WINDOW]]
    assert unlike(known, spec, frames) > 0.9
    assert flagged(known, spec, frames)


@pytest.mark.slow
def test_inverted_depth_and_another_sensor_raise_input_drift(real: Any, data_dir: Path) -> None:
    kind, spec, seen, new = real
    known = learn(spec, seen)
    other = sorted((data_dir / "epfl-rgbnir").glob("*/*_nir.jpg"))[::4]
    if kind == "depth":
        assert flagged(known, spec, [255 - frame for frame in new[:WINDOW]])
    else:
        other = sorted((data_dir / "nyuv2" / "depth").glob("*.png"))[::30]
    frames = [grey(file) for file in other]
    assert len(frames) >= MIN_FRAMES
    assert flagged(known, spec, frames)


@pytest.mark.slow
def test_depth_upside_down_is_told_and_nir_photographs_cannot_tell(real: Any) -> None:
    kind, spec, seen, new = real
    known = learn(spec, seen)
    if kind == "nir":
        assert known.upright is None  # a meadow below a dark sky, a dark street below a bright one
        return
    assert known.upright is not None
    assert known.upright.sign == -1  # floors are near
    tilts = np.array([tilt(preprocess(frame, spec, 112)) for frame in new])
    assert np.mean([known.upright.turned(value) for value in tilts]) <= 3 * FALSE_ALARM
    assert np.mean([known.upright.turned(-value) for value in tilts]) > 0.8
    assert not flagged(known, spec, new, "upside_down")
    assert flagged(known, spec, [frame[::-1].copy() for frame in new[:WINDOW]], "upside_down")
    assert not flagged(known, spec, [frame[::-1].copy() for frame in new[:WINDOW]], "input_drift")
