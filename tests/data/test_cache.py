"""The cache of decoded images: the same arrays as in memory, written once, and whole whatever happens to its file."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import tgkt_edge
from tests.support.images import refused, write_image, write_rgb
from tests.support.training import write_small_data
from tests.support.waiting import wait_until
from tgkt_edge.data.cache import fill
from tgkt_edge.data.cache.cache import Cache
from tgkt_edge.data.cache.rows_file import HEADER, RowsFile
from tgkt_edge.data.loading import Frames, load_frames, load_images, load_pairs
from tgkt_edge.data.recipes import Recipe
from tgkt_edge.data.sets import Rows, take_rows
from tgkt_edge.errors import TgktEdgeError, UsageError
from tgkt_edge.notes import forget_notes
from tgkt_edge.sensor import PRESETS, SensorSpec

DEPTH, SIDE, COUNT = PRESETS["depth"], 20, 7


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Seven depth frames of noise, 0.3 to 7 m."""
    rng = np.random.default_rng(0)
    for number in range(COUNT):
        write_image(
            tmp_path / "target" / f"{number}.png", rng.integers(300, 7000, (24, 32)).astype(np.uint16)
        )
    return tmp_path / "target"


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


@pytest.fixture(autouse=True)
def notes_again() -> None:
    forget_notes()


def load(folder: Path, cache: Cache | None, spec: SensorSpec = DEPTH, side: int = SIDE, **how: Any) -> Frames:
    return load_frames(folder, spec, side, cache=cache, **how)[0]


def assert_same(found: Any, expected: Any) -> None:
    """All fields of two sets, value by value."""
    for name, value in vars(expected).items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(getattr(found, name), value, err_msg=name)
            assert getattr(found, name).dtype == value.dtype
        else:
            assert getattr(found, name) == value


def files_of(cache: Cache) -> list[Path]:
    return sorted(cache.folder.iterdir())


