"""Videos: every combination that is read arrives exactly."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.support.videos import FRAMES, decoded, encode, ffmpeg, needs_ffmpeg
from tgkt_edge.io.containers import video_tracks
from tgkt_edge.runtime.sources import open_source
from tgkt_edge.sensor import PRESETS


@pytest.mark.slow
@needs_ffmpeg
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
@pytest.mark.parametrize(
    ("codec", "suffixes"),
    [
        (("ffv1",), (".mkv", ".avi", ".mov")),
        (("ffv1", "-level", "0", "-g", "1"), (".avi",)),
        (("ffv1", "-level", "1"), (".avi", ".mkv")),
        (("ffv1", "-level", "3", "-slices", "4", "-slicecrc", "1"), (".mkv",)),
        (("ffvhuff",), (".mkv", ".avi", ".mov")),
        (("rawvideo",), (".mkv", ".avi")),
        (("png",), (".mkv", ".avi", ".mov")),
    ],
    ids=str,
)
def test_what_is_read_arrives_exactly(
    codec: tuple[str, ...], suffixes: tuple[str, ...], dtype: type[Any], tmp_path: Path
) -> None:
    """Each combination of codec, container and depth that the list of what is read allows."""
    if dtype == np.uint16 and codec[0] in ("rawvideo", "png"):
        pytest.skip("these have no gray16le: see the refusals")
    frames = FRAMES if dtype == np.uint16 else (FRAMES >> 8).astype(np.uint8)
    for suffix in suffixes:
        found = decoded(encode(tmp_path / f"a{suffix}", frames, "-c:v", *codec))
        assert [trouble for _, trouble in found] == [""] * len(frames)
        for (frame, _), truth in zip(found, frames, strict=True):
            assert frame is not None
            assert frame.dtype == dtype
            np.testing.assert_array_equal(frame, truth)


@pytest.mark.slow
@needs_ffmpeg
@pytest.mark.parametrize("codec", ["ffv1", "rawvideo", "png"])
@pytest.mark.parametrize("suffix", [".mkv", ".avi"])
def test_odd_sizes_arrive_exactly(codec: str, suffix: str, tmp_path: Path) -> None:
    frames = (FRAMES[:, :25, :33] >> 8).astype(np.uint8)
    for (frame, _), truth in zip(
        decoded(encode(tmp_path / f"a{suffix}", frames, "-c:v", codec)), frames, strict=True
    ):
        np.testing.assert_array_equal(frame, truth)


@pytest.mark.slow
@needs_ffmpeg
@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_video_s_orientation_is_obeyed_as_ffmpeg_does(degrees: int, tmp_path: Path) -> None:
    """As an image's is."""
    plain, path = encode(tmp_path / "plain.mov", FRAMES, "-c:v", "ffv1"), tmp_path / "turned.mov"
    ffmpeg("-i", plain, "-c", "copy", "-metadata:s:v:0", f"rotate={degrees}", path)
    ffmpeg("-i", path, "-frames:v", "1", "-f", "rawvideo", "-pix_fmt", "gray16le", tmp_path / "first")
    frame, trouble = decoded(path)[0]
    assert frame is not None
    assert trouble == ""
    assert frame.tobytes() == (tmp_path / "first").read_bytes() != FRAMES[0].tobytes()


@pytest.mark.slow
@needs_ffmpeg
@pytest.mark.parametrize("suffix", [".mkv", ".mov"])
def test_sound_beside_the_video_is_no_second_track(suffix: str, tmp_path: Path) -> None:
    video = encode(tmp_path / "v.mkv", FRAMES, "-c:v", "ffv1")
    path = tmp_path / f"a{suffix}"
    ffmpeg("-f", "lavfi", "-i", "sine=duration=1", "-i", video, "-c:v", "copy", path)
    assert len(video_tracks(path)) == 1
    np.testing.assert_array_equal(decoded(path)[0][0], FRAMES[0])


def test_a_video_of_opencv_s_own_writer_loops(tmp_path: Path) -> None:
    path = str(tmp_path / "a.mkv")
    options = [cv2.VIDEOWRITER_PROP_DEPTH, cv2.CV_16U, cv2.VIDEOWRITER_PROP_IS_COLOR, 0]
    writer = cv2.VideoWriter(path, cv2.CAP_FFMPEG, cv2.VideoWriter.fourcc(*"FFV1"), 5, (64, 48), options)
    for frame in FRAMES:
        writer.write(frame)
    writer.release()
    with open_source(path, PRESETS["nir"], loop=True) as source:
        for number in range(10):
            captured = source.read()
            assert captured is not None
            np.testing.assert_array_equal(captured.frame, FRAMES[number % 4])


@pytest.mark.slow
@needs_ffmpeg
def test_the_content_decides_not_the_name(tmp_path: Path) -> None:
    path = encode(tmp_path / "a.mkv", FRAMES, "-c:v", "ffv1")
    odd = path.rename(tmp_path / "http:%04d|x.PFM")
    with open_source(str(odd), PRESETS["nir"]) as source:
        captured = source.read()
        assert captured is not None
        np.testing.assert_array_equal(captured.frame, FRAMES[0])
