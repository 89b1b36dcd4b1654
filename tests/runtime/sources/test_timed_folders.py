"""Folders of files whose times are known: ``run --times``, ``DIR?times=name``, replayed at their pace."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support.bundles import save_bundle
from tests.support.cli import run_cli
from tests.support.recordings import record_quietly, replay
from tgkt_edge.errors import SourceLostError, UsageError
from tgkt_edge.runtime.sources import open_source, with_times
from tgkt_edge.sensor import PRESETS

FRAMES = np.random.default_rng(1).integers(1, 8000, (4, 24, 32)).astype(np.uint16)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Four frames a tenth of a second apart; their names in another order than natural order gives."""
    (tmp_path / "in").mkdir()
    for number, frame in enumerate(FRAMES):
        path = tmp_path / "in" / f"{'dcba'[number]}_{1_700_000_000 + number / 10:.3f}.png"
        cv2.imwrite(str(path), frame)
        os.utime(path, (0, 5000 - number))
    return tmp_path / "in"


def times(found: list[Any]) -> list[float]:
    return [round(captured.time, 3) for captured in found]


def test_frames_come_in_the_order_of_their_times_with_them(folder: Path, tmp_path: Path) -> None:
    found = replay(Path(f"{folder}?times=name"))
    assert times(found) == [1_700_000_000 + number / 10 for number in range(4)]
    np.testing.assert_array_equal([captured.frame for captured in found], FRAMES)
    assert times(replay(Path(f"{folder}?times=mtime"))) == [4997, 4998, 4999, 5000]
    rows = "".join(f"{path.name},{7 + number}\n" for number, path in enumerate(sorted(folder.iterdir())))
    (tmp_path / "list.csv").write_text(f"file,time\n{rows}")
    listed = replay(Path(f"{folder}?times={tmp_path / 'list.csv'}"))
    assert times(listed) == [7, 8, 9, 10]
    np.testing.assert_array_equal(listed[0].frame, FRAMES[3])
    with open_source(f"{folder}?times=name", PRESETS["depth"], loop=True) as source:
        again = [source.read() for _ in range(6)]
    assert times(again[4:]) == times(found[:2])


def test_a_timed_folder_is_recorded_and_replayed_at_its_pace(folder: Path, tmp_path: Path) -> None:
    record_quietly(f"{folder}?times=name", tmp_path / "out", sensor="depth")
    assert times(replay(tmp_path / "out"))[-1] == pytest.approx(1_700_000_000.3)
    began = time.monotonic()
    with open_source(f"replay:{folder}?times=name", PRESETS["depth"]) as source:
        assert len(list(iter(source.read, None))) == 4
    assert time.monotonic() - began >= 0.29


def test_what_has_no_times_or_has_its_own_is_refused(folder: Path, tmp_path: Path) -> None:
    cv2.imwrite(str(folder / "more.png"), FRAMES[0])
    with pytest.raises(SourceLostError, match=r"more\.png: its name holds no time that is known"):
        open_source(f"{folder}?times=name", PRESETS["depth"])
    with pytest.raises(SourceLostError, match="`times=noon`: expected name, mtime, or a CSV"):
        open_source(f"{folder}?times=noon", PRESETS["depth"])
    (folder / "more.png").unlink()
    record_quietly(str(folder), tmp_path / "out", sensor="depth")
    with pytest.raises(UsageError, match=r"`times=name`: .*is a recording, which has times of its own"):
        open_source(f"{tmp_path / 'out'}?times=name", PRESETS["depth"])
    for camera in ("0", str(tmp_path / "out"), "rtsp://host/x", str(folder / "a_1700000000.300.png")):
        with pytest.raises(UsageError, match="`times=name`: only for a folder of files"):
            with_times(camera, "name")
    assert with_times("DIR", None) == "DIR"


@pytest.mark.slow
def test_run_gives_these_times_and_smooths_by_them(folder: Path, tmp_path: Path) -> None:
    bundle = save_bundle(tmp_path / "bundle")
    done = run_cli("run", bundle.path, "--camera", folder, "--times", "name", "--smooth", "1")
    assert done.code == 0, done.stderr
    shown = [record["time"] for record in done.records if "frame" in record]
    assert shown == pytest.approx([1_700_000_000 + number / 10 for number in range(4)])
    done = run_cli("run", bundle.path, "--camera", folder / "a_1700000000.300.png", "--times", "name")
    assert done.code == 2
    assert "--times name: only for a folder of files" in done.stderr
