"""``adapt --max-skew-ms``: pairs of folders whose files are named by their times, as TUM's RGB-D sets are."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.cli import run_cli
from tgkt_edge import adapt
from tgkt_edge.data.check.check import check_data
from tgkt_edge.data.discovery import matched
from tgkt_edge.data.loading import load_pairs
from tgkt_edge.errors import DataError, UsageError
from tgkt_edge.sensor import PRESETS

COUNT = 12


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Frames 33 ms apart, RGB images 11 ms later; the color of each says which it is. The fifth image is missing."""
    for name in ("depth", "rgb", "ir"):
        (tmp_path / "in" / name).mkdir(parents=True)
    (tmp_path / "in/ir").rmdir()
    for number in range(COUNT):
        at = 1305031102 + number * 0.033
        frame = np.random.default_rng(number).integers(500, 4000, (24, 32)).astype(np.uint16)
        cv2.imwrite(str(tmp_path / f"in/depth/{at:.6f}.png"), frame)
        if number != 4:
            color = np.full((24, 32, 3), 20 * number, np.uint8)
            cv2.imwrite(str(tmp_path / f"in/rgb/{at + 0.011:.6f}.png"), color)
    return tmp_path / "in"


def test_each_frame_has_the_rgb_image_nearest_in_time(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    pairs = load_pairs(Path(f"{folder}?max_skew_ms=15"), PRESETS["tum"], 16)
    assert len(pairs) == COUNT - 1
    shown = [int(np.median(rgb)) for rgb in pairs.rgb]
    assert shown == [20 * number for number in range(COUNT) if number != 4]
    assert "1 of 12 frames have no RGB image within 15 ms and are left out" in caplog.text
    assert [Path(name).stem for name in pairs.names][:2] == ["1305031102.000000", "1305031102.033000"]
    found = check_data(Path(f"{folder}?max_skew_ms=15"), "tum")
    assert found.alignment is not None
    assert found.alignment.pairs == COUNT - 1


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("max_skew_ms=5", r"no frame has an RGB image within 5 ms; the nearest lie about 0\.011 s apart"),
        ("max_skew_ms=0", "max_skew_ms=0: expected a finite number of milliseconds above 0"),
        ("max_skew_ms=soon", "max_skew_ms=soon: expected a finite number of milliseconds above 0"),
    ],
)
def test_limits_that_cannot_be_are_named(folder: Path, query: str, words: str) -> None:
    with pytest.raises((DataError, UsageError), match=words):
        matched(Path(f"{folder}?{query}"))


def test_folders_and_names_that_do_not_fit_are_named(folder: Path, tmp_path: Path) -> None:
    (folder / "ir").mkdir()
    with pytest.raises(DataError, match="has the folders depth, ir"):
        matched(Path(f"{folder}?max_skew_ms=15"))
    (folder / "ir").rmdir()
    cv2.imwrite(str(folder / "rgb/last.png"), np.zeros((24, 32, 3), np.uint8))
    with pytest.raises(DataError, match=r"last\.png: its name holds no time"):
        matched(Path(f"{folder}?max_skew_ms=15"))
    with pytest.raises(UsageError, match="`max_skew_ms` matches the pairs of a folder"):
        adapt(folder / "depth", "tum", tmp_path / "run", source=folder, max_skew_ms=15)
    with pytest.raises(DataError, match="has no folder 'frame'"):
        matched(folder)


def test_whoever_forgets_the_limit_is_told_of_it(folder: Path) -> None:
    hint = rf"Their names are times: '{folder}\?max_skew_ms=20' matches halves"
    with pytest.raises(DataError, match=f"has no folder 'frame'.*{hint}"):
        matched(folder)
    (folder / "depth").rename(folder / "frame")
    with pytest.raises(DataError, match=f"11 files have no partner in frame/.*{hint}"):
        matched(folder)
    (folder / "frame/notes.png").write_bytes(b"")  # no time
    with pytest.raises(DataError, match=r"have no partner in frame/.*\.$") as refused:
        matched(folder)
    assert "max_skew_ms" not in str(refused.value)


@pytest.mark.slow
def test_the_command_names_its_flag(folder: Path, tmp_path: Path) -> None:
    for name, value in (("dark", 20), ("light", 220)):
        (tmp_path / "source" / name).mkdir(parents=True)
        for number in range(2):
            cv2.imwrite(str(tmp_path / f"source/{name}/{number}.png"), np.full((24, 32, 3), value, np.uint8))
    done = run_cli(
        "adapt", "--target", folder / "depth", "--paired", folder, "--sensor", "tum", "--max-skew-ms", "5",
        "--source", tmp_path / "source", "--weights", "none", "-o", tmp_path / "run",
    )  # fmt: skip
    assert done.code == 2
    assert "no frame has an RGB image within 5 ms" in done.stderr
    assert "Raise max_skew_ms, or correct the times in the names." in done.stderr
