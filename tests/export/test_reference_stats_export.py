"""The statistics of the adaptation frames come along into every bundle."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tgkt_edge.bundle.bundle import STATISTICS, Bundle
from tgkt_edge.errors import BundleError
from tgkt_edge.evaluation.accuracy_gate import ask
from tgkt_edge.export.export import export
from tgkt_edge.io.images import read_frame
from tgkt_edge.monitoring import reference_stats as statistics
from tgkt_edge.monitoring.reference_stats import Statistics, of_bundle
from tgkt_edge.runtime import open_engine


@pytest.fixture(scope="module")
def frames(module_folder: Callable[[str], Path]) -> Path:
    """24 frames of 16-bit depth, a quarter of each without a measurement."""
    folder, rng = module_folder("frames"), np.random.default_rng(0)
    for number in range(24):
        frame = np.kron(rng.integers(500, 6000, (6, 8)), np.ones((5, 5))).astype(np.uint16)
        frame[:, :10] = 0
        cv2.imwrite(str(folder / f"{number:02}.png"), frame)
    return folder


@pytest.fixture(scope="module")
def measured(bundle: Bundle, frames: Path, module_folder: Callable[[str], Path]) -> Bundle:
    """A bundle from before there were statistics, exported again with frames to measure them on."""
    return export(bundle.path, module_folder("measured") / "bundle", calibrate=frames)


def test_an_old_bundle_is_measured_on_frames_that_are_given(measured: Bundle, inputs: Any) -> None:
    found = of_bundle(measured)
    assert found is not None
    assert found.summary["frames"] == 24
    assert found.summary["invalid"] == {f"p{percent}": 0.25 for percent in (1, 10, 50, 90, 99)}
    engine = open_engine(measured)
    predicted = np.bincount(ask(engine, inputs)[1].argmax(1), minlength=6)
    engine.close()
    assert len(found.summary["predicted"]) == len(predicted)
    assert sum(found.summary["predicted"]) == pytest.approx(1, abs=1e-3)


def test_a_bundle_made_from_another_has_the_same(measured: Bundle, tmp_path: Path) -> None:
    again = export(measured.path, tmp_path / "again")
    assert (again.path / STATISTICS).read_bytes() == (measured.path / STATISTICS).read_bytes()
    assert again.files[STATISTICS] == measured.files[STATISTICS]


def test_without_frames_it_says_so_and_goes_on(bundle: Bundle, run: Path, tmp_path: Path) -> None:
    messages: list[str] = []
    assert of_bundle(export(bundle.path, tmp_path / "a", say=messages.append)) is None
    assert "`calibrate=T`" in messages[-1]
    messages.clear()
    assert of_bundle(export(run, tmp_path / "b", say=messages.append, verify=False)) is None
    assert "only 12 target frames, fewer than 20" in messages[-1]


def test_the_run_s_own_are_taken_as_they_are(
    run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, frames: Path
) -> None:
    copied = tmp_path / "run"
    shutil.copytree(run, copied)
    values = Statistics.of(
        np.random.default_rng(0).normal(size=(30, 20)).astype(np.float32), np.full((30, 6), 1 / 6, np.float32)
    )
    assert values is not None
    values.write(copied / STATISTICS)
    monkeypatch.setattr(statistics, "MIN_FRAMES", 1)  # so that measuring again would succeed, too
    made = export(copied, tmp_path / "bundle", verify=False)
    assert (made.path / STATISTICS).read_bytes() == (copied / STATISTICS).read_bytes()
    damaged = json.loads((copied / STATISTICS).read_text())
    del damaged["input"]
    (copied / STATISTICS).write_text(json.dumps(damaged))
    with pytest.raises(BundleError, match="is damaged"):
        export(copied, tmp_path / "none", verify=False)
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("factor", "unit"),
    [(0.1, "unit_m: 0.01 "), (0.25, "unit_m: 0.00390625"), (0.5, "unit_m: 0.002"), (2, "unit_m: 0.0005")],
)
def test_frames_in_another_unit_than_the_adaptation_frames_are_named_with_the_unit(
    factor: float, unit: str, measured: Bundle, frames: Path, tmp_path: Path
) -> None:
    messages: list[str] = []
    scaled = tmp_path / "frames"
    scaled.mkdir()
    for file in frames.iterdir():
        cv2.imwrite(str(scaled / file.name), (read_frame(file) * factor).round().astype(np.uint16))
    made = export(measured.path, tmp_path / "bundle", calibrate=scaled, say=messages.append)
    (line,) = [line for line in messages if "unlike the adaptation frames" in line]
    assert line.startswith(f"{scaled}: ")
    assert f"{unit}" in f"{line} "
    assert (made.path / STATISTICS).read_bytes() == (measured.path / STATISTICS).read_bytes()


def test_frames_of_the_same_unit_are_not_named(measured: Bundle, frames: Path, tmp_path: Path) -> None:
    messages: list[str] = []
    export(measured.path, tmp_path / "bundle", calibrate=frames, say=messages.append)
    assert not [line for line in messages if "unlike" in line]


def test_frames_that_show_nothing_are_refused_under_the_flag_that_was_given(
    bundle: Bundle, frames: Path, tmp_path: Path
) -> None:
    for file in frames.iterdir():
        cv2.imwrite(str(tmp_path / file.name), np.minimum(read_frame(file) * 30.0, 65535).astype(np.uint16))
    messages: list[str] = []
    export(bundle.path, tmp_path / "bundle", calibrate=tmp_path, say=messages.append, verify=False)
    assert any(f"`calibrate` {tmp_path}: " in line and "at or beyond far_m" in line for line in messages), (
        messages
    )
