"""The cache of decoded images gives the same arrays as memory, and decodes once."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.support.cache import COUNT, DEPTH, SIDE, assert_same, files_of, load
from tests.support.images import refused, write_image, write_rgb
from tests.support.training import write_small_data
from tgkt_edge.data.cache import fill
from tgkt_edge.data.cache.cache import Cache
from tgkt_edge.data.loading import load_images, load_pairs
from tgkt_edge.data.sets import Rows, take_rows
from tgkt_edge.sensor import SensorSpec


def test_sets_are_as_they_are_in_memory(tmp_path: Path, cache: Cache) -> None:
    data = write_small_data(tmp_path / "data")
    for _ in ("written", "found"):
        assert_same(load(data / "target", cache), load(data / "target", None))
        assert_same(load_images(data / "source", SIDE, cache=cache), load_images(data / "source", SIDE))
        pairs = load_pairs(data / "paired", DEPTH, SIDE, cache=cache)
        assert_same(pairs, load_pairs(data / "paired", DEPTH, SIDE))
    assert isinstance(pairs.rgb, np.memmap)  # not read before they are asked for
    assert [file.name.partition("-")[0] for file in files_of(cache)] == ["frames", "images", "pairs"]


@pytest.mark.slow
def test_several_processes_write_the_same(
    folder: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fill, "A_PIECE", 2)
    monkeypatch.setattr(fill, "usable_cpus", lambda: 3)
    write_image(folder / "bad.png", np.zeros((24, 32), np.uint16))  # no pixel is valid
    told: list[tuple[int, int]] = []
    found = load(folder, cache, skip_bad=True, progress=lambda what, done, total: told.append((done, total)))
    np.testing.assert_array_equal(np.asarray(found.codes), load(folder, None, skip_bad=True).codes)
    assert found.names == load(folder, None, skip_bad=True).names
    assert told[-1] == (COUNT + 1, COUNT + 1)


def test_the_second_reader_decodes_nothing(folder: Path, cache: Cache, decoded: list[Path]) -> None:
    load(folder, cache)
    assert len(decoded) == COUNT
    load(folder, cache)
    assert len(decoded) == COUNT


def test_the_content_counts_and_not_the_name(
    folder: Path, cache: Cache, tmp_path: Path, decoded: list[Path]
) -> None:
    load(folder, cache)
    moved = folder.rename(tmp_path / "elsewhere")
    assert load(moved, cache).names[0] == str(moved / "0.png")
    assert len(files_of(cache)) == 1
    assert len(decoded) == COUNT
    write_image(moved / "3.png", np.full((24, 32), 1234, np.uint16))
    assert_same(load(moved, cache), load(moved, None))
    assert len(files_of(cache)) == 2


def test_another_sensor_or_size_is_another_file(folder: Path, cache: Cache) -> None:
    near = SensorSpec.from_dict({**DEPTH.to_dict(), "far_m": 4.0})
    for number, (spec, side) in enumerate([(DEPTH, SIDE), (near, SIDE), (DEPTH, SIDE + 2)], 1):
        assert_same(load(folder, cache, spec, side), load(folder, None, spec, side))
        assert len(files_of(cache)) == number


def test_unusable_frames_are_named_or_left_out_as_in_memory(folder: Path, cache: Cache) -> None:
    (folder / "2.png").write_bytes(b"\x89PNG broken")
    write_rgb(folder / "5.png")
    for _ in range(2):
        assert refused(lambda: load(folder, cache)) == refused(lambda: load(folder, None))
        found, expected = load(folder, cache, skip_bad=True), load(folder, None, skip_bad=True)
        np.testing.assert_array_equal(np.asarray(found.codes), expected.codes)
        np.testing.assert_array_equal(found.invalid, expected.invalid)
        assert found.names == expected.names


def test_some_rows_of_a_mapped_file_are_not_read_before_they_are_asked_for(
    folder: Path, cache: Cache
) -> None:
    codes = load(folder, cache).codes
    some = take_rows(take_rows(codes, np.array([6, 2, 4, 1])), np.array([2, 0]))
    assert isinstance(some, Rows)
    assert (len(some), some.shape, some.dtype) == (2, (2, SIDE, SIDE), codes.dtype)
    np.testing.assert_array_equal(some[:], codes[[4, 6]])
    np.testing.assert_array_equal(list(some), codes[[4, 6]])
    np.testing.assert_array_equal(some[1], codes[6])
