"""Finding and decoding image files, without ever converting what they hold."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import DataError
from tgkt_edge.io.system_names import is_system_file, is_system_folder
from tgkt_edge.notes import note
from tgkt_edge.optional_deps import require

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".tif", ".tiff", ".bmp", ".pgm", ".ppm", ".pnm", ".webp"})


HIDDEN = "hidden files"
"""What skipped files are counted under."""

MOST_NAMED = 5
"""Skipped folders named in one note."""


def natural_key(path: Path) -> list[tuple[int, int | str]]:
    """Sort key under which ``frame_9`` comes before ``frame_10``. Ties between equal numbers go by spelling."""
    parts = re.split(r"(\d+)", path.as_posix())
    return [(0, int(part)) if part.isdecimal() else (1, part) for part in parts] + [(1, path.as_posix())]


def find_images(folder: Path) -> list[Path]:
    """All image files below ``folder``, in natural order. Links are followed, except those to folders that are read
    anyway. Hidden and system files and folders (:mod:`tgkt_edge.io.system_names`) never count; how many images lie
    there is noted once.

    Raises:
        OSError: a folder cannot be listed; with its name.
    """
    skipped: Counter[str] = Counter()
    found = (path for path in _files(folder, skipped) if path.suffix.lower() in SUFFIXES and path.is_file())
    images = sorted(found, key=natural_key)
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


def _leads_back(path: Path, root: Path) -> bool:
    """Whether it is a link to a folder that is read anyway, as part of ``root``."""
    return path.is_symlink() and Path(os.path.realpath(path)).is_relative_to(root)


def read_frame(path: Path) -> NDArray[Any]:
    """Decode a sensor frame exactly as stored.

    Returns:
        (H, W) or (H, W, C) with the dtype of the file: 16-bit PNG and TIFF stay uint16, unshifted and unscaled.

    Raises:
        DataError: missing, empty, truncated, or no image.
    """
    cv2 = require("cv2", "cpu", "Decoding images")
    return _decode(path, cv2.IMREAD_UNCHANGED)


def read_rgb(path: Path) -> NDArray[np.uint8]:
    """Decode a photograph to (H, W, 3) uint8 RGB, turned upright by its EXIF orientation.

    Raises:
        DataError: missing, empty, truncated, or no image.
    """
    cv2 = require("cv2", "cpu", "Decoding images")
    bgr = _decode(path, cv2.IMREAD_COLOR)
    rgb: NDArray[np.uint8] = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
    return rgb


def _decode(path: Path, flags: int) -> NDArray[Any]:
    cv2 = require("cv2", "cpu", "Decoding images")
    try:
        data = path.read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read: {error.strerror or error}") from error
    if not data:
        raise DataError(f"{path}: is empty (0 bytes)")
    # OpenCV pads a truncated JPEG with grey and calls it an image; both formats end in a fixed mark.
    if (data.startswith(b"\xff\xd8") and b"\xff\xd9" not in data[-4096:]) or (
        data.startswith(b"\x89PNG") and b"IEND" not in data[-4096:]
    ):
        raise DataError(f"{path}: is truncated ({len(data)} bytes, no end mark)")
    try:
        image: NDArray[Any] | None = cv2.imdecode(np.frombuffer(data, np.uint8), flags)
    except cv2.error as error:
        raise DataError(f"{path}: cannot be decoded: {error.err}") from error
    if image is None:
        raise DataError(f"{path}: is damaged or not an image ({len(data)} bytes)")
    return image
