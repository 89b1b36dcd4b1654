"""Health flags from raw counts: hand-made frames, and a run that tells."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.cli import run_cli
from tests.support.images import make_frames, save_frames
from tests.support.pipeline import InstantEngine
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.runtime import Captured, FrameSource, classify
from tgkt_edge.runtime.health.sensor_flags import LIMITS, STEADY, FrameMeasures, Health, Measurer
from tgkt_edge.sensor import PRESETS, RawFrame

DEPTH = replace(PRESETS["depth"], near_m=0.3, far_m=6.0, invalid=(0, 65535))  # millimetres
GOOD = np.arange(1000, 1100, dtype=np.uint16).reshape(10, 10)


def frame(*counts: int) -> RawFrame:
    return np.array([counts], np.uint16)


def test_shares_are_counted_by_hand() -> None:
    measurer = Measurer(DEPTH)
    # One of four has no measurement; of the other three one is beyond the far end and one nearer than the near one.
    assert measurer.measure(frame(0, 7000, 100, 2000)) == FrameMeasures(0.25, 2 / 3, 0)
    assert measurer.measure(frame(0, 65535)) == FrameMeasures(1.0, 0.0, 0)


def test_a_repeat_is_equal_to_the_last_bit() -> None:
    measurer = Measurer(DEPTH)
    other = GOOD.copy()
    other[9, 9] += 1
    repeats = [measurer.measure(f).repeats for f in (GOOD, GOOD.copy(), GOOD.copy(), other, GOOD, GOOD[:5])]
    assert repeats == [0, 1, 2, 0, 0, 0]


def test_a_large_frame_is_sampled_and_a_repeat_still_looks_at_every_pixel() -> None:
    rng = np.random.default_rng(0)
    large = rng.integers(1000, 5000, (480, 640)).astype(np.uint16)
    large[:, :160] = 0
    measurer = Measurer(DEPTH)
    assert measurer.measure(large).invalid == pytest.approx(0.25, abs=0.01)
    changed = large.copy()
    changed[479, 639] += 1  # not on the grid that is sampled
    assert measurer.measure(changed).repeats == 0


def looks(health: Health, frames: Sequence[RawFrame]) -> list[tuple[str, bool]]:
    events = []
    for number, one in enumerate(frames):
        events += health.look(one, float(number))[1]
    return [(event.flag, event.active) for event in events]


def test_a_flag_goes_on_and_off_only_when_frames_in_a_row_agree() -> None:
    dark, health = np.zeros((10, 10), np.uint16), Health(DEPTH, live=True)
    varied = [GOOD + number for number in range(20)]
    assert looks(health, [dark, varied[0]] * 4) == []
    assert looks(health, [dark] * (STEADY - 1)) == []
    flags, events = health.look(dark, 7.5)
    assert flags == ["invalid"]
    assert [event.to_dict() for event in events] == [
        {
            "time": 7.5,
            "event": "health",
            "flag": "invalid",
            "active": True,
            "value": 1.0,
            "limit": LIMITS["invalid"],
        }
    ]
    assert looks(health, varied[:STEADY]) == [("invalid", False)]


def test_a_frozen_camera_is_noticed_and_its_first_new_frame_too() -> None:
    health = Health(DEPTH, live=True)
    same = [GOOD.copy() for _ in range(int(LIMITS["frozen"]) + 1)]
    assert looks(health, same[:-1]) == []
    assert looks(health, [same[-1], GOOD + 1]) == [("frozen", True), ("frozen", False)]
    assert looks(Health(DEPTH, live=False), [*same, *same]) == []  # a recording may hold a picture many times


class Camera(FrameSource):
    live = True

    def __init__(self, frames: Sequence[RawFrame]) -> None:
        self.frames, self.given = frames, 0

    def read(self) -> Captured | None:
        if self.given == len(self.frames):
            return None
        self.given += 1
        return Captured(self.frames[self.given - 1], self.given - 1, 100.0 + self.given, "camera")

    def close(self) -> None:
        pass


def test_a_run_tells_of_flags_before_the_frame_that_raised_them() -> None:
    out, log = io.StringIO(), io.StringIO()
    dark = np.zeros((10, 10), np.uint16)
    frames = [GOOD, dark, dark, dark, GOOD]
    classify(lambda: Camera(frames), InstantEngine(), DEPTH, ("a", "b"), 8, drop="none", out=out, log=log)
    records = [json.loads(line) for line in out.getvalue().splitlines()]
    kinds = [record.get("event") or ("error" if "error" in record else "label") for record in records]
    # A frame without one valid pixel cannot be answered, and is looked at nevertheless.
    assert kinds == ["start", "state", "state", "label", "error", "error", "health", "error", "label"]
    assert [record.get("health") for record in records[-2:]] == [["invalid"], ["invalid"]]
    assert "health" not in records[3]
    assert "invalid: on (1)" in log.getvalue()


@pytest.mark.slow
def test_the_command_line_writes_them_too(depth_bundle: Bundle, tmp_path: Path) -> None:
    folder = save_frames(tmp_path / "frames", make_frames(1))
    far = np.full((48, 64), 9000, np.uint16)  # beyond the preset's 8 m
    for number in range(1, 5):
        cv2.imwrite(str(folder / f"frame_{number}.png"), far)
    done = run_cli("run", depth_bundle.path, "--camera", folder)
    events = [record for record in done.records if "event" in record]
    assert [(event["flag"], event["active"]) for event in events] == [("saturated", True)]
