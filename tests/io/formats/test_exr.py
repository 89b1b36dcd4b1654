"""OpenEXR: numbers as OpenEXR's own library writes them arrive bit for bit; the rest is refused by its name."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import OpenEXR
import pytest
from numpy.typing import NDArray

from tgkt_edge.errors import DataError
from tgkt_edge.io.images import read_frame, read_rgb

METRES = np.random.default_rng(3).normal(2, 3, (37, 41)).astype(np.float32)
METRES[0, :5] = [np.nan, np.inf, -np.inf, -0.0, 1e-40]
SMOOTH = (np.mgrid[0:37, 0:41][0] / 8 + 1).astype(np.float32)  # shrinks under any packing


def write(path: Path, channels: dict[str, NDArray[Any]], packing: Any, **header: Any) -> Path:
    kind = {"compression": packing, "type": OpenEXR.scanlineimage, **header}
    OpenEXR.File(kind, channels).write(str(path))
    return path


@pytest.mark.parametrize(
    "packing", ["NO_COMPRESSION", "RLE_COMPRESSION", "ZIPS_COMPRESSION", "ZIP_COMPRESSION"]
)
@pytest.mark.parametrize("dtype", [np.float32, np.float16, np.uint32])
@pytest.mark.parametrize("values", [METRES, SMOOTH], ids=["noise", "smooth"])
def test_a_channel_arrives_as_openexr_wrote_it(
    packing: str, dtype: Any, values: NDArray[Any], tmp_path: Path
) -> None:
    with np.errstate(invalid="ignore"):
        values = values.astype(dtype)
    path = write(tmp_path / "a.exr", {"Z": values}, getattr(OpenEXR, packing))
    read = read_frame(path)
    theirs = OpenEXR.File(str(path)).channels()["Z"].pixels
    assert read.dtype == dtype
    assert read.tobytes() == theirs.tobytes() == values.tobytes()


def test_of_several_channels_z_is_distance_and_others_are_named(tmp_path: Path) -> None:
    colour = {name: SMOOTH + place for place, name in enumerate("RGBA")}
    path = write(tmp_path / "a.exr", {**colour, "Z": METRES}, OpenEXR.ZIP_COMPRESSION)
    assert read_frame(path).tobytes() == METRES.tobytes()
    assert read_frame(tmp_path / "a.exr?channel=G").tobytes() == (SMOOTH + 1).tobytes()
    with pytest.raises(DataError, match=r"holds no channel 'Y'\. It holds A, B, G, R, Z\."):
        read_frame(tmp_path / "a.exr?channel=Y")
    path = write(tmp_path / "b.exr", {"ir": SMOOTH, "depth.V": METRES}, OpenEXR.ZIP_COMPRESSION)
    with pytest.raises(
        DataError, match=r"holds the channels depth\.V, ir\. Name one: FILE\?channel=depth\.V"
    ):
        read_frame(path)


def test_grey_stored_as_three_channels_is_grey(tmp_path: Path) -> None:
    path = write(tmp_path / "a.exr", dict.fromkeys("RGB", SMOOTH), OpenEXR.ZIPS_COMPRESSION)
    assert read_frame(path).tobytes() == SMOOTH.tobytes()
    path = write(tmp_path / "b.exr", {"R": SMOOTH, "G": SMOOTH, "B": SMOOTH + 1}, OpenEXR.ZIPS_COMPRESSION)
    assert read_frame(path).shape == (37, 41, 3)  # a SensorSpec refuses it


@pytest.mark.parametrize("name", ["PIZ", "PXR24", "B44", "B44A", "DWAA", "DWAB"])
def test_other_packings_are_refused_by_name(name: str, tmp_path: Path) -> None:
    path = write(tmp_path / "a.exr", {"Z": SMOOTH}, getattr(OpenEXR, f"{name}_COMPRESSION"))
    for read in (read_frame, read_rgb):
        with pytest.raises(
            DataError, match=rf"a\.exr: is an OpenEXR compressed with {name}, which.*oiiotool"
        ):
            read(path)


def test_tiles_and_parts_are_refused_by_name(tmp_path: Path) -> None:
    tiles = OpenEXR.TileDescription()
    tiles.xSize = tiles.ySize = 16
    path = write(
        tmp_path / "tiles.exr", {"Z": SMOOTH}, OpenEXR.ZIP_COMPRESSION, type=OpenEXR.tiledimage, tiles=tiles
    )
    with pytest.raises(DataError, match="an OpenEXR with tiles"):
        read_frame(path)
    parts = [OpenEXR.Part({"type": OpenEXR.scanlineimage}, {"Z": SMOOTH}, name) for name in ("left", "right")]
    OpenEXR.File(parts).write(str(tmp_path / "parts.exr"))
    with pytest.raises(DataError, match="an OpenEXR with several parts"):
        read_frame(tmp_path / "parts.exr")


def test_a_header_whose_compression_says_nothing_is_refused(tmp_path: Path) -> None:
    def attribute(name: bytes, kind: bytes, value: bytes) -> bytes:
        return name + b"\0" + kind + b"\0" + struct.pack("<i", len(value)) + value

    window = struct.pack("<4i", 0, 0, 1, 1)
    header = (
        attribute(b"dataWindow", b"box2i", window) + attribute(b"displayWindow", b"box2i", window)
        + attribute(b"compression", b"compression", b"")
    )  # fmt: skip
    (tmp_path / "a.exr").write_bytes(b"\x76\x2f\x31\x01" + struct.pack("<I", 2) + header + b"\0")
    with pytest.raises(DataError, match="compressed with method 255, which is not read"):
        read_frame(tmp_path / "a.exr")


def test_a_file_cut_off_anywhere_is_named(tmp_path: Path) -> None:
    data = write(tmp_path / "a.exr", {"Z": METRES}, OpenEXR.ZIP_COMPRESSION).read_bytes()
    for end in (5, 20, 200, len(data) // 2, len(data) - 1):
        (tmp_path / "cut.exr").write_bytes(data[:end])
        with pytest.raises(DataError, match=r"cut\.exr: is (damaged|truncated)"):
            read_frame(tmp_path / "cut.exr")


def test_a_photograph_is_none(tmp_path: Path) -> None:
    path = write(tmp_path / "a.exr", {"Z": SMOOTH}, OpenEXR.ZIP_COMPRESSION)
    with pytest.raises(
        DataError, match="is an OpenEXR of floating-point numbers; an RGB image has 8 or 16 bits"
    ):
        read_rgb(path)
