"""DIML's indoor sample lies in two sizes, LR/ and HR/, of which a user may have either, both, or parts."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.support.public_sets import add_diml
from tgkt_edge.data.public.prepare import prepare
from tgkt_edge.errors import DataError

TOOK = "took LR/ and left HR/, the same images, larger, of {} folders that are there in both sizes"


def frames(folder: Path) -> list[Path]:
    return [Path(line) for line in (folder / "target.csv").read_text().splitlines()[1:]]


def test_diml_of_two_sizes_is_taken_once(tmp_path: Path) -> None:
    for quality in ("LR", "HR"):
        add_diml(tmp_path / "diml", quality)
    (report,) = prepare("diml", tmp_path / "diml", tmp_path / "out")
    assert report["counts"]["target_frames"] == 6
    assert all("LR" in path.parts for path in frames(tmp_path / "out"))
    assert report["notes"] == [TOOK.format(5)]


def test_diml_of_which_a_part_is_there_in_one_size_only_keeps_that_part(tmp_path: Path) -> None:
    src = tmp_path / "LR" / "HR" / "diml"  # what lies above says nothing about sizes
    for quality in ("LR", "HR"):
        add_diml(src, quality)
    shutil.rmtree(src / "indoor" / "test" / "LR")
    shutil.rmtree(src / "indoor" / "train" / "LR" / "03. Kitchen")
    (report,) = prepare("diml", src, tmp_path / "out")
    assert report["counts"]["target_frames"] == 6
    assert [path.relative_to(src).parts[1:4] for path in frames(tmp_path / "out")[::2]] == [
        ("test", "HR", "12. Livingroom"), ("train", "HR", "03. Kitchen"), ("train", "LR", "12. Livingroom"),
    ]  # fmt: skip
    assert report["notes"] == [TOOK.format(2)]
    shutil.rmtree(src / "indoor" / "train" / "LR")
    (report,) = prepare("diml", src, tmp_path / "large")
    assert report["counts"]["target_frames"] == 6
    assert report["notes"] == []


def test_diml_of_which_a_scene_is_half_there_in_the_small_size_is_told(tmp_path: Path) -> None:
    for quality in ("LR", "HR"):
        add_diml(tmp_path / "diml", quality)
    small = tmp_path / "diml" / "indoor" / "train" / "LR" / "03. Kitchen"
    for folder in ("color", "depth_filled"):
        next((small / folder).iterdir()).unlink()
    with pytest.raises(DataError, match=r"LR/03\. Kitchen: holds 1 colour images, but .*HR/03\. Kitchen 2"):
        prepare("diml", tmp_path / "diml", tmp_path / "out")