@pytest.fixture
def decoded(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Which items this process decodes from now on."""
    found: list[Path] = []
    read = Recipe.read

    def note(self: Recipe, item: tuple[Path, ...], *rest: Any) -> Any:
        found.append(item[-1])
        return read(self, item, *rest)

    monkeypatch.setattr(Recipe, "read", note)
    return found


# What it gives


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


# What may happen to its file


def test_a_half_written_file_goes_on_where_it_stopped(
    folder: Path, cache: Cache, decoded: list[Path]
) -> None:
    load(folder, cache)
    (file,) = files_of(cache)
    marks = file.stat().st_size - HEADER  # of seven rows: they fill the last 4096 bytes
    with file.open("r+b") as opened:
        opened.seek(marks + 8 * 4)
        opened.write(bytes(8 * 2))
    assert_same(load(folder, cache), load(folder, None))
    assert [one.name for one in decoded[COUNT : COUNT + 2]] == ["4.png", "5.png"]
    assert len(decoded) == 2 * COUNT + 2  # the rest in memory


@pytest.mark.slow
def test_a_kill_in_the_middle_loses_nothing(folder: Path, cache: Cache, decoded: list[Path]) -> None:
    code = f"""
import os, signal
from pathlib import Path
from tgkt_edge.data.cache.cache import Cache
from tgkt_edge.data.cache.rows_file import RowsFile
from tgkt_edge.data.loading import load_frames
from tgkt_edge.sensor import PRESETS
write = RowsFile.write
def killed(self, row, values):
    if row == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    write(self, row, values)
RowsFile.write = killed
load_frames(Path({str(folder)!r}), PRESETS["depth"], {SIDE}, cache=Cache(Path({str(cache.folder)!r})))
"""
    environment = {"PYTHONPATH": str(Path(tgkt_edge.__file__).parents[1])}
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False)
    assert done.returncode == -signal.SIGKILL
    found = load(folder, cache)
    assert 1 <= len(decoded) < COUNT
    assert_same(found, load(folder, None))


def test_a_damaged_row_is_noted_and_decoded_again(
    folder: Path, cache: Cache, caplog: pytest.LogCaptureFixture
) -> None:
    load(folder, cache)
    (file,) = files_of(cache)
    with file.open("r+b") as opened:
        opened.seek(HEADER + 2 * SIDE * SIDE * 2 + 11)  # in the third frame
        opened.write(b"\xff\xff")
    with caplog.at_level(logging.WARNING, "tgkt_edge"):
        assert_same(load(folder, cache), load(folder, None))
    assert f"{file}: 1 of 7 rows are missing or damaged: decoded again" in caplog.text


@pytest.mark.parametrize("damage", ["truncated", "another header", "no header", "another program's"])
def test_a_file_that_is_not_what_it_should_be_is_written_again(
    folder: Path, cache: Cache, damage: str, caplog: pytest.LogCaptureFixture
) -> None:
    before = load(folder, cache).codes
    (file,) = files_of(cache)
    data = file.read_bytes()
    file.unlink()  # whoever mapped it keeps it
    file.write_bytes(
        {
            "truncated": data[:-5000],
            "another header": data.replace(b'"far_m": 8.0', b'"far_m": 9.0'),
            "no header": bytes(len(data)),
            "another program's": b"hello",
        }[damage]
    )
    with caplog.at_level(logging.WARNING, "tgkt_edge"):
        assert_same(load(folder, cache), load(folder, None))
    assert f"{file} is damaged, or was not finished: written again" in caplog.text
    np.testing.assert_array_equal(before, load(folder, None).codes)


def test_a_file_that_is_deleted_while_it_is_used_stays_readable(folder: Path, cache: Cache) -> None:
    found = load(folder, cache)
    files_of(cache)[0].unlink()
    assert_same(found, load(folder, None))
    assert_same(load(folder, cache), found)


def test_a_full_disk_is_found_before_anything_is_decoded(
    folder: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch, decoded: list[Path]
) -> None:
    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(
        TgktEdgeError, match=r"No space left on device: \d+ KiB are needed; [\d.]+ .iB are free there"
    ):
        load(folder, cache)
    assert not decoded
    assert not files_of(cache)


def test_a_disk_that_fills_up_while_it_is_written_is_named(
    folder: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = RowsFile.write

    def full(self: RowsFile, row: int, values: Any) -> None:
        if row == 4:  # of a file system that gives less than it promised
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        write(self, row, values)

    with monkeypatch.context() as patch, pytest.raises(TgktEdgeError, match="No space left on device"):
        patch.setattr(RowsFile, "write", full)
        load(folder, cache)
    assert_same(load(folder, cache), load(folder, None))


def test_originals_that_change_while_they_are_read_are_refused(
    folder: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = Cache.open

    def change(*args: Any, **how: Any) -> RowsFile:
        file = opened(*args, **how)
        write_image(folder / "3.png", np.full((24, 32), 4321, np.uint16))
        return file

    monkeypatch.setattr(Cache, "open", change)
    assert "3.png: changed while it was read" in refused(lambda: load(folder, cache))


def test_without_locks_each_process_writes_for_itself(
    folder: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def none(*_: object) -> None:
        raise OSError(errno.ENOLCK, os.strerror(errno.ENOLCK))

    monkeypatch.setattr(fcntl, "flock", none)
    with caplog.at_level(logging.WARNING, "tgkt_edge"):
        assert_same(load(folder, cache), load(folder, None))
    assert "this file system has no locks" in caplog.text
    assert [file.suffix for file in files_of(cache)] == [".rows"]  # it is there for the next one
    assert_same(load(folder, cache), load(folder, None))


def test_who_comes_while_it_is_written_waits(folder: Path, cache: Cache, decoded: list[Path]) -> None:
    load(folder, cache)
    (path,) = files_of(cache)
    told: list[str] = []
    with path.open("r+b") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        late = threading.Thread(target=load, args=[folder, Cache(cache.folder, told.append)])
        late.start()
        wait_until(lambda: told, "a line that it waits")
        assert late.is_alive()
    late.join(30)
    assert told == [f"{path}: another process is writing it; waiting for it"]
    assert len(decoded) == COUNT


def test_a_folder_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is a file: expected a folder"):
        Cache(tmp_path / "file")
    with pytest.raises(TgktEdgeError, match="cannot be made: Not a directory"):
        Cache(tmp_path / "file" / "below")
