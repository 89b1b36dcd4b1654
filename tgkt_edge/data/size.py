"""The size of a sensor's frames, found in the frames themselves, no file opened twice for it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tgkt_edge.data.digests import FileDigests
from tgkt_edge.errors import DataError
from tgkt_edge.io.images import Reader, read_frame
from tgkt_edge.io.parts import read_bytes
from tgkt_edge.io.recording_format import video_frames
from tgkt_edge.sensor import SensorSpec


def reader_of(digests: FileDigests | None) -> Reader:
    """What reads files, and notes what they hold where there is something to note it in."""
    return read_bytes if digests is None else digests.read


def pin_size(
    files: Sequence[Path], spec: SensorSpec, reader: Reader
) -> tuple[SensorSpec, Callable[[Path], NDArray[Any]]]:
    """``spec`` with the size of the first frame that fits it, so that frames of other sizes are refused.

    Returns:
        The pinned spec, and what reads a frame as :func:`read_frame` does; it opens no file that was opened for this.
    """
    ahead: dict[Path, NDArray[Any] | DataError] = {}

    def read(file: Path) -> NDArray[Any]:
        found = ahead.pop(file, None)
        if isinstance(found, DataError):
            raise found
        return read_frame(file, reader) if found is None else found

    for file in files if spec.size is None else ():
        try:
            frame = read_frame(file, reader)
            ahead[file] = frame
            spec.check(frame, str(file))
        except DataError as error:
            ahead[file] = error.with_traceback(None)  # which would hold on to the frame
            continue
        return spec.with_size(frame.shape[1], frame.shape[0]), read
    return spec, read


def pin_video_size(file: Path, positions: Sequence[int], spec: SensorSpec) -> SensorSpec:
    """``spec`` with the size of the first whole one of these frames of a video; as it is where there is none."""
    needed = set(positions)
    for position, (frame, damage) in enumerate(video_frames(file) if spec.size is None else ()):
        if position in needed and frame is not None and not damage:
            return spec.with_size(frame.shape[1], frame.shape[0])
    return spec
