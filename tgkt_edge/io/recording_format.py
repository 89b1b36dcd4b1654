"""The folder that ``tgkt-edge record`` writes: which files it holds and how to read its index.

::

    DIR/sensor.yaml       the SensorSpec, its size pinned to the frames'
    DIR/frames.jsonl      one object a frame: number, time (Unix seconds), file, crc32 of its bytes; of a camera also
                          format ("Z16 640x480") and, once there are any, lost: frames its driver lost so far
    DIR/frame/000000.png  the frames (16 or 8 bit; floating-point numbers: 000000.npy), or
    DIR/frames.mkv        all of them as FFV1; "video" in the index is a frame's position in it
    DIR/rgb/000000.png    paired recordings: the colour frame taken at the same time
    DIR/pairs.csv         paired recordings, once complete: rgb,frame for ``adapt --paired`` to select rows from
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tgkt_edge.errors import DataError
from tgkt_edge.io.video import ExactVideo
from tgkt_edge.sensor import SensorSpec, load_sensor

INDEX, SPEC, FRAMES, RGB, VIDEO, PAIRS = (
    "frames.jsonl",
    "sensor.yaml",
    "frame",
    "rgb",
    "frames.mkv",
    "pairs.csv",
)

POLICY = "policy.json"
"""Beside the parts that the sink ``frames:`` kept, each a folder as above: how their frames were chosen."""

RANDOM, UNCERTAIN, NOVEL = "random", "uncertain", "novel"
"""The parts. Chance alone chose the first; the frames of the others are more difficult than all that were seen."""


@dataclass(frozen=True)
class Entry:
    """One frame of a recording.

    Attributes:
        number: counts the camera's frames from 0; a gap is a frame that could not be read or had no partner.
        time: Unix seconds, UTC.
        file: relative to the folder.
        crc32: of the frame's bytes in memory, little-endian rows without padding; None if it was not written down.
        video: position in ``file`` if that is a video, else None.
    """

    number: int
    time: float
    file: str
    crc32: int | None = None
    video: int | None = None


def is_recording(folder: Path) -> bool:
    """Does ``folder`` hold the index that ``tgkt-edge record`` writes?"""
    return (folder / INDEX).is_file()


def is_difficult(file: Path) -> bool:
    """Whether ``file`` is a frame that the sink ``frames:`` kept for being difficult, not by chance."""
    parts = file.parts
    return len(parts) > 3 and parts[-3] in (UNCERTAIN, NOVEL) and (file.parents[2] / POLICY).is_file()


def read_index(folder: Path) -> list[Entry]:
    """The frames of a recording, in order. A last line cut off by a power cut is left out.

    Raises:
        DataError: (exit 2) the index cannot be read, holds something else, or no frame.
    """
    path = folder / INDEX
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"{path}: cannot be read: {error}") from error
    entries = []
    for number, line in enumerate(lines, start=1):
        try:
            entries.append(_entry(json.loads(line)))
        except (ValueError, KeyError, TypeError) as error:
            if number == len(lines):
                break
            raise DataError(
                f"{path}, line {number}: is not a frame of a recording ({error}). Expected an object with number, time "
                f"and file, as 'tgkt-edge record' writes it. Repair or remove {path.name}."
            ) from error
    if not entries:
        raise DataError(f"{folder}: its {INDEX} lists no frame: the recording ended before the first one")
    return entries


def read_spec(folder: Path) -> SensorSpec | None:
    """The SensorSpec of a recording; None if there is none beside the frames. Raises ConfigError if it is damaged."""
    path = folder / SPEC
    return load_sensor(str(path)) if path.is_file() else None


def video_frames(path: Path) -> Iterator[tuple[NDArray[Any] | None, str]]:
    """The frames of a recording's video as they were encoded, (H, W) uint8 or uint16, each with what may be wrong with
    it, or an empty text: see :meth:`~tgkt_edge.io.video.ExactVideo.read`.

    Raises:
        DataError: not a video whose frames arrive exactly. MissingDependency: there is no OpenCV.
    """
    video = ExactVideo(path)
    try:
        yield from iter(video.read, None)
    finally:
        video.close()


def _entry(line: Any) -> Entry:
    file = line["file"]
    if not isinstance(file, str) or Path(file).is_absolute() or ".." in Path(file).parts:
        raise ValueError(f"file {file!r}: expected a path below the folder")
    crc32, video = line.get("crc32"), line.get("video")
    for value in (crc32, video):
        if value is not None and not isinstance(value, int):
            raise ValueError(f"{value!r}: expected a whole number")
    return Entry(int(line["number"]), float(line["time"]), file, crc32, video)
