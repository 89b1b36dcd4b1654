"""What files held, noted as they are read: the loaders open no file twice, and the summary is by hand what it says."""

from __future__ import annotations

import hashlib
import sys
import tracemalloc
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
import pytest

from tgkt_edge.data.digests import FileDigests
from tgkt_edge.data.discovery import frame_places
from tgkt_edge.data.loading import load_frames, load_images, load_pairs
from tgkt_edge.errors import DataError
from tgkt_edge.sensor import PRESETS

DEPTH = PRESETS["depth"]

_opened: list[str] = []
_watching = False


def _note(event: str, args: tuple[object, ...]) -> None:
    if _watching and event == "open" and isinstance(args[0], str):
        _opened.append(args[0])


@pytest.fixture
def opened() -> Iterator[list[str]]:
    """Names of the files that Python opens meanwhile, each as often as it is opened."""
    global _watching
    if _note not in _hooks:
        sys.addaudithook(_note)  # for the rest of the process: hooks cannot be removed
        _hooks.append(_note)
    _opened.clear()
    _watching = True
    yield _opened
    _watching = False


_hooks: list[object] = []


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Five target frames, three pairs and four labelled images, all different."""
    rng = np.random.default_rng(0)
    for name, count in (("target", 5), ("pairs/frame", 3)):
        (tmp_path / name).mkdir(parents=True)
        for number in range(count):
            frame = rng.integers(500, 5000, (24, 32), dtype=np.uint16)
            cv2.imwrite(str(tmp_path / name / f"{number}.png"), frame)
    for name, count in (("pairs/rgb", 3), ("source/a", 2), ("source/b", 2)):
        (tmp_path / name).mkdir(parents=True)
        for number in range(count):
            cv2.imwrite(
                # Of other lengths: files of one length and two labels are opened once more, to find copies.
                str(tmp_path / name / f"{number}.png"),
                rng.integers(
                    0, 256, (24, 32 + number + len(name) + ord(name[-1]) % 7 * 4, 3), dtype=np.uint8
                ),
            )
    return tmp_path


def load_all(data: Path, *, skip_bad: bool = False) -> tuple[FileDigests, FileDigests, FileDigests]:
    target, paired, source = FileDigests(), FileDigests(), FileDigests()
    load_frames(data / "target", DEPTH, 16, skip_bad=skip_bad, digests=target)
    load_pairs(data / "pairs", DEPTH, 16, skip_bad=skip_bad, digests=paired)
    load_images(data / "source", 16, skip_bad=skip_bad, digests=source)
    return target, paired, source


def of(data: Path, *patterns: str) -> list[str]:
    return sorted(str(file) for pattern in patterns for file in data.glob(pattern))


def test_every_file_is_opened_once(data: Path, opened: list[str]) -> None:
    digests = load_all(data)
    summaries = [found.summary() for found in digests]
    assert len(set(summaries)) == 3
    count = Counter(name for name in opened if name.endswith(".png"))
    assert sorted(count) == of(data, "target/*", "pairs/*/*", "source/*/*")
    assert {name for name, times in count.items() if times > 1} == set()


def test_a_bad_first_frame_is_opened_once_too(data: Path, opened: list[str]) -> None:
    """The size is pinned by the first frame that fits, which is looked for among the first files."""
    (data / "target" / "0.png").write_bytes(b"no image")
    cv2.imwrite(str(data / "target" / "1.png"), np.zeros((24, 32), np.uint8))
    opened.clear()  # of what was just written
    with pytest.raises(DataError, match="2 of 5 cannot be used"):
        load_frames(data / "target", DEPTH, 16, digests=FileDigests())
    assert Counter(
        name for name in opened if name.startswith(str(data / "target")) and name.endswith("png")
    ) == dict.fromkeys(of(data, "target/*.png"), 1)


def test_without_digests_nothing_changes(data: Path) -> None:
    (plain, spec), (noted, also) = (
        load_frames(data / "target", DEPTH, 16, digests=digests) for digests in (None, FileDigests())
    )
    assert spec == also
    np.testing.assert_array_equal(plain.codes, noted.codes)


def test_the_summary_by_hand(data: Path) -> None:
    target, paired, source = load_all(data)
    words = b""
    for file, label in ((f"{label}/{n}.png", label) for label in "ab" for n in range(2)):
        path = data / "source" / file
        words += f"{path} {hashlib.sha256(path.read_bytes()).hexdigest()}\n{label}\n\n".encode()
    assert source.summary() == f"4 with sha256 {hashlib.sha256(words).hexdigest()[:32]}"
    words = b""
    for number in range(3):
        for half in ("rgb", "frame"):
            path = data / "pairs" / half / f"{number}.png"
            words += f"{path} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode()
        words += b"\n"
    assert paired.summary() == f"3 with sha256 {hashlib.sha256(words).hexdigest()[:32]}"
    assert target.summary().startswith("5 with sha256 ")


def test_what_was_skipped_counts_with_its_bytes(data: Path) -> None:
    """A pair whose RGB is damaged: its frame was never read, and is part of the data all the same."""
    (data / "pairs" / "rgb" / "1.png").write_bytes(b"no image")
    before = load_all(data, skip_bad=True)[1].summary()
    assert load_all(data, skip_bad=True)[1].summary() == before
    (data / "pairs" / "frame" / "1.png").write_bytes(b"other bytes")
    assert load_all(data, skip_bad=True)[1].summary() != before


@pytest.mark.slow
def test_what_is_noted_of_a_file_takes_two_kilobytes(tmp_path: Path) -> None:
    """Of a million files 2 GB, while all that is compared is there; its path of a hundred characters is among it."""
    count = 3000
    for number in range(count):
        (tmp_path / f"{number:07d}.png").touch()
    FileDigests().of([tmp_path / "loaded.png"])  # what is loaded once is no file's
    tracemalloc.start()
    try:
        digests = FileDigests()
        digests.list(frame_places(tmp_path, "`target`"))
        digests.of([file for row in digests.rows for file in row if isinstance(file, Path)])
        digests.summary()
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak / count < 2000


def test_a_file_that_went_is_unreadable_and_no_error(tmp_path: Path) -> None:
    digests = FileDigests()
    digests.list([(tmp_path / "gone.png", "a")])
    line = f"{tmp_path / 'gone.png'} unreadable\na\n\n".encode()
    assert digests.summary() == f"1 with sha256 {hashlib.sha256(line).hexdigest()[:32]}"


def test_pages_of_a_stack_count_with_the_whole_file(tmp_path: Path) -> None:
    pages = list(np.random.default_rng(0).integers(500, 5000, (3, 24, 32), dtype=np.uint16))
    (tmp_path / "target").mkdir()
    file = tmp_path / "target" / "stack.tif"
    cv2.imwritemulti(str(file), pages)
    digests = FileDigests()
    found, _ = load_frames(tmp_path / "target", DEPTH, 16, digests=digests)
    assert len(found) == 3
    sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
    words = "".join(f"{file}?page={page} {sha256}\nNone\n\n" for page in range(3))
    assert digests.summary() == f"3 with sha256 {hashlib.sha256(words.encode()).hexdigest()[:32]}"
