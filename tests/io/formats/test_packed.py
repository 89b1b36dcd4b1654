"""Raw frames without a header: counts by the tables of the kernel's "V4L2 image formats", bit by bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from tgkt_edge.data.discovery import frame_places, matched
from tgkt_edge.errors import DataError
from tgkt_edge.io.formats.packed import PACKINGS
from tgkt_edge.io.images import read_frame
from tgkt_edge.runtime import open_source
from tgkt_edge.sensor import PRESETS

HEIGHT, WIDTH = 6, 8


def counts(bits: int, seed: int = 1) -> NDArray[Any]:
    return np.random.default_rng(seed).integers(0, 1 << bits, (HEIGHT, WIDTH))


def y10p(rows: NDArray[Any]) -> bytes:
    """V4L2_PIX_FMT_Y10P: bytes 0 to 3 hold bits 9 to 2, byte 4 holds Y3[1:0] Y2[1:0] Y1[1:0] Y0[1:0]."""
    out = bytearray()
    for a, b, c, d in rows.reshape(-1, 4).tolist():
        out += bytes([a >> 2, b >> 2, c >> 2, d >> 2, (d & 3) << 6 | (c & 3) << 4 | (b & 3) << 2 | (a & 3)])
    return bytes(out)


def y12p(rows: NDArray[Any]) -> bytes:
    """V4L2_PIX_FMT_Y12P: Y0[11:4], Y1[11:4], Y1[3:0] Y0[3:0]."""
    return b"".join(
        bytes([a >> 4, b >> 4, (b & 15) << 4 | (a & 15)]) for a, b in rows.reshape(-1, 2).tolist()
    )


def y10bpack(rows: NDArray[Any]) -> bytes:
    """V4L2_PIX_FMT_Y10BPACK: ten bits after ten bits, the highest first."""
    bits = "".join(f"{count:010b}" for count in rows.ravel().tolist())
    return int(bits, 2).to_bytes(len(bits) // 8, "big")


def y12i(left: NDArray[Any], right: NDArray[Any]) -> bytes:
    """V4L2_PIX_FMT_Y12I: Y0left[7:0], Y0right[3:0] Y0left[11:8], Y0right[11:4]."""
    pairs = zip(left.ravel().tolist(), right.ravel().tolist(), strict=True)
    return b"".join(bytes([a & 255, (b & 15) << 4 | a >> 8, b >> 4]) for a, b in pairs)


EIGHT, TEN, TWELVE, SIXTEEN = counts(8), counts(10), counts(12), counts(16)
METRES = np.random.default_rng(0).normal(2, 1, (HEIGHT, WIDTH)).astype(np.float32)
OTHER = np.full((HEIGHT, WIDTH), 0xABC)

FILES: dict[str, tuple[bytes, NDArray[Any]]] = {
    "uint8": (EIGHT.astype("u1").tobytes(), EIGHT.astype(np.uint8)),
    "uint16": (SIXTEEN.astype("<u2").tobytes(), SIXTEEN.astype(np.uint16)),
    "uint16be": (SIXTEEN.astype(">u2").tobytes(), SIXTEEN.astype(np.uint16)),
    "float16": (METRES.astype("<f2").tobytes(), METRES.astype(np.float16)),
    "float32": (METRES.astype("<f4").tobytes(), METRES),
    "float32be": (METRES.astype(">f4").tobytes(), METRES),
    "y10p": (y10p(TEN), TEN.astype(np.uint16)),
    "raw10": (y10p(TEN), TEN.astype(np.uint16)),
    "y12p": (y12p(TWELVE), TWELVE.astype(np.uint16)),
    "raw12": (y12p(TWELVE), TWELVE.astype(np.uint16)),
    "y10bpack": (y10bpack(TEN), TEN.astype(np.uint16)),
    "y8i": (np.stack([EIGHT, OTHER & 255], -1).astype("u1").tobytes(), EIGHT.astype(np.uint8)),
    "y12i": (y12i(TWELVE, OTHER), TWELVE.astype(np.uint16)),
    "inzi-ir": (np.stack([TEN, SIXTEEN]).astype("<u2").tobytes(), TEN.astype(np.uint16)),
    "inzi-depth": (np.stack([TEN, SIXTEEN]).astype("<u2").tobytes(), SIXTEEN.astype(np.uint16)),
}


def test_every_packing_is_tried() -> None:
    assert FILES.keys() == PACKINGS.keys()


@pytest.mark.parametrize("packing", FILES)
def test_a_raw_file_holds_the_counts_that_were_packed(packing: str, tmp_path: Path) -> None:
    data, expected = FILES[packing]
    (tmp_path / "a.raw").write_bytes(data)
    read = read_frame(tmp_path / f"a.raw?shape={HEIGHT}x{WIDTH}&packing={packing}")
    assert read.dtype == expected.dtype
    np.testing.assert_array_equal(read, expected)
    for wrong in (data[:-1], data + b"\0"):
        (tmp_path / "a.raw").write_bytes(wrong)
        with pytest.raises(
            DataError, match=rf"holds {len(wrong)} bytes; 6 rows of 8 pixels.* are {len(data)}\."
        ):
            read_frame(tmp_path / f"a.raw?shape={HEIGHT}x{WIDTH}&packing={packing}")


@pytest.mark.parametrize(
    ("question", "words"),
    [
        ("shape=6", r"shape=6: expected rows and columns, e\.g\. shape=480x640"),
        ("shape=6x8&packing=y11", r"packing=y11: expected one of uint8, uint16"),
        ("shape=8x6&packing=y10p", "holds rows of a multiple of 4 pixels, not of 6"),
        ("shape=0x6", "its size is 6x0"),
        ("packing=uint16", "is damaged or not an image.*FILE\\?shape=480x640&packing=uint16"),
    ],
)
def test_what_is_said_of_a_raw_file_must_mean_something(question: str, words: str, tmp_path: Path) -> None:
    (tmp_path / "a.raw").write_bytes(bytes(96))
    with pytest.raises(DataError, match=words):
        read_frame(tmp_path / f"a.raw?{question}")


def test_what_is_said_of_a_folder_is_meant_of_its_raw_files(tmp_path: Path) -> None:
    """For targets, pairs and cameras alike; other files of the folder are read as ever."""
    data, expected = FILES["y10p"]
    for side in ("rgb", "frame"):
        (tmp_path / side).mkdir()
    for number in range(3):
        (tmp_path / f"frame/{number}.raw").write_bytes(data)
        cv2.imwrite(str(tmp_path / f"rgb/{number}.png"), np.zeros((6, 8, 3), np.uint8))
    cv2.imwrite(str(tmp_path / "frame/3.png"), SIXTEEN.astype(np.uint16))
    cv2.imwrite(str(tmp_path / "rgb/3.png"), np.zeros((6, 8, 3), np.uint8))
    (tmp_path / "frame/notes.txt").write_text("no frame")
    question = f"?shape={HEIGHT}x{WIDTH}&packing=y10p"
    places = [file for file, _ in frame_places(Path(f"{tmp_path}/frame{question}"), "--target")]
    rgb, frames = matched(Path(f"{tmp_path}{question}"))
    assert len(rgb) == 4
    assert frames == places
    with open_source(f"{tmp_path}/frame{question}", PRESETS["nir"]) as source:
        captured = [one.frame for one in iter(source.read, None)]
    for found in (captured, [read_frame(file) for file in places]):
        assert len(found) == 4
        for frame in found[:3]:
            assert frame is not None
            np.testing.assert_array_equal(frame, expected)
    plain = [file for file, _ in frame_places(tmp_path / "frame", "--target")]
    assert [file.name for file in plain] == ["3.png"]  # no file is raw unless that is said
    with pytest.raises(DataError, match=r"options for the files in a folder: shape=, array=, channel="):
        frame_places(Path(f"{tmp_path}/frame?page=3"), "--target")
