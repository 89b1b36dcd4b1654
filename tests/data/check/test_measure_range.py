"""A range by frames: near and far, black and white, cold and hot, where a person asks for it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.cli import run_cli
from tgkt_edge.data.check.measure_range import measure_range
from tgkt_edge.errors import DataError, UsageError
from tgkt_edge.sensor import PRESETS, load_sensor


def written(folder: Path, frames: list[NDArray[Any]]) -> Path:
    folder.mkdir()
    for number, frame in enumerate(frames):
        if frame.dtype.kind == "f":
            np.save(folder / f"{number:03}.npy", frame)
        else:
            cv2.imwrite(str(folder / f"{number:03}.png"), frame)
    return folder


def between(low: float, high: float, dtype: str, count: int = 12) -> list[NDArray[Any]]:
    """Frames whose values are evenly spread."""
    plain = np.linspace(low, high, 40 * 50).reshape(40, 50)
    return [np.roll(plain, number).astype(dtype) for number in range(count)]


@pytest.mark.parametrize(
    ("preset", "low", "high", "dtype", "expected"),
    [
        ("lepton", 29315, 30815, "uint16", (18.0, 37.0)),  # 20 to 35 °C
        ("depth", 1000, 3000, "uint16", (0.8, 3.2)),
        ("depth-m", 1.0, 3.0, "float32", (0.8, 3.2)),
        ("nir", 200, 700, "uint16", (160.0, 740.0)),
        ("nir8", 3, 254, "uint8", (0.0, 255.0)),  # no further than there are counts
    ],
)
def test_the_range_holds_nearly_all_values_and_is_round(
    preset: str, low: float, high: float, dtype: str, expected: tuple[float, float], tmp_path: Path
) -> None:
    folder = written(tmp_path / "frames", between(low, high, dtype))
    report = measure_range(folder, preset, tmp_path / "room.yaml")
    assert report.sensor.range == pytest.approx(expected)
    assert (report.frames, report.bad) == (12, 0)
    found = load_sensor(str(tmp_path / "room.yaml"))
    assert found == report.sensor
    assert found.to_dict().keys() == PRESETS[preset].to_dict().keys()  # nothing but the range changed
    values = found.decode(np.array([low, high], dtype))
    assert found.range[0] <= values[0] <= report.low <= report.high <= values[1] <= found.range[1]


def test_a_few_odd_pixels_and_holes_do_not_count(tmp_path: Path) -> None:
    frames = between(1000, 3000, "uint16")
    for frame in frames:
        frame[0, :10], frame[1, :20] = 60000, 0
    report = measure_range(written(tmp_path / "frames", frames), "depth")
    assert report.sensor.range == pytest.approx((0.8, 3.2))
    assert report.out is None


def test_what_no_range_can_be_chosen_by_is_refused(tmp_path: Path) -> None:
    flat = written(tmp_path / "flat", [np.full((8, 9), 1500, np.uint16)] * 3)
    with pytest.raises(DataError, match=r"flat: nearly all values are 1\.5 m: no range can be chosen"):
        measure_range(flat, "depth")
    with pytest.raises(DataError, match=r"flat: none of 3 frames can be used: .*uint16 pixels"):
        measure_range(flat, "depth-m")
    with pytest.raises(DataError, match=r"^`frames` .*absent: does not exist"):
        measure_range(tmp_path / "absent", "depth")
    (tmp_path / "old.yaml").write_text("kind: depth")
    with pytest.raises(UsageError, match=r"old\.yaml` already exists"):
        measure_range(flat, "depth", tmp_path / "old.yaml")


@pytest.mark.slow
def test_the_command(tmp_path: Path) -> None:
    folder = written(tmp_path / "frames", between(29315, 30815, "uint16"))
    done = run_cli("data", "range", folder, "--sensor", "lepton", "-o", tmp_path / "room.yaml", "--json")
    assert done.code == 0
    assert (
        "cold_c: 18, hot_c: 37; nearly all values of 12 frames lie between 20.3 and 34.69 °C" in done.stderr
    )
    (record,) = done.records
    assert record["sensor"]["hot_c"] == 37.0
    again = run_cli("data", "range", folder, "--sensor", "lepton", "-o", tmp_path / "room.yaml")
    assert again.code == 2
    assert "-o " in again.stderr
    assert "already exists" in again.stderr
