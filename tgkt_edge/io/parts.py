"""Which part of a file is meant: ``FILE.tif?page=3``, ``FILE.npz?array=depth``, ``FILE.exr?channel=Z``; and what
a file without a header holds: ``FILE.raw?shape=480x640&packing=uint16``. Said of a folder, it is meant of every such
file in it."""

from __future__ import annotations

import mmap
import os
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl

from tgkt_edge.errors import DataError
from tgkt_edge.io.formats import npy
from tgkt_edge.io.formats.sniff import HEAD, STACKS
from tgkt_edge.io.formats.tiff import count_tiff_pages

WORDS = ("page", "array", "channel", "shape", "packing")
"""What may be asked of a file."""

_STACKED = frozenset({".tif", ".tiff", ".npy", ".npz"})

SUFFIXES: dict[str, frozenset[str]] = {
    "shape": frozenset({".raw", ".bin"}),
    "array": frozenset({".npz"}),
    "channel": frozenset({".exr"}),
}
"""Which files of a folder a word is meant of."""


def split_part(path: Path) -> tuple[Path, dict[str, Any]]:
    """The file that ``path`` names and which part of it: page (int), array, channel, shape, packing.

    A file whose name holds a question mark is meant as a whole.

    Raises:
        DataError: what follows the question mark is none of :data:`WORDS`, or no number where one is expected.
    """
    name, mark, query = path.name.rpartition("?")
    if not mark or "=" not in query or os.path.lexists(path):
        return path, {}
    part: dict[str, Any] = {}
    for word, value in parse_qsl(query, keep_blank_values=True):
        if word not in WORDS:
            raise DataError(f"{path}: '{word}': expected {', '.join(f'{word}=' for word in WORDS)}")
        part[word] = value
    if "page" in part:
        if not part["page"].isdecimal():
            raise DataError(f"{path}: page={part['page']}: expected a number from 0")
        part["page"] = int(part["page"])
    return path.with_name(name), part


def split_folder(path: Path) -> tuple[Path, str]:
    """The folder that ``path`` names, and the options for its files: ``array=depth``; empty: none.

    Raises:
        DataError: one of the words has a meaning for single files only.
    """
    name, mark, query = path.name.rpartition("?")
    if not mark or "=" not in query or os.path.lexists(path) or not path.with_name(name).is_dir():
        return path, ""
    words = [word for word, _ in parse_qsl(query, keep_blank_values=True)]
    if not words or any(word not in (*SUFFIXES, "packing") for word in words):
        raise DataError(
            f"{path}: options for the files in a folder: {', '.join(f'{word}=' for word in SUFFIXES)}; for "
            f"the folder itself: times=, telemetry=, max_skew_ms="
        )
    return path.with_name(name), query


def take_word(path: str, word: str) -> tuple[str, str | None]:
    """The option of a folder as a whole, ``DIR?times=name``: the rest of ``path``, and the value; None: not given."""
    folder, mark, query = path.rpartition("?")
    if not mark or os.path.lexists(path) or not os.path.isdir(folder):
        return path, None
    words = parse_qsl(query, keep_blank_values=True)
    value = dict(words).get(word)
    if value is None:
        return path, None
    rest = "&".join(f"{name}={text}" for name, text in words if name != word)
    return (f"{folder}?{rest}" if rest else folder), value


def suffixes_of(query: str) -> frozenset[str]:
    """The files that the words of :func:`split_folder` are meant of."""
    found: frozenset[str] = frozenset()
    return found.union(*(SUFFIXES.get(word, frozenset()) for word, _ in parse_qsl(query)))


def exists(path: Path) -> bool:
    """Whether ``path``, or the file of which it names a part, is a file."""
    if path.is_file():
        return True
    name, mark, query = path.name.rpartition("?")
    return bool(mark) and "=" in query and path.with_name(name).is_file()


def with_pages(path: Path) -> list[Path]:
    """``path``, or of a stack (TIFF, .npy, .npz with one array) every page of it. What cannot be read stays as it is,
    for the reader to name what is wrong."""
    if path.suffix.lower() not in _STACKED and "?" not in path.name:
        return [path]
    try:
        file, part = split_part(path)
        if "page" in part:
            return [path]
        count = _count(file, part)
    except (DataError, OSError):
        return [path]
    joint = "&" if part else "?"
    return (
        [path] if count < 2 else [path.with_name(f"{path.name}{joint}page={page}") for page in range(count)]
    )


def _count(file: Path, part: Mapping[str, Any]) -> int:
    with file.open("rb") as opened:
        head = opened.read(HEAD)
        if head.startswith(npy.MAGIC):
            opened.seek(0)
            return npy.count_npy_pages(opened)
        if head.startswith(STACKS):
            with mmap.mmap(
                opened.fileno(), 0, access=mmap.ACCESS_READ
            ) as mapped:  # its list of pages alone is read
                return count_tiff_pages(mapped)
    if head.startswith(b"PK\3\4"):
        return npy.count_npz_pages(read_bytes(file), part.get("array"))
    return 1


def read_bytes(file: Path) -> bytes:
    """The whole file; of a stack the last one stays in memory, for its pages are asked for one by one."""
    if file.suffix.lower() not in _STACKED:
        return file.read_bytes()
    about = file.stat()
    return _held(file, about.st_mtime_ns, about.st_size)


@lru_cache(maxsize=1)
def _held(file: Path, _changed: int, _size: int) -> bytes:
    return file.read_bytes()
