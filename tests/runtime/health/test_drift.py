"""Drift flags: when they go on and off, on made-up and on real frames."""

from __future__ import annotations

import io
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.bundles import save_bundle, save_watched_bundle
from tests.support.cameras import NotedEngine
from tests.support.cli import run_cli, split_start
from tests.support.images import make_frames, save_frames
from tgkt_edge.bundle.bundle import STATISTICS, Bundle
from tgkt_edge.errors import BundleError
from tgkt_edge.monitoring.input_distance import describe
from tgkt_edge.monitoring.orientation import tilt
from tgkt_edge.monitoring.reference_stats import Statistics
from tgkt_edge.preprocess import preprocess
from tgkt_edge.runtime import Captured, run
from tgkt_edge.runtime.capture.frame import Frame
from tgkt_edge.runtime.health.drift import MIN_FRAMES, OLDEST, PERIOD, WINDOW, Drift
from tgkt_edge.runtime.infer.processor import Processor
from tgkt_edge.runtime.infer.smoothing import Decider
from tgkt_edge.sensor import PRESETS

EVEN = np.full(3, 1 / 3, np.float32)


def unit(seed: int, noise: float = 0.0) -> NDArray[np.float32]:
    """A smooth picture of (1, 32, 32), and noise."""
    rng = np.random.default_rng(seed)
    picture: NDArray[Any] = cv2.resize(
        rng.random((4, 4), np.float32), (32, 32), interpolation=cv2.INTER_LINEAR
    )
    noisy = np.clip(picture + rng.normal(0, noise, (32, 32)), 0, 1).astype(np.float32)
    result: NDArray[np.float32] = noisy[np.newaxis]
    return result


@pytest.fixture(scope="module")
def known() -> Statistics:
    """Of 200 smooth pictures, each of three classes with certainty in turn."""
    described = np.stack([describe(unit(seed), 0.0) for seed in range(200)])
    answers = np.eye(3, dtype=np.float32)[np.arange(200) % 3] * 0.97 + 0.01
    found = Statistics.of(described, answers)
    assert found is not None
    assert 8 in found.answers.limits
    return found


def changes(
    drift: Drift, frames: Sequence[tuple[NDArray[np.float32], NDArray[np.float32], float]]
) -> list[Any]:
    """(flag, active, number of the frame) of every event."""
    return [
        (event.flag, event.active, number)
        for number, (picture, answer, time) in enumerate(frames)
        for event in drift.look(picture, 0.0, answer, time)[2]
    ]


def sure(number: int) -> NDArray[np.float32]:
    answer: NDArray[np.float32] = np.eye(3, dtype=np.float32)[number % 3] * 0.97 + 0.01
    return answer


