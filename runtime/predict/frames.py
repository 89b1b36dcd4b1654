"""The frames of a table: which files, whether they are those of before, and each one decoded in any thread."""

from __future__ import annotations

import glob
import hashlib
import os
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from tgkt_edge.data.discovery import frame_places
from tgkt_edge.errors import SourceLostError, UsageError
from tgkt_edge.io.addresses import redacted
from tgkt_edge.io.parts import split_part
from tgkt_edge.runtime.sources import FrameSource, ImageSource, is_files, open_source
from tgkt_edge.runtime.sources.base import Captured
from tgkt_edge.sensor import SensorSpec

Job = Callable[[], Captured]
"""Gives one frame. Jobs of files may be run in any thread and order; those of a video were decoded already."""


_EXPECTED = "recorded frames: a folder, a glob, an image, a video, a recording, or a CSV with a column frame"


class RecordedFrames:
    """Recorded frames in order; a context manager that closes what it opened.

    Args:
        source: a folder, glob, image, video, recording, or a CSV with a column ``frame``: no camera.
        spec: what the raw frames mean.

    Raises:
        UsageError, DataError: (exit 2) a camera, or a CSV that lists no frame or files that do not exist.
        SourceLostError: (exit 5) nothing is there, or it holds no frames.
    """

    def __init__(self, source: str, spec: SensorSpec) -> None:
        if not is_files(source):
            raise UsageError(
                f"{redacted(source)} is a camera; expected {_EXPECTED}. For a camera: tgkt-edge run"
            )
        if not (glob.has_magic(source) or os.path.lexists(source)):
            raise SourceLostError(f"{redacted(source)} does not exist. Expected {_EXPECTED}.")
        self._source = _open(source, spec)
        if self._source.live:
            self._source.close()
            raise UsageError(
                f"{redacted(source)} is a camera; expected {_EXPECTED}. For a camera: tgkt-edge run"
            )
        files = self._source.files
        self._files = [Path(source)] if files is None else files
        self.count = None if files is None else len(files)
        """How many there are; None: known only at the end."""

    def fingerprint(self) -> str:
        """SHA-256 over names, sizes and times of change of all files, hexadecimal: equal where nothing was changed."""
        digest = hashlib.sha256()
        for file in self._files:
            try:
                about = os.stat(split_part(file)[0])
                state = f"{about.st_size} {about.st_mtime_ns}"
            except OSError:
                state = "missing"  # the table says so of this frame
            digest.update(f"{file}\0{state}\n".encode("utf-8", "surrogateescape"))
        return digest.hexdigest()

    def jobs(self, start: int) -> Iterator[Job]:
        """What gives each frame from number ``start`` on."""
        if self.count is not None:
            for number in range(start, self.count):
                yield partial(self._source.read_at, number)
            return
        while (captured := self._source.read()) is not None:
            if captured.number >= start:
                yield partial(_same, captured)

    def __enter__(self) -> RecordedFrames:
        return self

    def __exit__(self, *rest: object) -> None:
        self._source.close()


def _same(captured: Captured) -> Captured:
    return captured


def _open(source: str, spec: SensorSpec) -> FrameSource:
    path = Path(source)
    if path.suffix.lower() == ".csv" and path.is_file():
        return ImageSource([file for file, _ in frame_places(path, "`source`")])
    if path.suffix.lower() == ".csv":
        raise SourceLostError(f"{redacted(source)} does not exist")
    return open_source(source, spec)
