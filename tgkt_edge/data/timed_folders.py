"""Folders of files with times: the sub-folders that hold frames and RGB images, and which of them belong together."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tgkt_edge.data.names import locate
from tgkt_edge.data.pair_matcher import Pairing
from tgkt_edge.data.table import read_table
from tgkt_edge.errors import DataError, UsageError
from tgkt_edge.io.file_times import times_of
from tgkt_edge.io.images import find_images
from tgkt_edge.io.other_contents import describe_contents
from tgkt_edge.io.parts import split_folder, split_part, with_pages
from tgkt_edge.notes import note

FRAME_FOLDERS = ("depth", "frame", "frames", "ir", "nir", "infrared", "thermal")
RGB_FOLDERS = ("rgb", "color", "colour", "image", "images")
"""Names of sub-folders that need not be named."""


@dataclass(frozen=True)
class TimedFile:
    """A file, its place in the order of times, and its time, seconds."""

    path: Path
    number: int
    time: float


def timed_files(folder: Path, times: str, *, pages: bool) -> list[TimedFile]:
    """All images below a folder, in the order of their times.

    Args:
        times: as of :func:`tgkt_edge.io.file_times.times_of`. pages: a stack counts as its pages, all of one time.

    Raises:
        DataError: there is none, or one has no time.
    """
    found = find_images(folder)
    if not found:
        raise DataError(f"{folder}: holds no image.{describe_contents(split_folder(folder)[0])}")
    stamps = times_of([split_part(file)[0] for file in found], times, _read_list)
    listed = sorted(zip(stamps, found, strict=True), key=lambda one: one[0])
    parts = [(time, page) for time, file in listed for page in (with_pages(file) if pages else [file])]
    return [TimedFile(path, number, time) for number, (time, path) in enumerate(parts)]


def match_by_time(
    frames: list[TimedFile], images: list[TimedFile], max_skew_ms: float
) -> Iterator[tuple[TimedFile, TimedFile | None]]:
    """Each frame with the RGB image nearest in time, each used once; None: none is near enough."""
    pairing: Pairing[TimedFile] = Pairing(max_skew_ms / 1e3)
    both = [(frame, pairing.add_frame) for frame in frames] + [(image, pairing.add_color) for image in images]
    for file, add in sorted(both, key=lambda one: one[0].time):
        add(file)
        yield from pairing.resolve()
    pairing.add_color(TimedFile(Path(), -1, float("inf")))  # none comes any more
    yield from pairing.resolve()


def pairs_by_time(folder: Path, query: str, max_skew_ms: str) -> tuple[list[Path], list[Path]]:
    """RGB images and frames of a folder for ``adapt``, matched by the times in their names.

    Args:
        folder: with a sub-folder of frames and one of RGB images. query: what is said of the frames' files.
        max_skew_ms: milliseconds that the two may lie apart, as it was typed.

    Raises:
        UsageError: ``max_skew_ms`` is no number above 0. DataError: there are no such folders, times, or pairs.
    """
    try:
        limit = float(max_skew_ms)
    except ValueError:
        limit = math.nan
    if not 0 < limit < math.inf:
        raise UsageError(
            f"`paired={folder}`: max_skew_ms={max_skew_ms}: expected a finite number of milliseconds above 0"
        )
    frames, images = _both_sides(folder, query)
    matched = list(match_by_time(frames, images, limit))
    pairs = [(image.path, frame.path) for frame, image in matched if image is not None]
    if not pairs:
        raise DataError(
            f"`paired={folder}`: {far_apart(frames, images, limit)} Raise max_skew_ms, or correct the times in the "
            f"names."
        )
    if len(pairs) < len(matched):
        note(
            f"`paired={folder}`: {len(matched) - len(pairs)} of {len(matched)} frames have no RGB image within "
            f"{limit:g} ms and are left out"
        )
    return [image for image, _ in pairs], [frame for _, frame in pairs]


def matched_by_time(folder: Path, query: str) -> str:
    """A sentence on how to match pairs by time, where folders and files are named for it; empty: they are not."""
    try:
        _both_sides(folder, query)
    except (DataError, OSError):
        return ""
    return f" Their names are times: '{folder}?max_skew_ms=20' matches halves that are at most 20 ms apart."


def _both_sides(folder: Path, query: str) -> tuple[list[TimedFile], list[TimedFile]]:
    place = folder.with_name(f"{folder.name}?{query}") if query else folder
    frames = timed_files(sub_folder(place, None, FRAME_FOLDERS, None, required=True), "name", pages=False)
    images = timed_files(sub_folder(folder, None, RGB_FOLDERS, None, required=True), "name", pages=False)
    return frames, images


def far_apart(frames: list[TimedFile], images: list[TimedFile], max_skew_ms: float) -> str:
    """That no pair was found, and how far the nearest lie apart."""
    apart = min(abs(frame.time - image.time) for frame in frames[:200] for image in images[:200])
    return (
        f"no frame has an RGB image within {max_skew_ms:g} ms; the nearest lie about {apart:.3g} s apart. Do the "
        f"clocks differ?"
    )


def sub_folder(
    src: Path, name: str | None, known: tuple[str, ...], argument: str | None, *, required: bool
) -> Path:
    """The sub-folder called ``name``, or the one with a ``known`` name; else ``src`` itself, unless ``required``.

    Args:
        argument: what gives ``name``, for messages; None: nothing does.

    Raises:
        DataError: it is not there, or several fit.
    """
    folder, query = split_folder(src)
    here = sorted(path.name for path in folder.iterdir() if path.is_dir())
    fitting = [name] if name is not None else [one for one in here if one.lower() in known]
    if name is not None and name not in here:
        raise DataError(
            f"`{argument}={name}`: {folder} has no such folder. It has {', '.join(here) or 'none'}."
        )
    if len(fitting) > 1:
        do = f"Name one with `{argument}`" if argument else "Leave one of them there"
        raise DataError(f"{folder}: has the folders {', '.join(fitting)}. {do}.")
    if not fitting:
        if required:
            what = "RGB images" if known is RGB_FOLDERS else "frames"
            do = f"Name one with `{argument}`" if argument else "Give it one of these names"
            raise DataError(f"{folder}: has no folder of {what} ({', '.join(known)}). {do}.")
        return src
    return folder / (f"{fitting[0]}?{query}" if query else fitting[0])


def _read_list(table: Path) -> dict[str, float]:
    """Seconds of each file that a CSV lists, by its path and, where that is listed once, by its name."""
    known: dict[str, float] = {}
    named: dict[str, set[float]] = {}
    for row in read_table(table, f"`times={table}`", ("file", "time")):
        try:
            time = float(row.fields["time"])
        except ValueError:
            time = math.nan
        if not math.isfinite(time):
            raise DataError(
                f"`times={table}`, line {row.line}: {row.fields['time']!r} is no number of seconds"
            )
        file = locate(table.parent, row.fields["file"])
        known[str(file.absolute())] = time
        named.setdefault(file.name, set()).add(time)
    return {name: times.pop() for name, times in named.items() if len(times) == 1} | known