def test_input_drift_goes_on_with_half_of_the_window_and_off_with_a_quarter(known: Statistics) -> None:
    drift = Drift(known, live=False)
    good = [(unit(1000 + n), sure(n), 0.0) for n in range(WINDOW)]
    noisy = [(unit(2000 + n, noise=0.3), sure(n), 0.0) for n in range(WINDOW)]
    assert changes(drift, good) == []
    # The median is beyond the limit with the 26th of 50, and three quarters are within it again after the 38th.
    assert changes(drift, noisy) == [("input_drift", True, WINDOW // 2)]
    distances, flags, _ = drift.look(noisy[0][0], 0.0, EVEN, 0.0)
    assert flags == ["input_drift"]
    assert distances["input"] > 1
    assert changes(drift, good) == [("input_drift", False, 37)]


def test_a_few_frames_decide_nothing(known: Statistics) -> None:
    drift = Drift(known, live=False)
    noisy = [(unit(n, noise=0.3), sure(n), 0.0) for n in range(MIN_FRAMES)]
    assert changes(drift, noisy) == [("input_drift", True, MIN_FRAMES - 1)]


def test_a_live_source_is_looked_at_by_its_clock_not_by_its_frame_rate(known: Statistics) -> None:
    for rate in (5, 30, 90):
        drift = Drift(known, live=True)
        noisy = [(unit(n % 50, noise=0.3), sure(n), 100 + n / rate) for n in range(4 * rate)]
        ((flag, active, number),) = changes(drift, noisy)
        assert (flag, active) == ("input_drift", True)
        assert number / rate == pytest.approx(PERIOD * (MIN_FRAMES - 1), abs=0.5)


def test_old_frames_are_forgotten_and_a_clock_set_back_does_not_stop_the_watch(known: Statistics) -> None:
    drift = Drift(known, live=True)
    good = [(unit(1000 + n), sure(n), 1e6 + n) for n in range(WINDOW)]
    assert changes(drift, good) == []
    later = 1e6 + WINDOW + OLDEST
    noisy = [(unit(n, noise=0.3), sure(n), later + n) for n in range(MIN_FRAMES)]
    assert changes(drift, noisy)[0][2] == MIN_FRAMES - 1  # nothing of the good ones is left to outvote them
    earlier = [(unit(1000 + n), sure(n), 1000.0 + n) for n in range(WINDOW)]
    assert ("input_drift", False) in [change[:2] for change in changes(drift, earlier)]


def test_one_room_says_nothing_about_classes_however_long(known: Statistics) -> None:
    drift, rng = Drift(known, live=False), np.random.default_rng(0)
    room = unit(3)
    for number in range(300):  # the light changes, somebody walks by, and the answer is always the same
        picture = room * rng.uniform(0.9, 1.0)
        if number % 3:
            left = rng.integers(0, 24)
            picture[:, 8:, left : left + 6] = 0.3
        distances, flags, events = drift.look(picture, 0.0, sure(0), 0.0)
        assert not events
        assert "class_drift" not in flags
    assert distances["classes"] == 0


def test_one_answer_to_many_different_views_is_class_drift_and_ends_with_it(known: Statistics) -> None:
    drift = Drift(known, live=False)
    views = [(unit(1000 + n), sure(n), 0.0) for n in range(60)]
    assert changes(drift, views) == []
    stuck = [(picture, sure(0), time) for picture, _, time in views]
    assert [change[:2] for change in changes(drift, stuck)] == [("class_drift", True)]
    assert [change[:2] for change in changes(drift, views)] == [("class_drift", False)]


def slope(seed: int, by: float) -> NDArray[np.float32]:
    """A smooth picture of which the lower half is brighter by about ``by``."""
    ramp = np.linspace(-by, by, 32, dtype=np.float32)[:, np.newaxis]
    picture: NDArray[np.float32] = np.clip(0.5 + 0.2 * (unit(seed) - 0.5) + ramp, 0, 1).astype(np.float32)
    return picture


def sloping(by: float) -> Statistics:
    pictures = [slope(seed, by) for seed in range(200)]
    found = Statistics.of(
        np.stack([describe(picture, 0.0) for picture in pictures]),
        np.tile(EVEN, (200, 1)),
        np.array([tilt(picture) for picture in pictures], np.float32),
    )
    assert found is not None
    return found


@pytest.mark.parametrize("by", [0.15, -0.15])
@pytest.mark.slow
def test_upside_down_goes_on_with_half_of_the_window_and_off_with_a_quarter(by: float) -> None:
    drift = Drift(sloping(by), live=False)
    good = [(slope(1000 + n, by), EVEN, 0.0) for n in range(WINDOW)]
    turned = [(picture[:, ::-1, ::-1].copy(), answer, time) for picture, answer, time in good]
    assert changes(drift, good) == []
    assert changes(drift, turned) == [("upside_down", True, WINDOW // 2)]
    assert drift.look(turned[0][0], 0.0, EVEN, 0.0)[1] == ["upside_down"]  # and no other flag
    # 24 turned ones are left after 26 good ones and 12 after 38: a quarter of 50 is 12.5.
    ((flag, active, number),) = changes(drift, good)
    assert (flag, active) == ("upside_down", False)
    assert number == 37
    few = Drift(sloping(by), live=False)
    assert changes(few, turned[: MIN_FRAMES - 1]) == []


@pytest.mark.slow
def test_where_frames_tilt_both_ways_nothing_is_called_upside_down(known: Statistics) -> None:
    assert sloping(0.0).upright is None
    drift = Drift(sloping(0.0), live=False)
    assert changes(drift, [(slope(n, 0.0)[:, ::-1].copy(), EVEN, 0.0) for n in range(WINDOW)]) == []


# A whole run


@pytest.fixture
def watched(tmp_path: Path) -> Bundle:
    """A bundle with statistics of 40 of the tests' frames."""
    return save_watched_bundle(tmp_path / "bundle")


def test_a_run_tells_of_drift_before_the_frame_that_raised_it(watched: Bundle, tmp_path: Path) -> None:
    noise = np.random.default_rng(0)
    corrupted = [noise.integers(1, 8000, (48, 64)).astype(np.uint16) for _ in range(15)]
    folder = save_frames(tmp_path / "frames", [*make_frames(11), *corrupted], "{:03}.png")
    out, log = io.StringIO(), io.StringIO()
    run(watched.path, str(folder), out=out, log=log)
    _, records = split_start(out.getvalue())
    (event,) = [record for record in records if record.get("event") == "health"]
    assert (event["flag"], event["active"], event["limit"]) == ("input_drift", True, 1.0)
    assert event["value"] > 1
    after = records[records.index(event) + 1]
    assert after["health"] == ["input_drift"]
    assert after["drift"]["input"] == event["value"]
    assert 0 < records[0]["drift"]["input"] < 1
    assert f"input_drift: on ({event['value']:g})" in log.getvalue()


@pytest.mark.slow
def test_a_run_on_a_camera_that_was_turned_says_so(tmp_path: Path) -> None:
    made: Bundle = save_bundle(tmp_path / "bundle")
    frames = [
        (2000 + 60 * np.arange(48)[:, np.newaxis] + rng.integers(0, 500, (48, 64))).astype(np.uint16)
        for rng in map(np.random.default_rng, range(60))
    ]
    units = [preprocess(frame, made.sensor, made.size) for frame in frames[:40]]
    found = Statistics.of(
        np.stack([describe(one, 0.0) for one in units]),
        np.tile(EVEN, (40, 1)),
        np.array([tilt(one) for one in units], np.float32),
    )
    assert found is not None
    found.write(made.path / STATISTICS)
    made.write()
    for turned in (False, True):
        shown = [frame[::-1] if turned else frame for frame in frames[40:]]
        folder = save_frames(tmp_path / str(turned), shown, "{:03}.png")
        done = run_cli("run", made.path, "--camera", folder)
        assert done.code == 0, done.stderr
        # The answers at adaptation were made up, so that class_drift has its reasons.
        events = [record for record in done.records if record.get("flag") == "upside_down"]
        assert [event["active"] for event in events] == ([True] if turned else [])
        assert ("upside_down: on (1)" in done.stderr) is turned
        assert ("upside_down" in done.records[-1].get("health", [])) is turned


@pytest.mark.slow
def test_a_bundle_without_statistics_says_so_once_and_runs(depth_bundle: Bundle, tmp_path: Path) -> None:
    folder = save_frames(tmp_path / "frames", make_frames(3))
    done = run_cli("run", depth_bundle.path, "--camera", folder)
    assert done.code == 0
    assert done.stderr.count("no statistics of its adaptation frames") == 1
    assert all("drift" not in record for record in done.records)


def test_altered_statistics_are_refused(watched: Bundle) -> None:
    path = watched.path / STATISTICS
    path.write_text(path.read_text().replace("limit", "limits", 1))
    with pytest.raises(BundleError, match=r"statistics\.json has \d+ bytes"):
        run(watched.path, "nothing")


def test_flags_that_are_on_end_when_another_bundle_is_decided_with(known: Statistics) -> None:
    drift = Drift(known, live=False)
    assert drift.cleared(1.0) == []
    noise = np.random.default_rng(0).random((WINDOW, 1, 32, 32), np.float32)
    raised = changes(drift, [(picture, sure(n), 0.0) for n, picture in enumerate(noise)])
    assert ("input_drift", True) in [(flag, active) for flag, active, _ in raised]
    on = {flag for flag, active, _ in raised if active} - {flag for flag, active, _ in raised if not active}
    ended = drift.cleared(7.0)
    assert {event.flag for event in ended} == on
    assert {(event.active, event.time) for event in ended} == {(False, 7.0)}


class ThreeClasses(NotedEngine):
    """A third class that no frame shows."""

    def infer(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        logits, probabilities = super().infer(batch)
        more = ((0, 0), (0, 1))
        return np.pad(logits, more, constant_values=-14), np.pad(probabilities, more)


def test_a_processor_says_with_the_next_frame_that_flags_of_the_bundle_before_have_ended(
    known: Statistics,
) -> None:
    spec = PRESETS["nir8"]
    processor = Processor(ThreeClasses(), spec, ("a", "b", "c"), 32, 3, Decider(("a", "b", "c")), known)
    rng = np.random.default_rng(0)

    def decide(number: int) -> list[tuple[str, bool]]:
        picture = rng.integers(1, 255, (32, 32), dtype=np.uint8)
        captured = Captured(picture, number, float(number), "memory")
        events, _ = processor.decide(Frame(captured, time.perf_counter()))
        return [(event.flag, event.active) for event in events]

    raised = [event for number in range(WINDOW) for event in decide(number)]
    assert ("input_drift", True) in raised
    processor.use(ThreeClasses(), 32, None)
    assert ("input_drift", False) in decide(WINDOW)
    assert decide(WINDOW + 1) == []
