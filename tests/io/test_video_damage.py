"""Damaged videos: a frame is exact, or it is reported; none is invented."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.videos import FRAMES, encode, ffmpeg, needs_ffmpeg
from tgkt_edge.runtime.sources import open_source
from tgkt_edge.sensor import PRESETS


@pytest.mark.slow
@needs_ffmpeg
@pytest.mark.parametrize("where", [0.4, 0.5, 0.7])
@pytest.mark.parametrize("damage", ["a flipped bit", "zeros"])
def test_from_damage_on_no_frame_is_invented(where: float, damage: str, tmp_path: Path) -> None:
    """FFmpeg takes damaged parts from the frame before and goes on."""
    frames = np.random.default_rng(5).integers(0, 4096, (8, 120, 160)).astype(np.uint16)
    path = encode(tmp_path / "a.mkv", frames, "-c:v", "ffv1", "-level", "3", "-slices", "4", "-slicecrc", "1")
    data = path.read_bytes()
    at = int(where * len(data))
    hurt = bytes((data[at] ^ 1,)) if damage == "a flipped bit" else bytes(64)
    path.write_bytes(data[:at] + hurt + data[at + len(hurt) :])
    with open_source(str(path), PRESETS["nir"]) as source:
        found = list(iter(source.read, None))
    assert 0 < sum(captured.frame is not None for captured in found) < 8
    for captured in found:
        if captured.frame is not None:
            np.testing.assert_array_equal(captured.frame, frames[captured.number])
        else:
            assert "is damaged at or before frame" in str(captured.error)


@pytest.mark.slow
@needs_ffmpeg
def test_settings_that_send_complaints_to_stdout_are_void(tmp_path: Path) -> None:
    frames = np.random.default_rng(5).integers(0, 4096, (6, 120, 160)).astype(np.uint16)
    path = encode(tmp_path / "a.mkv", frames, "-c:v", "ffv1", "-level", "3", "-slices", "4", "-slicecrc", "1")
    data = path.read_bytes()
    path.write_bytes(data[: len(data) // 2] + bytes(64) + data[len(data) // 2 + 64 :])
    program = (
        "import sys, pathlib; from tgkt_edge.io.video import ExactVideo\n"
        "video = ExactVideo(pathlib.Path(sys.argv[1])); print([bool(read[1]) for read in iter(video.read, None)])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(path)],
        env={**os.environ, "OPENCV_FFMPEG_LOGLEVEL": "-8"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "True" in done.stdout
    assert "FFMPEG" not in done.stdout


@needs_ffmpeg
def test_fields_are_handed_out_exactly_or_refused_with_the_command_that_helps(tmp_path: Path) -> None:
    """OpenCV 5 cannot convert interlaced frames, and hands out what was in its buffer."""
    path = encode(tmp_path / "a.mkv", FRAMES, "-c:v", "ffv1", "-flags", "+ilme+ildct", "-top", "1")
    whole = tmp_path / "whole.mkv"
    ffmpeg("-i", path, "-vf", "setfield=prog", "-pix_fmt", "gray16le", "-c:v", "ffv1", whole)
    for file, refused in ((path, True), (whole, False)):
        with open_source(str(file), PRESETS["nir"]) as source:
            found = list(iter(source.read, None))
        assert len(found) == 4
        for captured, frame in zip(found, FRAMES, strict=True):
            if captured.frame is not None:
                np.testing.assert_array_equal(captured.frame, frame)
            else:
                assert refused
                assert "(interlaced)" in str(captured.error)
                assert "-vf setfield=prog -pix_fmt gray16le -c:v ffv1" in str(captured.error)
