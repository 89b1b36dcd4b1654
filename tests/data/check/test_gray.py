"""Frames that are their RGB images in gray are noticed; those of a real sensor, which resemble them, are not."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.support.pairs import Scene, finding, scenes
from tgkt_edge.data.check.check import check_data, note_quickly
from tgkt_edge.data.check.gray import GRAY, explained_by_rgb, share_of_gray
from tgkt_edge.data.loading import Frames, Pairs
from tgkt_edge.io.images import read_frame, read_rgb
from tgkt_edge.preprocess import encode, encode_rgb
from tgkt_edge.sensor import SensorSpec

NIR = SensorSpec("nir", "uint8", black=0, white=255)


def test_the_share_that_rgb_explains_is_that_of_least_squares() -> None:
    red = np.array([[0, 0], [200, 200]], np.uint8)
    rgb = np.stack([red, np.zeros_like(red), np.zeros_like(red)], -1)
    assert explained_by_rgb(rgb, 300 * red.astype(np.uint16)) == pytest.approx(1)
    # Of four values 0, 2, 2, 4 the two rows' means explain 4 of a sum of squares of 8.
    assert explained_by_rgb(rgb, np.array([[0, 2], [2, 4]], np.uint16)) == pytest.approx(0.5)
    assert explained_by_rgb(rgb, np.array([[0, 9], [0, 9]], np.uint16)) == pytest.approx(0)
    assert explained_by_rgb(rgb, np.full((2, 2), 7, np.uint16)) == 0  # one value: nothing can be said
    assert share_of_gray([GRAY, 1.0, 0.5, 0.9]) == 0.5


@pytest.mark.parametrize(
    "weights", [(0.299, 0.587, 0.114), (1 / 3, 1 / 3, 1 / 3), (0, 1, 0)], ids=["luma", "mean", "green"]
)
def test_gray_copies_are_found_whatever_the_weights(weights: tuple[float, ...]) -> None:
    for rgb, _ in scenes(3):
        gray = (rgb @ np.array(weights)).round().astype(np.uint8)
        assert explained_by_rgb(encode_rgb(rgb, 96), encode(gray, NIR, 96)) >= GRAY


@pytest.mark.slow
def test_data_check_names_them(write: Callable[..., Path]) -> None:
    copies: list[Scene] = [(rgb, cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY)) for rgb, _ in scenes(8)]
    report = check_data(write(copies), NIR)
    found = finding(report, "gray")
    assert found.state == "fix", report.text()
    assert "8 of 8 frames are their RGB image in gray" in found.text
    own: list[Scene] = [(rgb, (255 - depth // 32).astype(np.uint8)) for rgb, depth in scenes(8)]
    own[5] = copies[5]
    found = finding(check_data(write(own, "own"), NIR), "gray")
    assert [Path(name).stem for name in found.names] == ["005"]


def test_adapt_notes_pairs_of_which_most_are_copies(caplog: pytest.LogCaptureFixture) -> None:
    rgb = np.stack([encode_rgb(image, 64) for image, _ in scenes(4)])
    gray = rgb.mean(-1).round().astype(np.uint16) * 257
    nothing = Frames(np.zeros((0, 64, 64), np.uint16), ())
    names = ("a", "b", "c", "d")
    note_quickly(Pairs(rgb, gray, names), nothing, "pairs")
    assert "`paired=pairs`: frames are their RGB images in gray" in caplog.text
    caplog.clear()
    half = np.where(np.arange(4)[:, None, None] < 2, gray, gray[::-1, ::-1])
    note_quickly(Pairs(rgb, half.astype(np.uint16), names), nothing, "pairs")
    assert caplog.text == ""


def test_of_real_pairs_copies_are_found_also_as_jpeg_and_none_that_a_near_infrared_camera_took(
    data_dir: Path, tmp_path: Path
) -> None:
    taken, copies = [], []
    for file in sorted((data_dir / "epfl-rgbnir").glob("*/*_rgb.jpg"))[::4]:
        rgb = read_rgb(file)
        jpeg = tmp_path / "copy.jpg"
        cv2.imwrite(str(jpeg), cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), [cv2.IMWRITE_JPEG_QUALITY, 60])
        frame = read_frame(file.with_name(file.name.replace("_rgb", "_nir")))
        small = encode_rgb(rgb, 160)
        taken.append(explained_by_rgb(small, encode(frame, NIR, 160)))
        copies.append(explained_by_rgb(small, encode(read_frame(jpeg), NIR, 160)))
    assert len(taken) > 40
    assert share_of_gray(taken) == 0
    assert share_of_gray(copies) > 0.9
