"""Frames arrive exactly as the sensor wrote them, in order, or are refused by name."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.bundles import save_bundle
from tests.support.cli import cli_environment, run_cli
from tests.support.images import make_frames, save_frames
from tgkt_edge.errors import SourceLostError, UsageError
from tgkt_edge.runtime import FrameSource, open_source
from tgkt_edge.sensor import PRESETS

DEPTH, NIR8 = PRESETS["depth"], PRESETS["nir8"]


def read_all(source: FrameSource) -> list[Any]:
    with source:
        return list(iter(source.read, None))


def write_video(path: Path, frames: list[NDArray[Any]], codec: str = "FFV1", *, color: bool = False) -> Path:
    depth = cv2.CV_16U if frames[0].dtype == np.uint16 else cv2.CV_8U
    height, width = frames[0].shape[:2]
    options = [cv2.VIDEOWRITER_PROP_DEPTH, depth, cv2.VIDEOWRITER_PROP_IS_COLOR, int(color)]
    fourcc = cv2.VideoWriter.fourcc(*codec)
    writer = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, fourcc, 30, (width, height), options)
    assert writer.isOpened()
    for frame in frames:
        writer.write(frame)
    writer.release()
    return path


def test_folder_is_read_recursively_in_natural_order_and_bit_exact(tmp_path: Path) -> None:
    frames = make_frames(12)
    save_frames(tmp_path / "a", frames)  # frame_0 ... frame_11, without leading zeros
    save_frames(tmp_path / "b10", frames[:1], "x{}.tiff")
    save_frames(tmp_path / "b9", frames[1:2], "x{}.png")
    (tmp_path / "a" / "notes.txt").write_text("no frame")
    (tmp_path / "a" / "._frame_3.png").write_bytes(b"left by another system")
    source = open_source(str(tmp_path), DEPTH)
    assert source.live is False
    found = read_all(source)
    names = [Path(captured.name).relative_to(tmp_path).as_posix() for captured in found]
    assert names == [f"a/frame_{n}.png" for n in range(12)] + ["b9/x0.png", "b10/x0.tiff"]
    assert [captured.number for captured in found] == list(range(14))
    for captured, frame in zip(found, [*frames, frames[1], frames[0]], strict=True):
        assert captured.error is None
        assert captured.frame.dtype == np.uint16
        np.testing.assert_array_equal(captured.frame, frame)
        assert captured.seconds > 0


def test_glob_takes_only_what_matches(tmp_path: Path) -> None:
    frames = make_frames(11)
    save_frames(tmp_path / "one", frames)
    save_frames(tmp_path / "two", frames, "other_{}.png")
    found = read_all(open_source(f"{tmp_path}/**/frame_*.png", DEPTH))
    assert [Path(captured.name).name for captured in found] == [f"frame_{n}.png" for n in range(11)]
    np.testing.assert_array_equal(found[10].frame, frames[10])


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".pgm"])
def test_single_image_file(tmp_path: Path, suffix: str) -> None:
    frame = make_frames(1)[0]
    save_frames(tmp_path, [frame], "f{}" + suffix)
    (captured,) = read_all(open_source(str(tmp_path / f"f0{suffix}"), DEPTH))
    np.testing.assert_array_equal(captured.frame, frame)


def test_colour_image_is_not_converted(tmp_path: Path) -> None:
    colour = np.arange(6 * 8 * 3, dtype=np.uint8).reshape(6, 8, 3)
    assert cv2.imwrite(str(tmp_path / "c.png"), colour)
    (captured,) = read_all(open_source(str(tmp_path), DEPTH))
    np.testing.assert_array_equal(captured.frame, colour)


@pytest.mark.parametrize("suffix", [".png", ".jpg"])
def test_truncated_file_is_an_error_record_and_the_next_file_follows(tmp_path: Path, suffix: str) -> None:
    save_frames(tmp_path, make_frames(3, "uint8"), "f{}" + suffix)
    broken = tmp_path / f"f1{suffix}"
    broken.write_bytes(broken.read_bytes()[: broken.stat().st_size // 2])
    found = read_all(open_source(str(tmp_path), NIR8))
    assert [captured.frame is None for captured in found] == [False, True, False]
    assert f"f1{suffix}" in found[1].error


def test_loop_repeats_and_keeps_counting(tmp_path: Path) -> None:
    save_frames(tmp_path, make_frames(3))
    with open_source(str(tmp_path), DEPTH, loop=True) as source:
        found = [source.read() for _ in range(7)]
    assert [captured.number for captured in found if captured] == list(range(7))
    assert [Path(captured.name).stem for captured in found if captured][3:] == [
        f"frame_{n}" for n in (0, 1, 2, 0)
    ]


def test_loop_over_unreadable_files_ends(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no image")
    found = list(itertools.islice(iter(open_source(str(tmp_path), DEPTH, loop=True).read, None), 10))
    assert [captured.frame for captured in found] == [None]


@pytest.mark.parametrize("dtype", ["uint16", "uint8"])
def test_ffv1_video_round_trip_is_exact(tmp_path: Path, dtype: str) -> None:
    frames = make_frames(5, dtype)
    path = write_video(tmp_path / "v.mkv", frames)
    found = read_all(open_source(str(path), DEPTH))
    assert [captured.number for captured in found] == list(range(5))
    for captured, frame in zip(found, frames, strict=True):
        assert captured.frame.dtype == np.dtype(dtype)
        np.testing.assert_array_equal(captured.frame, frame)


def test_video_loops(tmp_path: Path) -> None:
    frames = make_frames(3)
    with open_source(str(write_video(tmp_path / "v.mkv", frames)), DEPTH, loop=True) as source:
        found = [source.read() for _ in range(7)]
    for number, captured in enumerate(found):
        assert captured is not None
        assert captured.number == number
        np.testing.assert_array_equal(captured.frame, frames[number % 3])


def test_file_that_is_neither_image_nor_video(tmp_path: Path) -> None:
    path = tmp_path / "v.mkv"
    path.write_bytes(b"something else " * 100)
    with pytest.raises(SourceLostError, match=r"v\.mkv: neither an image \(.*\) nor a video"):
        open_source(str(path), DEPTH)


@pytest.mark.parametrize(
    ("uri", "text"),
    [("{}/gone", "gone does not exist"), ("{}/empty", "folder is empty"), ("{}/*.png", "no file matches")],
)
def test_missing_and_empty_sources(tmp_path: Path, uri: str, text: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SourceLostError, match=text):
        open_source(uri.format(tmp_path), DEPTH)


def test_folder_without_images_names_the_suffixes(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    with pytest.raises(SourceLostError, match=r"none of the files.*\.png"):
        open_source(str(tmp_path), DEPTH)


@pytest.mark.parametrize("uri", ["v4l://0", "vl42:///dev/video0"])
def test_unknown_scheme_suggests_the_nearest(uri: str) -> None:
    with pytest.raises(
        UsageError, match=r"unknown scheme .*Did you mean 'v4l2:///dev/video0'\? Known: .*a folder"
    ):
        open_source(uri, DEPTH)


@pytest.mark.parametrize(
    ("uri", "text"),
    [
        ("rstp://user:secret@host/stream", r"unknown scheme 'rstp'\. Did you mean 'rtsp://HOST/PATH'"),
        ("real-sense://1", "Did you mean 'realsense://SERIAL_OR_FILE'"),
        ("openni://0", "Did you mean 'openni2://0'"),
        ("rtps://host/x", r"Did you mean 'rtsps://HOST/PATH' or 'rtsp://HOST/PATH'\?"),
        ("gst", r"gst` is not complete\. Did you mean 'gst:PIPELINE'"),
        ("ftp://host/x", "unknown scheme 'ftp'.*Known: 0"),
        ("rtsp:host", r"rtsp:\*\*\*` is not complete\. Did you mean 'rtsp://HOST/PATH'"),
    ],
)
def test_other_schemes_and_their_nearest(uri: str, text: str) -> None:
    with pytest.raises(UsageError, match=text) as refused:
        open_source(uri, DEPTH)
    assert "secret" not in str(refused.value)


def test_folder_with_a_colon_in_its_name_is_a_folder(tmp_path: Path) -> None:
    save_frames(tmp_path / "run:1", make_frames(2))
    assert len(read_all(open_source(str(tmp_path / "run:1"), DEPTH))) == 2


@pytest.mark.parametrize("uri", ["97", "v4l2://97", "v4l2:///dev/video97", "/dev/video97"])
def test_missing_camera_names_the_device(uri: str) -> None:
    with pytest.raises(SourceLostError, match="/dev/video97: cannot be opened: No such file"):
        open_source(uri, DEPTH)


def test_camera_cannot_loop() -> None:
    with pytest.raises(UsageError, match="`loop=True`"):
        open_source("0", DEPTH, loop=True)


@pytest.mark.slow
def test_reading_needs_opencv_and_says_so(tmp_path: Path) -> None:
    save_frames(tmp_path / "f", make_frames(1))
    hidden = tmp_path / "hidden" / "cv2"
    hidden.mkdir(parents=True)
    (hidden / "__init__.py").write_text("raise ModuleNotFoundError('no cv2', name='cv2')\n")
    bundle = save_bundle(tmp_path / "bundle").path
    path = f"{hidden.parent}:{cli_environment()['PYTHONPATH']}"
    done = run_cli("run", bundle, "--camera", tmp_path / "f", PYTHONPATH=path)
    assert done.code == 6
    assert "[cpu]'" in done.stderr
