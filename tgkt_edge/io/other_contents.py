"""What a folder without images holds instead: recordings, and files that nobody said the shape of; and what a single
file is that stands where a folder or a list belongs."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path

from tgkt_edge.io.formats.sniff import HEAD, is_picture, is_video
from tgkt_edge.io.parts import split_part

_RECORDINGS = frozenset({".bag", ".mcap", ".db3", ".sens", ".mkv"})
_HEADERLESS = frozenset({".raw", ".bin"})
_MOST = 2000  # files that are looked at


def recordings_in(folder: Path) -> list[Path]:
    """The recordings in a folder and in those directly in it: files, and folders of ``ros2 bag record``."""
    found = [path for path in _some(folder) if path.suffix.lower() in _RECORDINGS]
    whole = [path.parent if (path.parent / "metadata.yaml").is_file() else path for path in found]
    return sorted(set(whole))


def is_image(path: Path) -> bool:
    """Whether ``path`` is one image or stack, or a part of one (``FILE.npz?array=depth``), by its content."""
    file, part = split_part(path)
    return file.is_file() and (bool(part) or _is_picture(_head(file)))


def describe_file(path: Path) -> str:
    """What a file is that should list frames, and what to do with it; empty: it may be a list."""
    from tgkt_edge.io.bags.open_bag import is_bag

    name, head = shlex.quote(str(path)), _head(path)
    if is_bag(path):
        return f"is a recording. Its frames, or pairs, in a folder: tgkt-edge data import {name} -o DIR"
    if is_video(head):
        return f"is a video. Its frames in a folder: tgkt-edge record --camera {name} --sensor SENSOR -o DIR"
    if _is_picture(head):
        return "is one image. Give its folder, or a CSV that lists it"
    return ""


def _is_picture(head: bytes) -> bool:
    return is_picture(head) and (not head.startswith(b"PK") or b".npy" in head)  # a workbook is a zip, too


def _head(file: Path) -> bytes:
    try:
        with file.open("rb") as opened:
            return opened.read(HEAD)
    except OSError:
        return b""


def describe_contents(folder: Path) -> str:
    """A sentence on what a folder without images holds that is read in another way; empty: nothing is known.

    Args:
        folder: not what is said of its files: without ``?shape=...``.
    """
    if recordings := recordings_in(folder):
        several = f" {len(recordings)} recordings, such as" if len(recordings) > 1 else " a recording,"
        return (
            f" It holds{several} {recordings[0]}: name that (for 'tgkt-edge data import' or 'run --camera')."
        )
    raw = next((path for path in _some(folder) if path.suffix.lower() in _HEADERLESS), None)
    if raw is None:
        return ""
    return (
        f" {raw.name} has no header: say what such files hold, rows x columns and packing: "
        f"'{folder}?shape=480x640&packing=uint16'."
    )


def _some(folder: Path) -> Iterator[Path]:
    count = 0
    for place in (folder, *sorted(path for path in _listed(folder) if path.is_dir())):
        for path in _listed(place):
            count += 1
            if count > _MOST:
                return
            if path.is_file():
                yield path


def _listed(folder: Path) -> list[Path]:
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []
