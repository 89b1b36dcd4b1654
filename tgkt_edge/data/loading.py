"""The data a user brings, decoded once: labelled RGB, sensor frames, and paired frames; into memory or into a cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from tgkt_edge.data.bad_files import Progress
from tgkt_edge.data.cache.cache import Cache
from tgkt_edge.data.digests import FileDigests
from tgkt_edge.data.discovery import frame_places, labelled, matched, read_csv_columns
from tgkt_edge.data.names import abbreviate, label_index
from tgkt_edge.data.reading import Fields, Reading
from tgkt_edge.data.recipes import Recipe
from tgkt_edge.data.sets import Frames, Images, Pairs, class_numbers, spread
from tgkt_edge.data.size import pin_size, pin_video_size, reader_of
from tgkt_edge.data.value_checks import check_values
from tgkt_edge.errors import DataError
from tgkt_edge.sensor import SensorSpec

__all__ = [
    "Frames",
    "Images",
    "Pairs",
    "load_frames",
    "load_images",
    "load_labelled_frames",
    "load_pairs",
    "spread",
]


def load_frames(
    path: Path,
    spec: SensorSpec,
    side: int,
    *,
    skip_bad: bool = False,
    progress: Progress | None = None,
    flag: str = "`target`",
    at_most: int | None = None,
    digests: FileDigests | None = None,
    cache: Cache | None = None,
) -> tuple[Frames, SensorSpec]:
    """Read unlabelled target frames: a folder (any depth, names mean nothing), one that ``tgkt-edge record`` wrote, or
    a CSV with a column ``frame``.

    Args:
        flag: what an error calls ``path``.
        at_most: read only so many files, spread evenly over all that are there.
        digests: told which files there are and what each held.
        cache: keeps what is decoded; the frames are then mapped from there. None: in memory.

    Returns:
        The frames, and ``spec`` with its size pinned to theirs (unless it is "any").

    Raises:
        DataError: nothing there; unreadable or unfitting frames (named, with counts) unless ``skip_bad``.
    """
    places = frame_places(path, flag)
    if at_most is not None:
        places = [places[i] for i in spread(len(places), at_most)]
    if digests is not None:
        digests.list(places)
    files = [file for file, _ in places]
    positions = sorted({position for _, position in places if position is not None})
    reading = Reading(f"{flag} {path}", skip_bad, progress, digests, cache)
    if positions:
        return _from_video(files[0], positions, spec, side, reading)
    return _read_frames(files, spec, side, reading)[:2]


def load_labelled_frames(
    path: Path,
    spec: SensorSpec,
    side: int,
    classes: Sequence[str],
    *,
    skip_bad: bool = False,
    progress: Progress | None = None,
    flag: str = "`data`",
) -> Frames:
    """Read labelled frames: a folder of class folders, or a CSV with columns ``frame`` and ``label``.

    Args:
        flag: what an error calls ``path``.

    Raises:
        DataError: as :func:`load_frames`; or a label that is not one of ``classes``.
    """
    files, labels = labelled(path, flag, "frame")
    index = label_index(classes, labels)
    unknown = sorted(set(labels) - set(index))
    if unknown:
        raise DataError(
            f"{flag} {path}: labels that are none of the model's classes: "
            f"{abbreviate([repr(name) for name in unknown])}. "
            f"It knows {', '.join(classes)}. Rename or remove these frames' labels."
        )
    frames, _, kept = _read_frames(files, spec, side, Reading(f"{flag} {path}", skip_bad, progress))
    return replace(frames, labels=class_numbers(labels, index, kept), classes=tuple(classes))


def load_images(
    path: Path,
    side: int,
    *,
    skip_bad: bool = False,
    progress: Progress | None = None,
    flag: str = "`source`",
    digests: FileDigests | None = None,
    cache: Cache | None = None,
    choose: Callable[[Sequence[str]], Sequence[int]] | None = None,
) -> Images:
    """Read labelled RGB: a folder of class folders, or a CSV with columns ``image`` and ``label``.

    Args:
        flag: what an error calls ``path``.
        digests: told which files there are and what each held.
        cache: keeps what is decoded; the images are then mapped from there. None: in memory.
        choose: given the label of each image that is listed, tells the numbers of those to read. None: all.

    Raises:
        DataError: nothing there, fewer than two classes, unreadable images.
    """
    files, labels = labelled(path, flag, "image")
    if choose is not None:
        chosen = choose(labels)
        files, labels = [files[i] for i in chosen], [labels[i] for i in chosen]
    if digests is not None:
        digests.list(zip(files, labels, strict=True))
    classes = tuple(sorted(set(labels)))
    if len(classes) < 2:
        raise DataError(
            f"{flag} {path}: found one class only ({classes[0]}): a classifier needs at least two. "
            f"Expected a folder of class folders, or a CSV with columns image,label."
        )
    reading = Reading(f"{flag} {path}", skip_bad, progress, digests, cache)
    found, kept = reading.items(Recipe("images", side), [(file,) for file in files])
    truth = class_numbers(labels, {name: i for i, name in enumerate(classes)}, kept)
    missing = sorted(set(range(len(classes))) - set(truth.tolist()))
    if missing:
        raise DataError(
            f"{flag} {path}: no readable image left of class {abbreviate([classes[i] for i in missing])}"
        )
    return Images(found["rgb"], truth, classes, tuple(str(files[i]) for i in kept))


def load_pairs(
    path: Path,
    spec: SensorSpec,
    side: int,
    *,
    skip_bad: bool = False,
    progress: Progress | None = None,
    digests: FileDigests | None = None,
    cache: Cache | None = None,
) -> Pairs:
    """Read paired frames: a folder with ``rgb/`` and ``frame/`` matched by file stem, or a CSV ``rgb,frame``.

    Args:
        digests: told which files there are and what each held.
        cache: keeps what is decoded; the pairs are then mapped from there. None: in memory.

    Raises:
        DataError: nothing there, an unmatched or doubled stem, unreadable or unfitting files.
    """
    if path.is_file():
        columns = read_csv_columns(path, "`paired`", ("rgb", "frame"))
        rgb_files, frame_files = columns["rgb"], columns["frame"]
    else:
        rgb_files, frame_files = matched(path)

    pairs = list(zip(rgb_files, frame_files, strict=True))
    if digests is not None:
        digests.list(pairs)
    pinned, ahead = pin_size(frame_files, spec, reader_of(digests))
    reading = Reading(f"`paired={path}`", skip_bad, progress, digests, cache)
    found, kept = reading.items(Recipe("pairs", side, pinned), pairs, ahead)
    names = tuple(str(frame_files[i]) for i in kept)
    check_values(found["levels"], pinned, reading.what, names)
    return Pairs(found["rgb"], found["codes"], names, found["levels"])


def _read_frames(
    files: list[Path], spec: SensorSpec, side: int, reading: Reading
) -> tuple[Frames, SensorSpec, list[int]]:
    """The frames, ``spec`` with its size pinned, and the indices of the files that could be used."""
    spec, ahead = pin_size(files, spec, reader_of(reading.digests))
    found, kept = reading.items(Recipe("frames", side, spec), [(file,) for file in files], ahead)
    return _frames(found, [str(files[i]) for i in kept], spec, reading.what), spec, kept


def _from_video(
    path: Path, positions: list[int], spec: SensorSpec, side: int, reading: Reading
) -> tuple[Frames, SensorSpec]:
    """Those frames of a recording in one video, and ``spec`` with its size pinned."""
    spec = pin_video_size(path, positions, spec)
    found, kept = reading.video(Recipe("frames", side, spec), path, positions)
    return _frames(found, [f"{path}:{positions[i]}" for i in kept], spec, reading.what), spec


def _frames(found: Fields, names: Sequence[str], spec: SensorSpec, what: str) -> Frames:
    """Frames whose values fit ``spec``. Raises DataError as :func:`check_values`."""
    check_values(found["levels"], spec, what, tuple(names))
    return Frames(found["codes"], tuple(names), invalid=found["invalid"], levels=found["levels"])
