"""One rule for both halves of a pair and for every format: the orientation tag is obeyed."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tifffile
from PIL import Image, ImageOps

from tgkt_edge.data.loading import load_pairs
from tgkt_edge.io.images import read_frame, read_rgb
from tgkt_edge.sensor import PRESETS

RAMP = np.add(*np.mgrid[0:96:1, 0:64:1] * np.array([2, 1]).reshape(2, 1, 1)).astype(np.uint8)


def save(path: Path, orientation: int, mode: str) -> Path:
    image = Image.fromarray(RAMP).convert(mode)
    exif = Image.Exif()
    exif[0x0112] = orientation
    how: dict[str, Any] = {"tiffinfo": {274: orientation}} if path.suffix == ".tif" else {"exif": exif}
    if path.suffix == ".webp":
        how["lossless"] = True
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **how)
    return path


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("suffix", [".jpg", ".png", ".tif", ".webp"])
def test_every_orientation_is_obeyed_as_pillow_does(suffix: str, orientation: int, tmp_path: Path) -> None:
    path = save(tmp_path / f"a{suffix}", orientation, "L" if suffix != ".webp" else "RGB")
    with Image.open(save(tmp_path / "truth.png", orientation, "L")) as image:
        upright = np.asarray(ImageOps.exif_transpose(image))
    assert upright.shape == ((96, 64) if orientation < 5 else (64, 96))
    np.testing.assert_allclose(
        read_frame(path).astype(int), upright.astype(int), atol=2 if suffix == ".jpg" else 0
    )
    np.testing.assert_allclose(
        read_rgb(path)[..., 0].astype(int), upright.astype(int), atol=2 if suffix == ".jpg" else 0
    )


@pytest.mark.parametrize("orientation", [3, 6, 8])
@pytest.mark.parametrize("suffixes", [(".jpg", ".jpg"), (".png", ".tif"), (".jpg", ".png")])
def test_both_halves_of_a_pair_are_turned(
    suffixes: tuple[str, str], orientation: int, tmp_path: Path
) -> None:
    """A converted camera writes the same tag into its RGB and its NIR picture."""
    save(tmp_path / "rgb" / f"a{suffixes[0]}", orientation, "RGB")
    save(tmp_path / "frame" / f"a{suffixes[1]}", orientation, "L")
    pairs = load_pairs(tmp_path, PRESETS["nir8"], 32)
    assert np.corrcoef(pairs.rgb[0].mean(-1).ravel(), pairs.codes[0].ravel())[0, 1] > 0.99


def test_sixteen_bits_are_turned_as_eight_are(tmp_path: Path) -> None:
    for image in (RAMP, RAMP.astype(np.uint16) * 257):
        path = tmp_path / "a.tif"
        tifffile.imwrite(path, image, photometric="minisblack", extratags=[(274, 3, 1, 6, True)])
        np.testing.assert_array_equal(read_frame(path), np.rot90(image, -1))


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_numbers_that_mean_nothing_change_nothing(orientation: int, tmp_path: Path) -> None:
    np.testing.assert_array_equal(read_frame(save(tmp_path / "a.png", orientation, "L")), RAMP)


@pytest.mark.parametrize("suffix", [".png", ".webp"])
def test_exif_with_jpeg_s_mark_before_it_is_exif(suffix: str, tmp_path: Path) -> None:
    """Some programs write it into PNG and WebP as they write it into JPEG."""
    path = save(tmp_path / f"a{suffix}", 6, "L" if suffix == ".png" else "RGB")
    data, mark = path.read_bytes(), b"Exif\0\0"
    at = data.index(b"eXIf" if suffix == ".png" else b"EXIF")
    if suffix == ".png":
        length = int.from_bytes(data[at - 4 : at], "big")
        body = mark + data[at + 4 : at + 4 + length]
        data = data[: at - 4] + chunk(b"eXIf", body) + data[at + 8 + length :]
    else:
        body = mark + data[at + 8 :].removeprefix(mark)
        data = data[: at + 4] + len(body).to_bytes(4, "little") + body + b"\0" * (len(body) % 2)
        data = b"RIFF" + (len(data) - 8).to_bytes(4, "little") + data[8:]
    path.write_bytes(data)
    np.testing.assert_array_equal(read_frame(path), np.rot90(RAMP, -1))


@pytest.mark.parametrize("name", [b"zTXt", b"tEXt", b"iTXt"])
@pytest.mark.parametrize("keyword", [b"exif", b"APP1"])
def test_a_png_s_orientation_may_stand_in_a_text(name: bytes, keyword: bytes, tmp_path: Path) -> None:
    """As ImageMagick writes EXIF; Pillow turns such an image, too."""
    path = tmp_path / "a.png"
    Image.fromarray(RAMP).save(path)
    exif = Image.Exif()
    exif[0x0112] = 6
    digits = b"\n%s\n%8d\n%s\n" % (keyword.lower(), len(exif.tobytes()), exif.tobytes().hex().encode())
    text = {b"zTXt": b"\0" + zlib.compress(digits), b"tEXt": digits, b"iTXt": b"\0\0\0\0" + digits}[name]
    data = path.read_bytes()
    path.write_bytes(data[:33] + chunk(name, b"Raw profile type " + keyword + b"\0" + text) + data[33:])
    np.testing.assert_array_equal(read_frame(path), np.rot90(RAMP, -1))


@pytest.mark.parametrize("text", [b"\0not packed", b"\0" + zlib.compress(b"\nexif\n 3\nxyz"), b""])
def test_a_damaged_text_changes_nothing(text: bytes, tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    Image.fromarray(RAMP).save(path)
    data = path.read_bytes()
    path.write_bytes(data[:33] + chunk(b"zTXt", b"Raw profile type exif\0" + text) + data[33:])
    np.testing.assert_array_equal(read_frame(path), RAMP)


def chunk(name: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
