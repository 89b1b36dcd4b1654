"""TIFF against tifffile and Pillow, which share no code with what reads it here."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import tifffile
from numpy.typing import NDArray
from PIL import Image

from tgkt_edge.errors import DataError
from tgkt_edge.io.formats.tiff_packing import unpack_lzw, unpack_lzw_slowly
from tgkt_edge.io.images import read_frame, read_rgb

NOISE16 = np.random.default_rng(1).integers(0, 65536, (37, 53)).astype(np.uint16)
SMOOTH16 = (np.mgrid[0:37, 0:53][1] * 811 + np.mgrid[0:37, 0:53][0]).astype(np.uint16)
NOISE8 = (NOISE16 >> 8).astype(np.uint8)
COLOUR = np.random.default_rng(2).integers(0, 256, (37, 53, 3)).astype(np.uint8)


def write(path: Path, image: NDArray[Any], **how: Any) -> Path:
    how = {"photometric": "minisblack", **how}
    tifffile.imwrite(path, image, **how)
    return path


@pytest.mark.parametrize(
    "how",
    [
        {},
        {"byteorder": ">"},
        {"bigtiff": True},
        {"bigtiff": True, "byteorder": ">"},
        {"rowsperstrip": 5},
        {"tile": (16, 32)},
        {"compression": "zlib"},
        {"compression": "zlib", "rowsperstrip": 5, "predictor": True},
        {"compression": "zlib", "tile": (32, 16), "predictor": True, "byteorder": ">"},
        {"metadata": None},
    ],
    ids=str,
)
@pytest.mark.parametrize("image", [NOISE16, SMOOTH16, NOISE8], ids=["noise16", "smooth16", "noise8"])
def test_counts_are_the_file_s_however_it_is_laid_out(
    image: NDArray[Any], how: dict[str, Any], tmp_path: Path
) -> None:
    path = write(tmp_path / "a.tif", image, **how)
    frame = read_frame(path)
    assert frame.dtype == image.dtype
    np.testing.assert_array_equal(frame, tifffile.imread(path))


@pytest.mark.parametrize("packing", ["tiff_lzw", "packbits", "tiff_deflate", "tiff_adobe_deflate"])
@pytest.mark.parametrize(
    "image", [NOISE16, SMOOTH16, NOISE8, COLOUR], ids=["noise16", "smooth16", "noise8", "colour"]
)
def test_every_packing_gives_the_same_counts(image: NDArray[Any], packing: str, tmp_path: Path) -> None:
    """As libtiff writes them."""
    path = tmp_path / "a.tif"
    Image.fromarray(image).save(path, compression=packing)
    if image.ndim == 3:
        np.testing.assert_array_equal(read_rgb(path), image)
    else:
        np.testing.assert_array_equal(read_frame(path), image)


def test_both_ways_of_unpacking_lzw_agree(tmp_path: Path) -> None:
    image = (SMOOTH16[:36] // 100).astype(np.uint16)
    Image.fromarray(image).save(tmp_path / "a.tif", compression="tiff_lzw")
    with tifffile.TiffFile(tmp_path / "a.tif") as file:
        page: Any = file.pages[0]
        start, size = page.dataoffsets[0], page.databytecounts[0]
    packed = (tmp_path / "a.tif").read_bytes()[start : start + size]
    assert unpack_lzw(packed, 106, 36) == unpack_lzw_slowly(packed, 36 * 106) == image.astype("<u2").tobytes()


@pytest.mark.parametrize(
    "how", [{}, {"planarconfig": "separate"}, {"planarconfig": "separate", "tile": (16, 16)}], ids=str
)
def test_colour_comes_red_first_and_equal_channels_are_grey(how: dict[str, Any], tmp_path: Path) -> None:
    def laid_out(image: NDArray[Any]) -> NDArray[Any]:
        return image.transpose(2, 0, 1).copy() if how else image

    path = write(tmp_path / "a.tif", laid_out(COLOUR), photometric="rgb", **how)
    np.testing.assert_array_equal(read_rgb(path), COLOUR)
    grey = np.repeat(SMOOTH16[..., np.newaxis], 3, axis=2)
    np.testing.assert_array_equal(
        read_frame(write(tmp_path / "b.tif", laid_out(grey), photometric="rgb", **how)), SMOOTH16
    )


def test_a_file_of_five_pages_is_refused_by_their_number_unless_one_is_named(tmp_path: Path) -> None:
    stack = np.stack([NOISE16 + page for page in range(5)])
    for path in (
        write(tmp_path / "pages.tif", stack),
        write(tmp_path / "imagej.tif", stack, imagej=True, photometric=None),
    ):
        for read in (read_frame, read_rgb):
            with pytest.raises(
                DataError,
                match=rf"{path.name}: holds 5 pages\. Name one.*FILE\?page=0; or write each to a file of.*IN",
            ):
                read(path)
        for page in range(5):
            np.testing.assert_array_equal(read_frame(Path(f"{path}?page={page}")), stack[page])
        with pytest.raises(DataError, match="holds 5 pages, numbered from 0: there is no page 5"):
            read_frame(Path(f"{path}?page=5"))


def test_thumbnails_beside_the_page_are_no_pages(tmp_path: Path) -> None:
    with tifffile.TiffWriter(tmp_path / "a.tif") as file:
        file.write(NOISE16[::4, ::4].copy(), subfiletype=1, photometric="minisblack")
        file.write(NOISE16, photometric="minisblack", subifds=1)
        file.write(NOISE16[::2, ::2].copy(), subfiletype=1, photometric="minisblack")
    np.testing.assert_array_equal(read_frame(tmp_path / "a.tif"), NOISE16)


@pytest.mark.parametrize(
    ("image", "how", "words"),
    [
        (NOISE16.astype(np.float64), {}, r"floating-point numbers, 64 bits.*32 bits and one channel"),
        (NOISE16.view(np.int16), {}, "signed whole numbers, 16 bits"),
        (NOISE16.astype(np.uint32), {}, "32 bits a sample; expected 8 or 16"),
        (NOISE8 > 128, {}, "1 bits a sample"),
        (NOISE16, {"photometric": "miniswhite"}, r"0 is white \(min-is-white\).*tiffset"),
        (NOISE8, {"photometric": "miniswhite"}, r"0 is white \(min-is-white\).*tiffset"),
        (NOISE16, {"photometric": "cfa"}, "a colour filter array"),
        (NOISE8, {"photometric": "palette", "colormap": np.zeros((3, 256), np.uint16)}, "a palette"),
        (np.stack([NOISE8] * 5, -1), {"planarconfig": "contig"}, "5 channels"),
        (NOISE8, {"compression": "lzma"}, r"compressed with LZMA.*tiffcp"),
        (np.stack([NOISE16] * 16), {"volumetric": True, "tile": (16, 16, 16)}, "several slices"),
    ],
)
def test_what_is_not_read_is_named_with_what_to_do(
    image: NDArray[Any], how: dict[str, Any], words: str, tmp_path: Path
) -> None:
    """The same for both halves of a pair, whatever the depth."""
    path = write(tmp_path / "a.tif", image, **how)
    for read in (read_frame, read_rgb):
        with pytest.raises(DataError, match=words):
            read(path)


def metres_of(dtype: type) -> NDArray[Any]:
    """Numbers of every kind: not a number, infinite, negative zero, the largest and the smallest."""
    metres: NDArray[Any] = np.random.default_rng(1).normal(2, 3, (37, 41)).astype(dtype)
    metres[:3, :3] = [
        [np.nan, np.inf, -np.inf],
        [0, -0.0, 1],
        [np.finfo(dtype).max, np.finfo(dtype).tiny, -1],
    ]
    return metres


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    "how",
    [
        {},
        {"compression": "zlib"},
        {"compression": "zlib", "tile": (16, 16)},
        {"rowsperstrip": 7},
    ],
    ids=["plain", "deflate", "tiles", "strips"],
)
def test_floating_point_numbers_are_those_that_tifffile_wrote(
    dtype: type, order: Any, how: dict[str, Any], tmp_path: Path
) -> None:
    metres = metres_of(dtype)
    path = write(tmp_path / "a.tif", metres, byteorder=order, **how)
    read = read_frame(path)
    np.testing.assert_array_equal(tifffile.imread(path), metres)
    assert read.dtype == dtype
    assert read.tobytes() == metres.tobytes()
    with pytest.raises(
        DataError, match=r"a\.tif: is a TIFF of floating-point numbers; an RGB image has 8 or 16 bits"
    ):
        read_rgb(path)


@pytest.mark.parametrize("predictor", [1, 3])
@pytest.mark.parametrize("packing", [5, 8, 32946, 32773], ids=["lzw", "deflate", "old-deflate", "packbits"])
def test_floating_point_numbers_are_those_that_libtiff_wrote(
    packing: int, predictor: int, tmp_path: Path
) -> None:
    """Predictor 3 sorts the bytes of a row by their weight before it takes differences."""
    metres, path = metres_of(np.float32), tmp_path / "a.tif"
    how = [cv2.IMWRITE_TIFF_COMPRESSION, packing, cv2.IMWRITE_TIFF_PREDICTOR, predictor]
    assert cv2.imwrite(str(path), metres, how)
    with tifffile.TiffFile(path) as file:
        assert file.pages[0].aspage().compression == packing
        assert file.pages[0].aspage().predictor == (predictor if packing != 32773 else 1)
    assert read_frame(path).tobytes() == metres.tobytes()


@pytest.mark.parametrize("packing", [None, "tiff_lzw", "packbits", "tiff_deflate"])
@pytest.mark.parametrize("share", [0.2, 0.6, 0.95])
def test_a_cut_file_is_never_filled_up(packing: str | None, share: float, tmp_path: Path) -> None:
    path = tmp_path / "a.tif"
    Image.fromarray(NOISE16).save(path, compression=packing)
    data = path.read_bytes()
    # Pillow's libtiff writes its table of tags last, so that the pixels are cut here instead.
    with tifffile.TiffFile(path) as file:
        page: Any = file.pages[0]
        start, size = page.dataoffsets[-1], page.databytecounts[-1]
    hole = int(size * share)
    for damaged in (
        data[: int(len(data) * share)],
        data[: start + hole] + b"\xff" * (size - hole) + data[start + size :],
    ):
        if packing is None and len(damaged) == len(data):
            continue  # raw pixels: nothing could tell
        path.write_bytes(damaged)
        if packing == "packbits" and len(damaged) == len(data):
            continue  # runs of any length are well-formed
        with pytest.raises(DataError, match=r"a\.tif: is (truncated|damaged)"):
            read_frame(path)


def test_a_list_of_pages_that_leads_back_ends(tmp_path: Path) -> None:
    path = write(tmp_path / "a.tif", NOISE8, metadata=None)
    data = bytearray(path.read_bytes())
    start = int.from_bytes(data[4:8], "little")
    end = start + 2 + 12 * int.from_bytes(data[start : start + 2], "little")
    data[end : end + 4] = data[4:8]
    path.write_bytes(data)
    with pytest.raises(DataError, match="leads back"):
        read_frame(path)
