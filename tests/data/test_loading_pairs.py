"""Paired frames: RGB and sensor frame of one scene stay together, or the files that do not are named."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

from tests.support.images import refused, write_depth, write_rgb
from tgkt_edge.data.loading import Pairs, load_pairs
from tgkt_edge.sensor import PRESETS


def pairs(path: Path, **options: Any) -> Pairs:
    return load_pairs(path, PRESETS["depth"], 16, **options)


def test_pairs_are_matched_by_stem_whatever_the_order_of_the_listing(tmp_path: Path) -> None:
    """The trap: pairs matched by the order of an unsorted directory listing."""
    for i in (10, 9, 2, 1):  # written in an order that is neither natural nor the alphabet's
        write_rgb(tmp_path / "rgb" / f"{i}.png", 10 * i)
        write_depth(tmp_path / "frame" / f"{i}.png", 100 * i)
    write_rgb(tmp_path / "rgb" / "lab" / "1.png", 200)  # a stem includes its folders
    write_depth(tmp_path / "frame" / "lab" / "1.png", 2000)
    found = pairs(tmp_path)
    assert len(found) == 5
    assert found.rgb[:, 0, 0, 0].tolist() == [10, 20, 90, 100, 200]
    assert (found.codes[:, 0, 0] / 65535 * 8000).round().tolist() == [100, 200, 900, 1000, 2000]


def test_pairs_from_a_csv_need_no_equal_names(tmp_path: Path) -> None:
    write_rgb(tmp_path / "x.png", 50)
    write_depth(tmp_path / "y.png", 4000)
    table = tmp_path / "pairs.csv"
    table.write_text("rgb,frame\nx.png,y.png\n")
    found = pairs(table)
    assert found.rgb[0, 0, 0].tolist() == [50, 50, 50]
    assert found.codes[0, 0, 0] == 32768  # 4 of 8 m: 32767.5, to the even neighbour
    table.write_text("rgb\nx.png\n")
    assert "has no column 'frame'" in refused(lambda: pairs(table))


def test_files_without_a_partner_are_listed(tmp_path: Path) -> None:
    for i in range(3):
        write_rgb(tmp_path / "rgb" / f"{i}.png")
    write_depth(tmp_path / "frame" / "1.png")
    message = refused(lambda: pairs(tmp_path))
    assert "2 files have no partner in frame/" in message
    assert str(tmp_path / "rgb" / "0.png") in message
    assert str(tmp_path / "rgb" / "2.png") in message
    for i in (0, 2, 7):
        write_depth(tmp_path / "frame" / f"{i}.png")
    message = refused(lambda: pairs(tmp_path))
    assert f"1 files have no partner in rgb/: {tmp_path / 'frame' / '7.png'}" in message


def test_two_files_with_one_stem_are_listed(tmp_path: Path) -> None:
    write_rgb(tmp_path / "rgb" / "1.png")
    write_rgb(tmp_path / "rgb" / "1.jpg")
    write_depth(tmp_path / "frame" / "1.png")
    message = refused(lambda: pairs(tmp_path))
    assert "two files with one stem" in message
    assert "1.png" in message
    assert "1.jpg" in message


def test_pairs_need_both_folders(tmp_path: Path) -> None:
    write_rgb(tmp_path / "rgb" / "1.png")
    assert "has no folder 'frame'" in refused(lambda: pairs(tmp_path))
    for place in (tmp_path / "no-such-folder", tmp_path / "pairs.csv"):
        assert f"{place.name}`: does not exist. Expected a folder with" in refused(partial(pairs, place))


def test_a_pair_goes_as_a_whole(tmp_path: Path) -> None:
    for i in range(3):
        write_rgb(tmp_path / "rgb" / f"{i}.png", 10 * i)
        write_depth(tmp_path / "frame" / f"{i}.png", 1000 * (i + 1))
    (tmp_path / "rgb" / "1.png").write_text("no image")
    kept = pairs(tmp_path, skip_bad=True)
    assert kept.rgb[:, 0, 0, 0].tolist() == [0, 20]
    assert kept.codes[:, 0, 0].tolist() == [8192, 24576]
