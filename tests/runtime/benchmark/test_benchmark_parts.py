"""What rows are fed, which engines they are, and what is told of the machine."""

from __future__ import annotations

import statistics
from pathlib import Path

import numpy as np
import pytest

from tgkt_edge.benchmark.command import benchmark, engine_names, speed, synthetic
from tgkt_edge.benchmark.report import describe
from tgkt_edge.benchmark.worker import batches, padded
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.runtime import ENGINES
from tgkt_edge.sensor import PRESETS, SensorSpec


@pytest.mark.slow
def test_the_machines_state_and_what_slows_it_down_are_told(bundle: Bundle, tmp_path: Path) -> None:
    """A Jetson's files, in a power mode that limits it and with a cooling device that takes clocks away."""
    files = {
        "etc/nvpmodel.conf": "< POWER_MODEL ID=0 NAME=MAXN >\n< POWER_MODEL ID=1 NAME=7W >\n",
        "var/lib/nvpmodel/status": "pmode:0001",
        "sys/class/thermal/thermal_zone0/type": "soc",
        "sys/class/thermal/thermal_zone0/temp": "93500",
        "sys/class/thermal/cooling_device0/type": "cpu-throttle-alert",
        "sys/class/thermal/cooling_device0/cur_state": "1",
    }
    for name, text in files.items():
        (tmp_path / "root" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "root" / name).write_text(text)
    result = benchmark(
        [bundle.path],
        engines=["cpu"],
        precisions=["fp16"],
        rounds=1,
        seconds=1e-6,
        threads=1,
        root=tmp_path / "root",
    )
    for when in ("before", "after"):
        assert result["state"][when]["celsius"] == {"soc": 93.5}
        assert result["state"][when]["power_mode"] == {"number": "1", "name": "7W", "fastest": "0"}
    assert result["state"]["limited_by"] == ["cpu-throttle-alert"]
    text = "\n".join(describe(result))
    assert "hottest 94 °C (soc); power mode 1 (7W)" in text
    assert "power mode 1 (7W) limits the clocks; full speed is mode 0" in text
    assert "slowed down meanwhile: cpu-throttle-alert" in text
    assert "p99 of under 100 calls is the slowest of them (fewest: 1)" in text
    assert {row["stability"]["mark"] for row in result["rows"]} == {"unknown"}


def test_engines_are_those_that_run_knows_each_once() -> None:
    assert set(engine_names()) == set(ENGINES) - {"auto", "onnxruntime"}


@pytest.mark.parametrize("name", ["depth", "nir", "sunrgbd"])
def test_synthetic_frames_are_as_the_sensor_sends_them(name: str) -> None:
    frames = synthetic(PRESETS[name], 48)
    assert frames.shape == (8, 1, 48, 48)
    assert frames.dtype == np.float32
    assert frames.min() > 0
    assert frames.max() < 1
    assert frames.std() > 0.1
    assert len(np.unique(frames[0])) > 40
    assert not np.array_equal(frames[0], frames[1])


def test_synthetic_frames_of_a_sensor_with_two_counts_only() -> None:
    """Black 0 and white 1 leave nothing between: the ends are the frames."""
    found = np.unique(synthetic(SensorSpec("nir", "uint8", black=0, white=1), 16))
    assert set(found) <= {0.0, 1.0}


def test_frames_become_batches_and_none_is_lost() -> None:
    frames = np.arange(5, dtype=np.float32).reshape(5, 1, 1, 1)
    assert [batch.ravel().tolist() for batch in batches(frames, 2)] == [[0, 1], [2, 3]]
    assert [batch.ravel().tolist() for batch in batches(frames, 7)] == [[0, 1, 2, 3, 4, 0, 1]]
    full = [(count, part.ravel().tolist()) for count, part in padded(frames, 2)]
    assert full == [(2, [0, 1]), (2, [2, 3]), (1, [4, 4])]
    assert statistics.fmean(len(batch) for batch in batches(np.repeat(frames, 20, axis=0), 1)) == 1
    assert len(batches(np.repeat(frames, 20, axis=0), 1)) == 32


def test_speed_is_compared_round_by_round() -> None:
    """A machine that takes four times as long from the third round on changes no ratio."""
    assert speed([10, 10, 40, 40, 40], [5, 5, 20, 20, 20]) == 2
    # By the medians of all calls it would be 40 / 5: the slow phase began one turn later for this row.
    assert speed([10, 10, 40, 40, 40], [5, 5, 5, 20, 20]) == 2
    assert speed([10, 12], [5]) == 2  # interrupted between the two
    assert speed([], [5]) is None
    assert speed([10], []) is None
