"""What a folder without images holds instead: recordings, and files that nobody said the shape of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

_RECORDINGS = frozenset({".bag", ".mcap", ".db3", ".sens", ".mkv"})
_HEADERLESS = frozenset({".raw", ".bin"})
_MOST = 2000  # files that are looked at


def recordings_in(folder: Path) -> list[Path]:
    """The recordings in a folder and in those directly in it: files, and folders of ``ros2 bag record``."""
    found = [path for path in _some(folder) if path.suffix.lower() in _RECORDINGS]
    whole = [path.parent if (path.parent / "metadata.yaml").is_file() else path for path in found]
    return sorted(set(whole))


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
