"""A folder appears whole or not at all, and what stood in its place is not lost."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tgkt_edge.errors import TgktEdgeError, UsageError
from tgkt_edge.io.atomic import atomic_folder, refuse_existing, refuse_foreign, write_text


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    path = tmp_path / "out" / "bundle"
    write_text(path / "old.txt", "the old text\n")
    return path


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "out" / "report.json"
    write_text(path, "{}")
    return path


def names(folder: Path) -> list[str]:
    """All that lies in a folder, hidden leftovers too."""
    return sorted(path.name for path in folder.iterdir())


def test_a_folder_appears_whole(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "bundle"
    with atomic_folder(path) as temporary:
        write_text(temporary / "engines" / "a.txt", "a")
        assert not path.exists()
    assert names(path.parent) == ["bundle"]
    assert (path / "engines" / "a.txt").read_text(encoding="utf-8") == "a"
    plain = tmp_path / "plain"
    plain.mkdir()
    assert path.stat().st_mode == plain.stat().st_mode


def test_a_folder_that_holds_something_is_kept_unless_overwrite(folder: Path) -> None:
    with (
        pytest.raises(UsageError, match=r"already exists and is not empty.*`overwrite=True`"),
        atomic_folder(folder),
    ):
        pytest.fail("the body must not run")
    assert names(folder) == ["old.txt"]
    with atomic_folder(folder, overwrite=True) as temporary:
        write_text(temporary / "new.txt", "new")
        assert names(folder) == ["old.txt"]
    assert names(folder) == ["new.txt"]
    assert names(folder.parent) == ["bundle"]


def test_an_exception_inside_leaves_the_old_folder(folder: Path) -> None:
    with pytest.raises(ValueError, match="in the middle"), atomic_folder(folder, overwrite=True) as temporary:
        write_text(temporary / "new.txt", "new")
        raise ValueError("in the middle")
    assert names(folder) == ["old.txt"]
    assert names(folder.parent) == ["bundle"]


def test_a_failed_rename_puts_the_old_folder_back(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    replace = os.replace

    def refuse_the_new(source: Path, target: Path) -> None:
        if source.suffix == ".tmp":
            assert not folder.exists()  # the old one has been renamed by now
            raise OSError(30, "Read-only file system")
        replace(source, target)

    monkeypatch.setattr(os, "replace", refuse_the_new)
    with (
        pytest.raises(TgktEdgeError, match=r"Read-only file system\. The earlier content is intact"),
        atomic_folder(folder, overwrite=True) as temporary,
    ):
        (temporary / "new.txt").write_text("new", encoding="utf-8")
    assert names(folder) == ["old.txt"]
    assert names(folder.parent) == ["bundle"]


def test_a_folder_replaces_a_file_without_leftovers(file: Path) -> None:
    with atomic_folder(file, overwrite=True) as temporary:
        write_text(temporary / "new.txt", "new")
    assert names(file) == ["new.txt"]
    assert names(file.parent) == ["report.json"]


@pytest.mark.parametrize("there", ["full", "empty", "nothing"])
def test_a_folder_is_written_through_a_link(folder: Path, there: str) -> None:
    link = folder.parent / "current"
    link.symlink_to(folder.name)
    if there != "full":
        (folder / "old.txt").unlink()
    if there == "nothing":
        folder.rmdir()
    with atomic_folder(link, overwrite=there == "full") as temporary:
        write_text(temporary / "new.txt", "new")
    assert (link.is_symlink(), folder.is_symlink()) == (True, False)
    assert names(folder) == ["new.txt"]
    assert names(folder.parent) == ["bundle", "current"]


def test_the_folder_one_is_in_is_refused_at_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    with (
        pytest.raises(UsageError, match=r"\. cannot be replaced: .* Name a new folder inside it, e\.g\. out"),
        atomic_folder(Path(".")),
    ):
        pytest.fail("the body must not run")
    with atomic_folder(Path("below")) as temporary:
        write_text(temporary / "new.txt", "new")
    assert names(tmp_path) == ["here"]
    assert names(tmp_path / "here") == ["below"]


def test_an_error_of_another_file_inside_names_that_file(folder: Path) -> None:
    with pytest.raises(FileNotFoundError) as caught, atomic_folder(folder, overwrite=True):
        (folder.parent / "frames.csv").read_text(encoding="utf-8")
    assert Path(caught.value.filename).name == "frames.csv"
    with (
        pytest.raises(TgktEdgeError, match=r"cannot write .*bundle: No such file"),
        atomic_folder(folder, overwrite=True) as temporary,
    ):
        (temporary / "deep" / "new.txt").write_text("new", encoding="utf-8")
    assert names(folder) == ["old.txt"]


def test_refuse_existing(file: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    refuse_existing(tmp_path / "empty", overwrite=False)
    refuse_existing(tmp_path / "absent", overwrite=False)
    refuse_existing(file, overwrite=True)
    with pytest.raises(UsageError, match="--resume"):
        refuse_existing(file, overwrite=False, hint="--resume")


# What --overwrite may delete


def test_overwrite_spares_what_another_program_wrote(tmp_path: Path) -> None:
    refuse_foreign(tmp_path / "missing", "manifest.json", "a bundle")
    refuse_foreign(tmp_path, "manifest.json", "a bundle")  # empty
    (tmp_path / "thesis.txt").write_text("three years")
    with pytest.raises(
        UsageError, match=r"replaces a bundle only, but .* is a folder without manifest\.json"
    ):
        refuse_foreign(tmp_path, "manifest.json", "a bundle")
    with pytest.raises(UsageError, match="is a file"):
        refuse_foreign(tmp_path / "thesis.txt", "manifest.json", "a bundle")
    (tmp_path / "manifest.json").write_text("{}")
    refuse_foreign(tmp_path, "manifest.json", "a bundle")
