"""Frames as the sensor gave them, of one size: what the graph of raw counts is checked on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from tgkt_edge.data.raw_frames import load_raw_frames
from tgkt_edge.errors import DataError
from tgkt_edge.sensor import PRESETS


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for number, shape in enumerate([(24, 32), (24, 30), (24, 32)]):
        assert cv2.imwrite(str(tmp_path / f"{number}.png"), np.full(shape, 9, np.uint8))
    return tmp_path


def test_a_sensor_whose_sizes_may_differ_has_no_bad_frames_for_it(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    found = load_raw_frames(folder, replace(PRESETS["nir8"], size="any"), 9)
    assert [Path(name).name for name, _ in found] == ["0.png", "2.png"]
    assert "1 of 3 frames that were looked at are not 32x24, the size of the first one" in caplog.text
    assert "skip_bad" not in caplog.text


def test_another_size_than_the_sensor_s_is_bad(folder: Path) -> None:
    for size in ((32, 24), None):
        with pytest.raises(DataError, match="1 of 3 cannot be used"):
            load_raw_frames(folder, replace(PRESETS["nir8"], size=size), 9)


def test_a_frame_of_another_kind_is_bad_whatever_its_size(folder: Path) -> None:
    assert cv2.imwrite(str(folder / "3.png"), np.full((24, 31), 9, np.uint16))
    with pytest.raises(DataError, match="1 of 4 cannot be used"):
        load_raw_frames(folder, replace(PRESETS["nir8"], size="any"), 9)
