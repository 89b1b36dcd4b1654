"""Finding and decoding image files. The only place where they are decoded, for both halves of a pair."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import DataError
from tgkt_edge.io.formats.jpeg import decode_jpeg
from tgkt_edge.io.formats.npy import MAGIC, decode_npy
from tgkt_edge.io.formats.picture import Picture, turn_upright
from tgkt_edge.io.formats.sniff import decode
from tgkt_edge.io.parts import read_bytes, split_folder, split_part, suffixes_of
from tgkt_edge.io.system_names import is_system_file, is_system_folder
from tgkt_edge.notes import note
from tgkt_edge.optional_deps import require

SUFFIXES = frozenset(
    {
        ".png",
        ".jpg",
        ".jpeg",
        ".tif",
        ".tiff",
        ".bmp",
        ".pgm",
        ".ppm",
        ".pnm",
        ".webp",
        ".npy",
        ".npz",
        ".pfm",
        ".exr",
    }
)


HIDDEN = "hidden files"
"""What skipped files are counted under."""

MOST_NAMED = 5
"""Skipped folders named in one note."""


def natural_key(path: Path) -> str:
    """Sort key under which ``frame_9`` comes before ``frame_10``. Ties between equal numbers go by spelling.

    One string, since a million of them are in memory at once: numbers, marked by 1, are as long as their first
    character says, and come before text, which is marked by 2 and ends in 0, as no name has it inside.
    """
    name = path.as_posix()
    words = []
    for place, part in enumerate(re.split(r"(\d+)", name)):  # text and numbers in turns
        number = str(int(part)) if place % 2 else ""
        words.append(f"\1{chr(len(number))}{number}" if number else f"\2{part}\0")
    return "".join([*words, "\2", name])


def find_images(folder: Path) -> list[Path]:
    """All image files below ``folder``, in natural order. ``folder`` may say what its files hold: ``DIR?array=depth``,
    ``DIR?shape=480x640&packing=uint16`` (:mod:`tgkt_edge.io.parts`). Links are followed, except those to folders that
    are read anyway. Hidden and system files and folders (:mod:`tgkt_edge.io.system_names`) never count; how many images
    lie there is noted once. A link to a file that is not there counts: whoever reads it reports it.

    Raises:
        OSError: a folder cannot be listed; with its name.
    """
    folder, query = split_folder(folder)
    meant = suffixes_of(query)
    skipped: Counter[str] = Counter()
    found = (
        path
        for path in _files(folder, skipped)
        if path.suffix.lower() in SUFFIXES | meant and (path.is_file() or _is_dead_link(path))
    )
    images = sorted(found, key=natural_key)
    images = [
        path.with_name(f"{path.name}?{query}") if path.suffix.lower() in meant else path for path in images
    ]
    if skipped:
        note(f"{folder}: skipped {_skipped_text(skipped)}: hidden or system files and folders are not read")
    return images


def _skipped_text(skipped: Counter[str]) -> str:
    total, kinds = sum(skipped.values()), skipped.most_common(MOST_NAMED)
    more = f", and {len(skipped) - len(kinds)} more" if len(skipped) > len(kinds) else ""
    where = ", ".join(f"{count} in {name}" if name != HIDDEN else f"{count} hidden" for name, count in kinds)
    return f"{total} image{'s' if total > 1 else ''} ({where}{more})"


def _files(folder: Path, skipped: Counter[str]) -> Iterator[Path]:
    """All that is no folder below ``folder``, except hidden and system ones, which are counted in ``skipped``."""

    def stop(error: OSError) -> None:
        raise error  # os.walk would go on, and a class would be missing

    root = Path(os.path.realpath(folder))
    above: dict[str, tuple[str, ...]] = {
        str(folder): ()
    }  # of each folder, the real paths of those it lies in
    for place, below, files in os.walk(folder, followlinks=True, onerror=stop):
        real, outer = os.path.realpath(place), above.pop(place)
        if real in outer:
            below.clear()
            continue
        for name in below:
            if is_system_folder(name):
                skipped[name] += _images_below(Path(place, name))
        below[:] = [
            name for name in below if not is_system_folder(name) and not _leads_back(Path(place, name), root)
        ]
        above.update({os.path.join(place, name): (*outer, real) for name in below})
        for name in files:
            if not is_system_file(name):
                yield Path(place, name)
            elif Path(name).suffix.lower() in SUFFIXES:
                skipped[HIDDEN] += 1
    for name in [name for name, count in skipped.items() if not count]:
        del skipped[name]


def _images_below(folder: Path) -> int:
    """How many images a skipped folder holds, as far as it may be listed; links are not followed."""
    return sum(Path(name).suffix.lower() in SUFFIXES for _, _, files in os.walk(folder) for name in files)


def _is_dead_link(path: Path) -> bool:
    """Whether it is a link to nothing, as git-annex and unmounted disks leave them: an image that cannot be read, which
    must not go missing without a word."""
    return path.is_symlink() and not path.exists()


def _leads_back(path: Path, root: Path) -> bool:
    """Whether it is a link to a folder that is read anyway, as part of ``root``."""
    return path.is_symlink() and Path(os.path.realpath(path)).is_relative_to(root)


Reader = Callable[[Path], bytes]
"""Gives all bytes of a file. Raises OSError."""


def read_frame(path: Path, read: Reader = read_bytes) -> NDArray[Any]:
    """Decode a sensor frame: its counts exactly as stored, turned upright as its orientation tag says.

    The rule for all formats, and for :func:`read_rgb` as well: EXIF's and TIFF's orientation is obeyed; no other tag is
    (gamma, significant bits, colour profiles, transparent colours). What would have to be obeyed and changes counts is
    refused: TIFF's min-is-white, squeezed intensities. Of a file of several pages or frames one must be named
    (:mod:`tgkt_edge.io.parts`); it is refused otherwise, with their number.

    Args:
        read: called once, for the bytes of the file; not of a .npy, of which only the page is read.

    Returns:
        (H, W), or (H, W, C) if it is in colour, which a SensorSpec then refuses; of the file's dtype, unshifted and
        unscaled, in the machine's order of bytes. Grey that is stored as equal channels (with or without constant
        alpha) is one channel.

    Raises:
        DataError: missing, empty, truncated, damaged, or not a format that is read.
    """
    picture = _decode(path, read)
    if picture.not_counts:
        raise DataError(f"{path}: {picture.not_counts}")
    return turn_upright(_one_channel(picture.pixels, path), picture.orientation)


def read_rgb(path: Path, read: Reader = read_bytes) -> NDArray[np.uint8]:
    """Decode an RGB image to (H, W, 3) uint8 RGB, turned upright by its orientation tag: see :func:`read_frame`.

    16 bits are brought to 8, other maxima (PGM, PNG of 1, 2 and 4 bits) to 255; grey becomes three equal channels;
    transparency is left out.

    Raises:
        DataError: missing, empty, truncated, damaged, or not a format that is read.
    """
    picture = _decode(path, read)
    if picture.frame_only:
        raise DataError(
            f"{path}: is {picture.frame_only}; an RGB image has 8 or 16 bits: PNG, JPEG, TIFF, ..."
        )
    pixels = turn_upright(picture.pixels, picture.orientation)
    if picture.top == 65535:
        pixels = (pixels >> 8).astype(np.uint8)
    elif picture.top != 255:
        pixels = ((pixels.astype(np.uint32) * 255 + picture.top // 2) // picture.top).astype(np.uint8)
    if pixels.ndim == 2:
        return np.repeat(pixels[..., np.newaxis], 3, axis=2)
    return np.ascontiguousarray(pixels[..., 2::-1])


def decode_jpeg_frame(data: bytes) -> NDArray[np.uint8]:
    """Decode a JPEG that a camera sent, by the rule of :func:`read_frame`.

    Returns:
        (H, W) or, in colour, (H, W, 3) blue, green, red.

    Raises:
        DataError: truncated, damaged, or no JPEG. Its text names no file.
    """
    require("cv2", "cpu", "Decoding images")
    if not data.startswith(b"\xff\xd8\xff"):
        raise DataError(f"is no JPEG ({len(data)} bytes)")
    picture = decode_jpeg(data)
    if picture.not_counts:
        raise DataError(picture.not_counts)
    return turn_upright(picture.pixels, picture.orientation)


def _decode(path: Path, read: Reader) -> Picture:
    require("cv2", "cpu", "Decoding images")
    file, part = split_part(path)
    try:
        if file.suffix.lower() == ".npy" and part.keys() <= {"page"}:
            with file.open("rb") as opened:  # one page of a stack that may be larger than memory
                if opened.read(len(MAGIC)) == MAGIC:
                    opened.seek(0)
                    return decode_npy(opened, **part)
        data = read(file)
    except FileNotFoundError as error:
        link = f": it is a link to {os.readlink(file)}, which is not there" if file.is_symlink() else ""
        raise DataError(f"{path}: cannot be read{link or f': {error.strerror}'}") from error
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    except DataError as error:
        raise DataError(f"{path}: {error}") from error
    if not data:
        raise DataError(f"{path}: is empty (0 bytes)")
    try:
        return decode(data, **part)
    except DataError as error:
        raise DataError(f"{path}: {error}") from error


def _one_channel(pixels: NDArray[Any], path: Path) -> NDArray[Any]:
    """(H, W) if all channels of (H, W, C) are equal and alpha, if any, is the same everywhere; else ``pixels``."""
    if pixels.ndim == 2:
        return pixels
    grey = pixels[..., 0]
    if not (np.array_equal(grey, pixels[..., 1]) and np.array_equal(grey, pixels[..., 2])):
        return pixels
    if pixels.shape[2] == 4 and (pixels[..., 3] != pixels[0, 0, 3]).any():
        return pixels
    note(f"{path.parent}: grey stored as equal channels is read as one channel")
    return np.ascontiguousarray(grey)
