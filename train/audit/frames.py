"""The frames that a run was adapted to, found and decoded again: from folders, tables and recordings."""

from __future__ import annotations

import csv
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tgkt_edge.data.discovery import escape_name, frame_places
from tgkt_edge.data.loading import Frames
from tgkt_edge.errors import DataError
from tgkt_edge.io.images import read_frame
from tgkt_edge.io.recording_format import RANDOM, is_difficult, video_frames
from tgkt_edge.notes import note
from tgkt_edge.train.audit.labels import frame_name
from tgkt_edge.train.run_folder.folder import Run


@dataclass(frozen=True)
class TargetFrame:
    """A target frame's name in tables and on pages, where it lies, and its position there if that is a video."""

    name: Path
    file: Path
    position: int | None


def target_frames(path: Path) -> list[TargetFrame]:
    """All that the run was adapted to, as it read them, and those that it left out as bad."""
    places = frame_places(Path(Run(path).read_config()[0].target), "`target`")
    return [
        TargetFrame(Path(escape_name(str(file.resolve()))), file, None)
        if position is None
        else TargetFrame(Path(escape_name(str(Path(f"{file}:{position}").resolve()))), file, position)
        for file, position in places
    ]


def note_difficult(frames: Sequence[TargetFrame]) -> None:
    """Say so where frames of the field were kept for being difficult: accuracy on them is no estimate."""
    count = sum(is_difficult(frame.file) for frame in frames)
    if count:
        note(
            f"{count} of {len(frames)} frames were kept by the sink frames: for being uncertain or novel, so accuracy "
            f"on them is lower than on what the camera saw. For that, label frames of its part '{RANDOM}' alone, and "
            f"give them to tgkt-edge evaluate"
        )


def reader(frames: Sequence[TargetFrame]) -> Callable[[TargetFrame], NDArray[Any]]:
    """Decodes one of ``frames``; those in a video are decoded in one pass, now. The function raises DataError."""
    positions = {frame.position for frame in frames}
    videos = {frame.file for frame in frames if frame.position is not None}
    kept = {
        (file, position): (image, damage)
        for file in videos
        for position, (image, damage) in enumerate(video_frames(file))
        if position in positions
    }

    def read(frame: TargetFrame) -> NDArray[Any]:
        if frame.position is None:
            return read_frame(frame.file)
        if (frame.file, frame.position) not in kept:
            raise DataError(f"{frame.name}: the video ends before it")
        image, damage = kept[frame.file, frame.position]
        if image is None or damage:
            raise DataError(damage)
        return image

    return read


def trained_on(path: Path) -> dict[Path, str]:
    """Frames whose labels the run was trained with (``adapt --labels``), by name; they prove nothing about it."""
    file = Run(path).labels
    if not file.is_file():
        return {}
    with file.open(newline="", encoding="utf-8") as stream:
        return {Path(row["frame"]): row["label"] for row in csv.DictReader(stream)}


def unseen(frames: Frames, taught: Collection[Path], what: str) -> Frames:
    """Labelled frames without those whose labels the run was trained with; says so.

    Args:
        taught: of :func:`trained_on`. what: the flag and the file that the frames are of.

    Raises:
        DataError: none is left.
    """
    kept = [i for i, name in enumerate(frames.names) if frame_name(name) not in taught]
    if len(kept) == len(frames):
        return frames
    if not kept:
        raise DataError(
            f"{what}: the run was trained with the labels of all {len(frames)} frames; expected others"
        )
    note(f"{what}: {len(frames) - len(kept)} frames left out: the run was trained with their labels")
    assert frames.labels is not None
    names = tuple(frames.names[i] for i in kept)
    return replace(
        frames, codes=frames.codes[kept], names=names, labels=frames.labels[kept], invalid=None, levels=None
    )
