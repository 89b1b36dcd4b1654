"""Smoothing, steadiness and "unknown", by hand."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.cli import run_cli
from tests.support.images import make_frames, save_frames
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.errors import UsageError
from tgkt_edge.runtime.infer.smoothing import MARGIN, Decider
from tgkt_edge.runtime.records import Candidate


def p(a: float) -> NDArray[np.float32]:
    return np.array([a, 1 - a], np.float32)


def test_without_options_each_frame_stands_for_itself() -> None:
    decider = Decider(("a", "b"))
    assert decider.decide(p(0.75), 0.0) == Candidate("a", 0.75)
    assert decider.decide(p(0.25), 0.1) == Candidate("b", 0.75)


def test_one_odd_frame_changes_nothing_and_a_lasting_change_does() -> None:
    decider = Decider(("a", "b"), smooth=1.0)
    decider.decide(p(1.0), 0.0)
    # A tenth of a second later: e^-0.1 of the old average and the rest of the new frame.
    odd = decider.decide(p(0.0), 0.1)
    assert odd.label == "a"
    assert odd.probability == pytest.approx(math.exp(-0.1))
    # After another second of "b" the average of "a" is e^-1.1 = 0.33, far behind.
    lasting = decider.decide(p(0.0), 1.1)
    assert lasting.label == "b"
    assert lasting.probability == pytest.approx(1 - math.exp(-1.1))


def test_smoothing_does_not_depend_on_the_frame_rate() -> None:
    slow, fast = Decider(("a", "b"), smooth=2.0), Decider(("a", "b"), smooth=2.0)
    for decider in (slow, fast):
        decider.decide(p(1.0), 0.0)
    for step in range(1, 31):
        last = fast.decide(p(0.2), step / 30)
    assert slow.decide(p(0.2), 1.0).probability == pytest.approx(last.probability)


def test_a_close_rival_does_not_make_the_answer_flicker() -> None:
    decider = Decider(("a", "b"), smooth=0.001)  # the average is the newest frame
    assert decider.decide(p(0.6), 0.0).label == "a"
    assert decider.decide(p(0.5 - MARGIN / 2 + 0.01), 1.0).label == "a"
    assert decider.decide(p(0.5 - MARGIN / 2 - 0.01), 2.0).label == "b"
    assert decider.decide(p(0.52), 3.0).label == "b"


def test_a_clock_that_jumps_back_is_no_step_in_time() -> None:
    decider = Decider(("a", "b"), smooth=1.0)
    decider.decide(p(1.0), 100.0)
    assert decider.decide(p(0.0), 50.0) == Candidate("a", 1.0)
    # From there time goes on: nobody waits for the old time to come again.
    assert decider.decide(p(0.0), 50.5).probability == pytest.approx(math.exp(-0.5))
    assert decider.decide(p(0.0), 52.0).label == "b"


def test_an_unsure_answer_is_unknown() -> None:
    decider = Decider(("a", "b"), min_confidence=0.7)
    assert decider.decide(p(0.75), 0.0).label == "a"
    assert decider.decide(p(0.65), 1.0) == Candidate("unknown", float(np.float32(0.65)))


@pytest.mark.parametrize(
    ("more", "text"),
    [
        ({"smooth": -1.0}, "`smooth=-1.0`"),
        ({"smooth": math.nan}, "`smooth=nan`"),
        ({"min_confidence": 1.5}, "`min_confidence=1.5`"),
        ({"min_confidence": 0.5, "classes": ("a", "unknown")}, "a class named 'unknown'"),
    ],
)
def test_bad_options_are_refused(more: dict[str, Any], text: str) -> None:
    with pytest.raises(UsageError, match=text):
        Decider(**{"classes": ("a", "b"), **more})


@pytest.mark.slow
def test_run_keeps_what_each_frame_said_beside_the_decision(depth_bundle: Bundle, tmp_path: Path) -> None:
    frames = save_frames(tmp_path / "frames", make_frames(8))
    plain = run_cli("run", depth_bundle.path, "--camera", frames)
    assert all(record["label"] == record["top"][0]["label"] for record in plain.records)
    assert len({record["label"] for record in plain.records}) > 1
    # Images of a folder follow each other within milliseconds, nothing beside 100 s: the first answer stays.
    steady = run_cli("run", depth_bundle.path, "--camera", frames, "--smooth", 100)
    assert {record["label"] for record in steady.records} == {plain.records[0]["label"]}
    assert [record["top"] for record in steady.records] == [record["top"] for record in plain.records]
    unsure = run_cli("run", depth_bundle.path, "--camera", frames, "--min-confidence", 1)
    assert {record["label"] for record in unsure.records} == {"unknown"}
    assert "unknown" in unsure.stderr
    assert json.dumps(unsure.records)
