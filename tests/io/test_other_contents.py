"""A folder without images: what it holds instead is named, in every command that looks for images."""

from __future__ import annotations

from pathlib import Path

import pytest

from tgkt_edge.data.discovery import in_folder
from tgkt_edge.errors import DataError, SourceLostError
from tgkt_edge.io.other_contents import describe_contents
from tgkt_edge.runtime import open_source
from tgkt_edge.runtime.recorder.import_data import import_data
from tgkt_edge.sensor import PRESETS


def refusals(folder: Path) -> list[str]:
    """What `run --camera`, `adapt --target`, `data import` and `data import --times mtime` say of a folder."""
    said = []
    for ask in (
        lambda: open_source(str(folder), PRESETS["depth"]),
        lambda: in_folder(folder, "`target`"),
        lambda: import_data(folder, folder.parent / "out"),
        lambda: import_data(folder, folder.parent / "out", sensor="depth", times="mtime"),
    ):
        with pytest.raises((DataError, SourceLostError)) as refused:
            ask()
        said.append(str(refused.value))
    return said


@pytest.mark.parametrize(
    ("files", "named"),
    [
        (["a.bag"], "a recording, {}/a.bag: name that"),
        (["2026/rec_0.mcap", "2026/metadata.yaml", "2026/rec_1.mcap"], "a recording, {}/2026: name that"),
        (["b/scene.sens", "a/scene.sens"], "2 recordings, such as {}/a/scene.sens: name that"),
        (["k4a.mkv", ".hidden.bag"], "a recording, {}/k4a.mkv: name that"),
    ],
)
def test_recordings_are_named(files: list[str], named: str, tmp_path: Path) -> None:
    folder = tmp_path / "held"
    for file in [*files, "notes.txt"]:
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_bytes(b"")
    for said in refusals(folder):
        assert f"It holds {named.format(folder)}" in said


def test_files_without_a_header_are_named_with_what_to_say_of_them(tmp_path: Path) -> None:
    folder = tmp_path / "held"
    folder.mkdir()
    (folder / "000.raw").write_bytes(bytes(24))
    with pytest.raises(
        SourceLostError, match=r"000\.raw has no header: .* '.*held\?shape=480x640&packing=uint16'"
    ):
        open_source(str(folder), PRESETS["depth"])
    with pytest.raises(DataError, match=r"000\.raw has no header"):
        import_data(folder, tmp_path / "out", sensor="depth", times="mtime")


def test_nothing_is_said_of_what_nobody_knows(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("x")
    assert describe_contents(tmp_path) == ""
    assert describe_contents(tmp_path / "absent") == ""
