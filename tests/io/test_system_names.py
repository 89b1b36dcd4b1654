"""What operating systems, NAS boxes and tools leave beside a user's images never counts, and is reported once."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

from tests.support.images import write_depth
from tgkt_edge.data.discovery import labelled, matched
from tgkt_edge.io.images import find_images
from tgkt_edge.notes import forget_notes
from tgkt_edge.runtime.sources.images import find_by_glob

FOLDERS = [
    "@eaDir", "@tmp", "@Recycle", "#recycle", "#snapshot", "$RECYCLE.BIN", "$recycle.bin", "RECYCLER",
    "System Volume Information", "lost+found", "__MACOSX", ".Trashes", ".Trash-1000", ".ipynb_checkpoints",
    ".Spotlight-V100", ".fseventsd", ".@__thumb", ".git", ".thumbnails", "__pycache__", "~snapshot",
    "Network Trash Folder", "FOUND.003", "LOST.DIR", "Config.Msi", "%RECYCLE%", "CVS", "thumbnails", "_gsdata_",
    "tmp.drivedownload", "node_modules", "System Volume Information ",
]  # fmt: skip


@pytest.fixture(autouse=True)
def _new_command() -> None:
    forget_notes()


@pytest.mark.parametrize("name", FOLDERS)
def test_a_system_folder_adds_no_frame_and_no_class(
    name: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = [write_depth(tmp_path / "hall" / "1.png"), write_depth(tmp_path / "yard" / "2.png", 2000)]
    write_depth(tmp_path / name / "1.png")
    write_depth(tmp_path / "hall" / name / "1.png")
    assert labelled(tmp_path, "--source", "image") == (kept, ["hall", "yard"])
    labelled(tmp_path, "--source", "image")
    assert [record.getMessage() for record in caplog.records] == [
        f"{tmp_path}: skipped 2 images (2 in {name}): hidden or system files and folders are not read"
    ]


def test_system_files_add_no_frame(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = write_depth(tmp_path / "1.png")
    for name in ("._1.png", ".hidden.png", "~$1.png", ":2e_1.png", "~syncthing~1.png"):
        write_depth(tmp_path / name)
    for name in ("Thumbs.db", "desktop.ini", ".DS_Store", "1.png:Zone.Identifier", "ehthumbs.db"):
        (tmp_path / name).write_bytes(b"x")
    with caplog.at_level(logging.WARNING):
        assert find_images(tmp_path) == [kept]
    assert "skipped 5 images (5 hidden)" in caplog.text


def test_names_that_only_look_like_marks_are_read(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept = [write_depth(tmp_path / folder / "@1.png") for folder in ("#12 kitchen", "_private", "recycling")]
    assert find_images(tmp_path) == kept
    assert not caplog.records


def test_pairs_are_not_unmatched_by_thumbnails(tmp_path: Path) -> None:
    rgb, frame = write_depth(tmp_path / "rgb" / "1.png"), write_depth(tmp_path / "frame" / "1.png")
    write_depth(tmp_path / "rgb" / "@eaDir" / "1.png" / "SYNOPHOTO_THUMB_M.jpg")
    write_depth(tmp_path / "frame" / "__MACOSX" / "._1.png")
    assert matched(tmp_path) == ([rgb], [frame])


def test_a_glob_skips_them_unless_it_names_them(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    kept, thumb = write_depth(tmp_path / "a" / "1.png"), write_depth(tmp_path / "a" / "@eaDir" / "1.png")
    assert find_by_glob(f"{tmp_path}/**/*.png") == [kept]
    assert "skipped 1 files" in caplog.text
    assert find_by_glob(f"{tmp_path}/**/@eaDir/*.png") == [thumb]


def test_a_folder_that_is_named_itself_is_read(tmp_path: Path) -> None:
    kept = write_depth(tmp_path / ".hidden" / "1.png")
    assert find_images(tmp_path / ".hidden") == [kept]
