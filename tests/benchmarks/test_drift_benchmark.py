"""The benchmarks of drift and calibration measure what their tables say."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from calibration import Logits, table, temperatures
from drift import row, spoilers

from tgkt_edge.evaluation.temperature import soften
from tgkt_edge.monitoring.input_distance import describe
from tgkt_edge.monitoring.orientation import tilt
from tgkt_edge.monitoring.reference_stats import Statistics


def units(count: int, seed: int) -> list[np.ndarray]:
    """Even noise, each darker or lighter."""
    rng = np.random.default_rng(seed)
    return [(rng.random((1, 32, 32)) * rng.uniform(0.3, 1)).astype(np.float32) for _ in range(count)]


def test_a_row_counts_frames_beyond_the_limit_and_says_whether_the_flag_is_on() -> None:
    seen, answers = units(100, 0), np.full((100, 2), 0.5, np.float32)
    known = Statistics.of(np.stack([describe(unit, 0.0) for unit in seen]), answers)
    assert known is not None
    cells = row("new", known, units(50, 1), [0.0] * 50, answers[:50]).split(" | ")
    assert cells[0] == "| new"
    assert float(cells[2].rstrip("%")) <= 4
    assert cells[3] == "off"
    even = [np.full((1, 32, 32), 0.4, np.float32)] * 50
    assert row("even", known, even, [0.0] * 50, answers[:50]).split(" | ")[2:6] == ["100.0%", "on", "-", "-"]


@pytest.mark.slow
def test_a_row_counts_frames_that_are_upside_down() -> None:
    seen, answers = units(100, 0), np.full((100, 2), 0.5, np.float32)
    for unit in seen:
        unit[:, :16] *= 0.5
    tilts = np.array([tilt(unit) for unit in seen], np.float32)
    known = Statistics.of(np.stack([describe(unit, 0.0) for unit in seen]), answers, tilts)
    assert known is not None
    turned = [unit[:, ::-1].copy() for unit in seen]
    assert row("upright", known, seen, [0.0] * 100, answers).split(" | ")[4] == "0.0%, off"
    assert row("turned", known, turned, [0.0] * 100, answers).split(" | ")[4] == "100.0%, on"


def test_spoilt_frames_keep_their_shape_and_change() -> None:
    rng = np.random.default_rng(0)
    frame = rng.integers(1, 200, (40, 40)).astype(np.uint8)
    for what, spoil in spoilers(rng, 255).items():
        found = np.asarray(spoil(frame))
        assert found.shape == frame.shape, what
        assert not np.array_equal(np.rint(found), frame), what


@pytest.mark.slow
def test_temperatures_without_labels_and_the_table() -> None:
    rng = np.random.default_rng(0)
    honest = rng.normal(0, 2, (4000, 4)).astype(np.float32)
    labels = (rng.random((4000, 1)) > soften(honest, 1.0).cumsum(1)).sum(1).clip(0, 3)
    found = Logits(
        target=honest * 3,  # three times overconfident
        tgmb=honest,
        source_only=-honest,
        labels=labels,
        pairs_frames=honest * 5,
        pairs_rgb=np.eye(4, dtype=np.float32)[labels],
        source=honest * 2,
        source_labels=labels,
    )
    ways = temperatures(found)
    assert ways["none"] == 1
    assert ways["source labels"] == pytest.approx(2, rel=0.1)
    assert ways["likelihood of the pairs' RGB classes"] == pytest.approx(5, rel=0.1)
    assert ways["confidence on pairs = agreement with RGB"] == pytest.approx(5, rel=0.1)
    assert ways["confidence = agreement with TGMB"] < 1  # they always agree: as sure as can be
    lines = table(found)
    (none,) = [line for line in lines if line.startswith("| none")]
    (fitted,) = [line for line in lines if line.startswith("| labels")]
    assert float(fitted.split(" | ")[1]) == pytest.approx(3, rel=0.05)
    assert float(fitted.split(" | ")[2]) < 0.03 < float(none.split(" | ")[2])
    fewer = dataclasses.replace(found, target=honest)
    assert "| 1.0" in table(fewer)[3] or "| 0.9" in table(fewer)[3]
