"""The cache's file is written once, and whole whatever happens to it."""

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
from tests.support.cache import COUNT, SIDE, assert_same, files_of, load
from tests.support.images import refused, write_image
from tests.support.waiting import wait_until
from tgkt_edge.data.cache.cache import Cache
from tgkt_edge.data.cache.rows_file import HEADER, RowsFile
from tgkt_edge.errors import TgktEdgeError, UsageError


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
    late.join(60)
    assert told == [f"{path}: another process is writing it; waiting until it is done"]
    assert len(decoded) == COUNT


def test_a_folder_that_cannot_be_one_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="is a file: expected a folder"):
        Cache(tmp_path / "file")
    with pytest.raises(TgktEdgeError, match="cannot be made: Not a directory"):
        Cache(tmp_path / "file" / "below")
