"""Files of other kinds are refused by their name, whatever they are called; pictures are not called films."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

from tgkt_edge.errors import DataError, SourceLostError
from tgkt_edge.io.images import read_frame
from tgkt_edge.runtime.sources import open_source
from tgkt_edge.sensor import PRESETS

GREY = np.arange(48 * 64, dtype=np.uint8).reshape(48, 64)


def ftyp(*brands: bytes) -> bytes:
    body = brands[0] + bytes(4) + b"".join(brands[1:])
    return struct.pack(">I4s", 8 + len(body), b"ftyp") + body + struct.pack(">I4s", 100, b"meta") + bytes(92)


def packet_stream() -> bytes:
    return (b"G\x40\0\x10" + bytes(184)) * 4


KINDS = [
    (ftyp(b"heix", b"mif1", b"heic"), "a HEIF image"),
    (ftyp(b"hevc", b"mif1"), "a HEIF image"),
    (ftyp(b"mif1", b"heic"), "a HEIF image"),
    (ftyp(b"mif1", b"avif", b"miaf"), "an AVIF"),
    (ftyp(b"avis", b"msf1"), "an AVIF"),
    (ftyp(b"crx ", b"isom"), "a camera's raw image (CR3)"),
    (bytes(128) + b"DICM" + bytes(100), "a DICOM file"),
    (b"II\xbc\x01" + bytes(100), "a JPEG XR"),
    (b"ONI10" + bytes(100), "a recording of OpenNI"),
    (b"# .PCD v0.7 - Point Cloud Data file format\n", "a point cloud (PCD)"),
    (b"ply\nformat ascii 1.0\n", "a point cloud or mesh"),
    (b"MATLAB 5.0 MAT-file, Platform: GLNXA64" + bytes(100), "a MATLAB file"),
    (b"FFF\0" + bytes(100), "a FLIR file"),
    (b"\x28\xb5\x2f\xfd" + bytes(100), "a Zstandard archive"),
    (b"/annex/objects/SHA256E-s1--0a.png\n", "a pointer of git-annex"),
    (b"<!DOCTYPE html>\n<title>Sign in</title>", "a web page"),
    (b"YUV4MPEG2 W64 H48 F5:1 Cmono\nFRAME\n" + bytes(3072), "a Y4M video"),
    (packet_stream(), "an MPEG transport stream"),
]


@pytest.mark.parametrize(("data", "name"), KINDS, ids=[name for _, name in KINDS])
@pytest.mark.parametrize("suffix", [".png", ".bin"])
def test_other_files_are_refused_by_what_they_are(
    data: bytes, name: str, suffix: str, tmp_path: Path
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(data)
    with pytest.raises(DataError) as caught:
        read_frame(path)
    assert f"is {name}" in str(caught.value)
    with (
        pytest.raises((SourceLostError, StopIteration)) as lost,
        open_source(str(path), PRESETS["nir8"]) as source,
    ):
        captured = source.read()
        assert captured is not None
        raise SourceLostError(captured.error or "read")
    assert f"is {name}" in str(lost.value)


def test_a_video_in_a_container_that_is_not_read_comes_with_the_command_that_converts_it(
    tmp_path: Path,
) -> None:
    (tmp_path / "a.ts").write_bytes(packet_stream())
    with pytest.raises(SourceLostError, match=r"ffmpeg -i IN -pix_fmt gray16le -c:v ffv1 OUT\.mkv"):
        open_source(str(tmp_path / "a.ts"), PRESETS["nir8"])


def test_a_film_is_no_image() -> None:
    from tgkt_edge.io.formats.sniff import is_video

    assert is_video(ftyp(b"isom", b"avc1"))
    assert is_video(ftyp(b"qt  "))
    assert not is_video(ftyp(b"heim", b"mif1"))


def test_a_dng_is_named_and_its_preview_not_taken_for_it(tmp_path: Path) -> None:
    path = tmp_path / "a.dng"
    version = (50706, 1, 4, (1, 4, 0, 0), True)
    for reduced in (0, 1):
        tifffile.imwrite(path, GREY, subfiletype=reduced, extratags=[version])
        with pytest.raises(DataError, match=r"is a DNG .*16-bit PNG"):
            read_frame(path)


def test_jpeg_ls_and_apple_s_png_are_named(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    path.write_bytes(b"\xff\xd8\xff\xf7\0\x0b\x10\0\x30\0\x40\1\1\x11\0" + bytes(50) + b"\xff\xd9")
    with pytest.raises(DataError, match="is a JPEG-LS"):
        read_frame(path)
    Image.fromarray(GREY).save(path, "PNG")
    data = path.read_bytes()
    apple = b"\0\0\0\4CgBI\x50\0\x20\6\x2c\xb8\x77\x66"
    path.write_bytes(data[:8] + apple + data[8:])
    with pytest.raises(DataError, match=r"CgBI.*pngcrush -revert"):
        read_frame(path)
