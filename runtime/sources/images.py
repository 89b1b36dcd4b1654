"""Recorded frames as image files: a folder, a glob or one file."""

from __future__ import annotations

import glob
import os
import time
from collections.abc import Sequence
from pathlib import Path

from tgkt_edge.data.timed_folders import timed_files
from tgkt_edge.errors import DataError, SourceLostError
from tgkt_edge.io import images
from tgkt_edge.io.other_contents import describe_contents
from tgkt_edge.io.parts import split_folder, with_pages
from tgkt_edge.io.system_names import is_system_path
from tgkt_edge.notes import note
from tgkt_edge.runtime.sources.base import Captured, FrameSource, opencv


class ImageSource(FrameSource):
    """Image files one after the other, each exactly as stored; of a stack (TIFF, .npy, .npz) every page.

    A file that cannot be read is a :class:`Captured` with ``error``; the next one follows.

    Args:
        paths: the files, in order. At least one.
        loop: start again after the last one, indefinitely; ends if a whole pass held no readable file.
        times: when each of ``paths`` was taken, seconds; None: when reading it begins.

    Raises:
        MissingDependency: (exit 6) OpenCV is not installed.
    """

    live = False

    def __init__(
        self, paths: Sequence[Path], *, loop: bool = False, times: Sequence[float] | None = None
    ) -> None:
        if not paths:
            raise ValueError("expected at least one path")
        opencv()  # a missing library shall end the run now, not make every file a bad one
        pages = [with_pages(path) for path in paths]
        self.files = self._paths = [page for several in pages for page in several]
        self._times = (
            None
            if times is None
            else [time for time, several in zip(times, pages, strict=True) for _ in several]
        )
        self._loop = loop
        self._number = 0
        self._readable_in_pass = 0

    def read(self) -> Captured | None:
        """The next file; see :meth:`FrameSource.read`."""
        position = self._number % len(self._paths)
        if position == 0 and self._number > 0:
            if not self._loop or not self._readable_in_pass:
                return None
            self._readable_in_pass = 0
        captured = self._read(self._paths[position], self._number)
        self._number += 1
        self._readable_in_pass += captured.frame is not None
        return captured

    def read_at(self, number: int) -> Captured:
        """See :meth:`FrameSource.read_at`."""
        return self._read(self._paths[number], number)

    def _read(self, path: Path, number: int) -> Captured:
        began, clock = time.time(), time.perf_counter()
        if self._times is not None:
            began = self._times[number % len(self._times)]
        try:
            frame = images.read_frame(path)
        except DataError as error:
            return Captured(None, number, began, str(path), str(error), time.perf_counter() - clock)
        return Captured(frame, number, began, str(path), None, time.perf_counter() - clock)

    def close(self) -> None:
        """Nothing is held open between two files."""


def find_in_folder(folder: Path) -> list[Path]:
    """Every image file below ``folder``, in natural order (frame 2 before frame 10).

    Raises:
        SourceLostError: (exit 5) there is none, or the folder cannot be listed.
    """
    try:
        found = images.find_images(folder)
        empty = not found and next(split_folder(folder)[0].iterdir(), None) is None
    except OSError as error:
        raise SourceLostError(f"{error.filename or folder}: cannot be listed: {error.strerror}") from error
    if not found:
        held = "the folder is empty" if empty else "none of the files in it or below is an image"
        raise SourceLostError(
            f"{folder}: no frames: {held}. Expected files named {', '.join(sorted(images.SUFFIXES))}."
            f"{describe_contents(split_folder(folder)[0])}"
        )
    return found


def open_timed(folder: str, times: str, *, loop: bool = False) -> ImageSource:
    """The images below ``folder``, in the order of their times.

    Args:
        times: "name", "mtime" or a CSV with columns file,time; see :func:`tgkt_edge.io.file_times.times_of`.

    Raises:
        SourceLostError: (exit 5) there is none, or one has no time.
    """
    try:
        listed = timed_files(Path(folder), times, pages=False)
    except (DataError, OSError) as error:
        raise SourceLostError(str(error)) from error
    return ImageSource([file.path for file in listed], loop=loop, times=[file.time for file in listed])


def find_by_glob(pattern: str) -> list[Path]:
    """The files that ``pattern`` matches (``**`` means any depth), in natural order, whatever their suffix.

    Raises:
        SourceLostError: (exit 5) there is none.
    """
    matched = [Path(name) for name in glob.glob(pattern, recursive=True) if not os.path.isdir(name)]
    found = [path for path in matched if not _by_chance(path, pattern)]
    if len(found) < len(matched):
        note(
            f"{pattern}: skipped {len(matched) - len(found)} files: hidden or system files and folders are not read "
            f"unless the pattern names them"
        )
    if not found:
        raise SourceLostError(
            f"{pattern}: no file matches. Check the folder, and quote the pattern for the shell."
        )
    return sorted(found, key=images.natural_key)


def _by_chance(path: Path, pattern: str) -> bool:
    """Whether ``path`` is, or lies in, a system file or folder that the pattern's wildcards matched, not its words."""
    spelled = Path(pattern).parts
    fixed = next((at for at, part in enumerate(spelled) if glob.has_magic(part)), len(spelled) - 1)
    parts = tuple(part for part in path.parts[fixed:-1] if part not in spelled)
    return is_system_path((*parts, path.name)) and path.name not in spelled
