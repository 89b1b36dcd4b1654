"""Compressed pictures in recordings: RVL, PNG and JPEG as ROS's image transports write them."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.bags import (
    BGR,
    DEPTH,
    HOLED,
    BagMaker,
    compressed_depth,
    pictures,
)
from tgkt_edge.errors import DataError
from tgkt_edge.io.bags.open_bag import open_bag, streams
from tgkt_edge.io.bags.rvl import decode_rvl


def rvl(counts: NDArray[Any]) -> bytes:
    """Wilson's encoder, by the book, one pixel at a time."""
    groups: list[int] = []

    def write(value: int) -> None:
        while True:
            group, value = value & 7, value >> 3
            groups.append(group | (8 if value else 0))
            if not value:
                return

    flat, at, previous = counts.ravel().tolist(), 0, 0
    while at < len(flat):
        start = at
        while at < len(flat) and flat[at] == 0:
            at += 1
        write(at - start)
        start = at
        while at < len(flat) and flat[at]:
            at += 1
        write(at - start)
        for depth in flat[start:at]:
            delta, previous = depth - previous, depth
            write(delta << 1 if delta >= 0 else (-delta << 1) - 1)
    groups += [0] * (-len(groups) % 8)
    words = [
        sum(group << (28 - 4 * i) for i, group in enumerate(groups[n : n + 8]))
        for n in range(0, len(groups), 8)
    ]
    return struct.pack(f"<{len(words)}I", *words)


@pytest.mark.parametrize(
    "counts", [DEPTH, HOLED, HOLED * 0, ((HOLED > 0) * 65535).astype(np.uint16), HOLED[:1]]
)
def test_rvl_gives_back_every_depth(counts: NDArray[Any]) -> None:
    coded = rvl(counts)
    np.testing.assert_array_equal(decode_rvl(coded, counts.size).reshape(counts.shape), counts)
    if counts.any():
        with pytest.raises(DataError, match="is damaged"):
            decode_rvl(coded[: len(coded) // 2], counts.size)


@pytest.mark.parametrize("depth", [0, 1234])
def test_rvl_runs_may_be_as_long_as_the_picture(depth: int) -> None:
    """640x480 without a hole, or nothing but holes: a run of 307200 pixels needs seven groups of three bits."""
    counts = np.full((480, 640), depth, np.uint16)
    np.testing.assert_array_equal(decode_rvl(rvl(counts), counts.size).reshape(counts.shape), counts)


def test_an_rvl_number_of_more_bits_than_any_picture_needs_is_damage() -> None:
    with pytest.raises(DataError, match="holds a number that no picture needs"):
        decode_rvl(struct.pack("<2I", 0x99999999, 0x99910000), 4)


def test_rvl_by_hand() -> None:
    """Two zeros, two others: 1000 (2000 with its sign: 0o3720, low group first) and 999 (-1: 1)."""
    groups = [2, 2, 0 | 8, 2 | 8, 7 | 8, 3, 1, 0]
    word = sum(group << (28 - 4 * i) for i, group in enumerate(groups))
    assert decode_rvl(struct.pack("<I", word), 4).tolist() == [0, 0, 1000, 999]


@pytest.mark.parametrize("form", ["16UC1; compressedDepth", "16UC1; compressedDepth png"])
def test_compressed_depth_of_16_bits_is_exact(form: str, maker: BagMaker, tmp_path: Path) -> None:
    path = maker.write(tmp_path, [("/depth", 1.0, maker.compressed(compressed_depth(HOLED), form, 1.0))])
    np.testing.assert_array_equal(pictures(path, "/depth")[0].pixels, HOLED)


def test_compressed_depth_by_rvl_is_exact(maker: BagMaker, tmp_path: Path) -> None:
    data = struct.pack("<iff", 0, 0, 0) + struct.pack("<II", 34, 24) + rvl(HOLED)
    path = maker.write(tmp_path, [("/depth", 1.0, maker.compressed(data, "16UC1; compressedDepth rvl", 1.0))])
    np.testing.assert_array_equal(pictures(path, "/depth")[0].pixels, HOLED)


def test_compressed_depth_of_32_bits_is_what_image_transport_makes_of_it(tmp_path: Path) -> None:
    """metres = A / (count - B) in float32; 0: no measurement. A = 100 x 101, B = 1 - A / 10 as for 10 m."""
    maker = BagMaker("mcap")
    a = np.float32(10100)
    b = np.float32(1) - a / np.float32(10)
    data = compressed_depth(HOLED, float(a), float(b))
    path = maker.write(tmp_path, [("/depth", 1.0, maker.compressed(data, "32FC1; compressedDepth png", 1.0))])
    (picture,) = pictures(path, "/depth")
    assert picture.pixels.dtype == np.float32
    for place, count in np.ndenumerate(HOLED):
        found = picture.pixels[place]
        assert np.isnan(found) if count == 0 else found == a / (np.float32(count) - b)


def test_compressed_color_and_grey(maker: BagMaker, tmp_path: Path) -> None:
    jpeg, png = cv2.imencode(".jpg", BGR)[1].tobytes(), cv2.imencode(".png", DEPTH)[1].tobytes()
    path = maker.write(
        tmp_path,
        [
            ("/rgb", 1.0, maker.compressed(jpeg, "rgb8; jpeg compressed bgr8", 1.0)),
            ("/ir", 1.0, maker.compressed(png, "mono16; png compressed ", 1.0)),
        ],
    )
    expected = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_UNCHANGED)
    assert expected is not None
    np.testing.assert_array_equal(pictures(path, "/rgb")[0].pixels, expected)
    np.testing.assert_array_equal(pictures(path, "/ir")[0].pixels, DEPTH)
    assert {one.topic.name: one.role for one in streams(open_bag(path))} == {
        "/rgb": "color",
        "/ir": "infrared",
    }


@pytest.mark.parametrize("orientation", [3, 6, 8])
def test_jpeg_s_orientation_is_obeyed_as_in_files(orientation: int, tmp_path: Path) -> None:
    """A camera that is mounted upside down and says so."""
    import io

    from PIL import Image, ImageOps

    exif = Image.Exif()
    exif[0x0112] = orientation
    held = io.BytesIO()
    Image.fromarray(BGR[..., ::-1]).save(held, "JPEG", exif=exif, quality=95)
    maker = BagMaker("mcap")
    path = maker.write(tmp_path, [("/rgb", 1.0, maker.compressed(held.getvalue(), "rgb8; jpeg", 1.0))])
    (found,) = pictures(path, "/rgb")
    upright = np.asarray(ImageOps.exif_transpose(Image.open(held)))[..., ::-1]
    assert found.pixels.shape == upright.shape
    assert np.abs(found.pixels.astype(int) - upright).max() <= 3
