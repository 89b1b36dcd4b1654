"""Sensor frames as the sensor gave them, for what is checked on raw counts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from tgkt_edge.data.bad_files import report_bad
from tgkt_edge.data.discovery import frame_places
from tgkt_edge.data.loading import spread
from tgkt_edge.errors import DataError
from tgkt_edge.io.images import read_frame
from tgkt_edge.io.recording_format import video_frames
from tgkt_edge.notes import note
from tgkt_edge.sensor import SensorSpec


def load_raw_frames(
    path: Path, spec: SensorSpec, at_most: int, *, skip_bad: bool = False, flag: str = "`frames`"
) -> list[tuple[str, NDArray[Any]]]:
    """Name and raw counts (H, W) of frames of one size, spread evenly over all that are there.

    Where the sizes of a sensor's frames may differ (``size: any``), those of another size than the first are left out
    with a note: nothing is wrong with them.

    Args:
        path: a folder, a recording, or a CSV with a column ``frame``. flag: what an error calls it.

    Raises:
        DataError: nothing there; frames that are unreadable, contradict ``spec``, or are of another size than
            ``spec`` or the first one, unless ``skip_bad``; or none that can be used.
    """
    places = frame_places(path, flag)
    places = [places[i] for i in spread(len(places), at_most)]
    videos = {
        file: {position for one, position in places if one == file} for file, at in places if at is not None
    }
    decoded = {
        (file, position): (image, damage)
        for file, positions in videos.items()
        for position, (image, damage) in enumerate(video_frames(file))
        if position in positions
    }
    found: list[tuple[str, NDArray[Any]]] = []
    bad: list[tuple[str, str]] = []
    sizes_differ, others = spec.size == "any", 0
    for file, position in places:
        name = str(file) if position is None else f"{file}:{position}"
        try:
            if position is None:
                frame = read_frame(file)
            else:
                image, damage = decoded.get((file, position), (None, "the recording ends before it"))
                if image is None or damage:
                    raise DataError(f"{name}: {damage}")
                frame = image
            if sizes_differ and found and frame.shape[:2] != found[0][1].shape:
                replace(spec, size="any").check(frame, name)
                others += 1
                continue
            spec.check(frame, name)
            spec = spec if isinstance(spec.size, tuple) else spec.with_size(frame.shape[1], frame.shape[0])
        except DataError as error:
            bad.append((name, str(error)))
            continue
        found.append((name, frame))
    report_bad(bad, bool(found), len(places), skip_bad, f"{flag} {path}")
    if others:
        height, width = found[0][1].shape
        note(
            f"{flag} {path}: {others} of {len(places)} frames that were looked at are not {width}x{height}, the size "
            f"of the first one, and are left out here: one size is compared at a time"
        )
    return found
