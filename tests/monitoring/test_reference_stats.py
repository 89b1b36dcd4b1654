"""``statistics.json``: what it says of frames, and what is refused."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tgkt_edge.bundle.bundle import STATISTICS, Bundle
from tgkt_edge.errors import BundleError
from tgkt_edge.monitoring.input_distance import LENGTH, describe
from tgkt_edge.monitoring.reference_stats import MIN_FRAMES, Statistics, of_bundle
from tgkt_edge.preprocess import center_crop, invalid_share, to_unit
from tgkt_edge.runtime.health.sensor_flags import Measurer
from tgkt_edge.sensor import PRESETS


def of(count: int) -> Statistics | None:
    rng = np.random.default_rng(0)
    codes = rng.integers(0, 65536, (count, 37, 37), dtype=np.uint16)
    answers = np.tile(np.array([[0.75, 0.25], [0.4, 0.6]], np.float32), (count // 2, 1))
    return Statistics.of_codes(codes, 32, np.linspace(0, 1, count, dtype=np.float32), answers)


def test_the_summary_by_hand() -> None:
    found = of(40)
    assert found is not None
    summary = found.summary
    assert summary["frames"] == 40
    assert summary["predicted"] == [0.5, 0.5]
    assert summary["probability"] == pytest.approx([0.575, 0.425])
    assert summary["invalid"]["p50"] == pytest.approx(0.5)
    assert summary["confidence"]["p1"] == pytest.approx(0.6)
    assert sum(summary["histogram"]["mean"]) == pytest.approx(1, abs=1e-3)
    assert summary["histogram"]["mean"] == pytest.approx([1 / 16] * 16, abs=0.02)  # the codes are even noise
    assert all(std > 0 for std in summary["histogram"]["std"])


def test_what_is_described_is_what_the_network_sees() -> None:
    codes = np.random.default_rng(1).integers(0, 65536, (MIN_FRAMES, 37, 37), dtype=np.uint16)
    found = Statistics.of_codes(
        codes, 32, np.zeros(MIN_FRAMES, np.float32), np.full((MIN_FRAMES, 2), 0.5, np.float32)
    )
    assert found is not None
    expected = [describe(to_unit(center_crop(frame, 32))[np.newaxis], 0.0) for frame in codes]
    assert found.input.references == pytest.approx(np.stack(expected), abs=1e-4)


def test_few_frames_teach_nothing_and_wrong_shapes_are_refused() -> None:
    assert of(MIN_FRAMES - 2) is None
    with pytest.raises(ValueError, match="disagree"):
        Statistics.of(np.zeros((30, LENGTH), np.float32), np.zeros((29, 2), np.float32))


def test_the_invalid_share_is_the_one_that_health_measures() -> None:
    spec, rng = PRESETS["depth"], np.random.default_rng(0)
    frame = rng.integers(0, 3, (480, 640)).astype(np.uint16)
    assert invalid_share(frame, spec) == Measurer(spec).measure(frame).invalid
    assert invalid_share(frame, spec) == pytest.approx(1 / 3, abs=0.02)
    assert invalid_share(np.array([[0, 5, 0, 0]], np.uint16), spec) == 0.75
    assert invalid_share(frame, PRESETS["nir"]) == 0


def bundle_with(folder: Path, statistics: Statistics | None) -> Bundle:
    folder.mkdir()
    if statistics is not None:
        statistics.write(folder / STATISTICS)
    return Bundle(path=folder, classes=("a", "b"), sensor=PRESETS["depth"], size=32).write()


def test_a_bundle_vouches_for_its_statistics(tmp_path: Path) -> None:
    bundle, found = bundle_with(tmp_path / "new", of(40)), of(40)
    read = of_bundle(bundle)
    assert found is not None
    assert read is not None
    assert read.summary == found.summary
    assert np.array_equal(read.input.references, found.input.references)
    path = bundle.path / STATISTICS
    path.write_text(path.read_text().replace("0.5", "0.6", 1))
    with pytest.raises(BundleError, match="was altered"):
        of_bundle(bundle)
    assert of_bundle(bundle_with(tmp_path / "old", None)) is None


def test_tilts_are_learnt_of_what_the_network_sees_and_kept(tmp_path: Path) -> None:
    codes = np.zeros((40, 37, 37), np.uint16)
    codes[:, 18:] = np.linspace(30_000, 60_000, 40).astype(np.uint16)[:, np.newaxis, np.newaxis]
    found = Statistics.of_codes(codes, 32, np.zeros(40, np.float32), np.full((40, 2), 0.5, np.float32))
    assert found is not None
    assert found.upright is not None
    assert found.upright.sign == 1
    found.write(tmp_path / STATISTICS)
    assert Statistics.read(tmp_path / STATISTICS, 2).upright == found.upright
    # Files from before are read as they are.
    values = json.loads((tmp_path / STATISTICS).read_text())
    del values["upright"]
    (tmp_path / STATISTICS).write_text(json.dumps(values))
    old = Statistics.read(tmp_path / STATISTICS, 2)
    assert old.upright is None
    assert old.summary == found.summary
    with pytest.raises(ValueError, match="tilts"):
        Statistics.of(
            np.zeros((30, LENGTH), np.float32), np.zeros((30, 2), np.float32), np.zeros(29, np.float32)
        )


@pytest.mark.parametrize(
    "change",
    [
        {"schema": 2},
        {"input": {}},
        {"answers": None},
        {"input": {"references": "x"}},
        {"upright": {"sign": 1}},
    ],
)
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, change: dict[str, object]) -> None:
    found, path = of(40), tmp_path / STATISTICS
    assert found is not None
    found.write(path)
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(BundleError, match=r"statistics\.json is damaged"):
        Statistics.read(path, 2)
    found.write(path)
    with pytest.raises(BundleError, match="expected 3"):
        Statistics.read(path, 3)
