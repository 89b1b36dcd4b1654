"""A folder without images: what it holds instead is named, in every command that looks for images."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.bags import DEPTH, BagMaker
from tests.support.images import write_image
from tgkt_edge.data.check.gather import PairFiles
from tgkt_edge.data.discovery import frame_places, in_folder, labelled
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


@pytest.mark.parametrize("kind", ["bag", "db3", "mcap"])
def test_a_recording_where_a_folder_or_a_list_belongs_is_named_with_what_brings_it_in(
    kind: str, tmp_path: Path
) -> None:
    """In place of advice on spreadsheets; nothing of it is read but its first bytes."""
    maker = BagMaker(kind)
    path = maker.write(tmp_path, [("/depth", 1.0, maker.image(DEPTH, "16UC1", 1.0))])
    for ask in (
        lambda: frame_places(path, "`target`"),
        lambda: labelled(path, "`data`", "frame"),
        lambda: PairFiles(path, PRESETS["depth"]),
    ):
        with pytest.raises(DataError, match=rf"{kind}: is a recording\. .*tgkt-edge data import .* -o DIR"):
            ask()


def test_an_image_alone_is_a_target_and_a_stack_all_of_its_pages(tmp_path: Path) -> None:
    one = write_image(tmp_path / "one.png", DEPTH)
    assert frame_places(one, "`target`") == [(one, None)]
    stack = tmp_path / "stack.npy"
    np.save(stack, np.stack([DEPTH] * 3))
    assert [place.name for place, _ in frame_places(stack, "`target`")] == [
        f"stack.npy?page={n}" for n in range(3)
    ]
    arrays = tmp_path / "two.npz"
    np.savez(arrays, depth=DEPTH, ir=DEPTH)
    part = tmp_path / "two.npz?array=depth"
    assert frame_places(part, "`target`") == [(part, None)]
    with pytest.raises(DataError, match=r"one\.png: is one image\. Give its folder, or a CSV that lists it"):
        labelled(one, "`data`", "frame")  # labels need a list


def test_a_video_alone_is_named_with_what_makes_frames_of_it(tmp_path: Path) -> None:
    path = tmp_path / "it is.mkv"
    options = [cv2.VIDEOWRITER_PROP_DEPTH, cv2.CV_16U, cv2.VIDEOWRITER_PROP_IS_COLOR, 0]
    writer = cv2.VideoWriter(
        str(path), cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), 30, (34, 24), options
    )
    writer.write(DEPTH)
    writer.release()
    with pytest.raises(DataError, match=r"is a video\. .*tgkt-edge record --camera '.*it is\.mkv' --sensor"):
        frame_places(path, "`target`")


@pytest.mark.parametrize("name", ["a.bag", "a.db3", "a.mcap", "a.sens"])
def test_a_file_that_is_only_named_as_a_recording_says_so_as_a_camera(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"")
    with pytest.raises(SourceLostError, match=r"is no recording of ROS 1"):
        open_source(str(tmp_path / name), PRESETS["depth"])


def test_a_recording_of_which_nothing_is_whole_says_so_as_a_camera(tmp_path: Path) -> None:
    """Not librealsense, which reads files of the same name, and does not say what is wrong with one."""
    maker = BagMaker("bag")
    path = maker.write(tmp_path, [("/depth", 1.0, maker.image(DEPTH, "16UC1", 1.0))])
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(SourceLostError, match=r"a\.bag: holds no topic: it ends before its first chunk"):
        open_source(str(path), PRESETS["depth"])
