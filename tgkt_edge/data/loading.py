"""The data a user brings, decoded once into memory: labelled RGB, sensor frames, and paired frames."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.data.bad_files import Progress, read_all, report_bad
from tgkt_edge.data.digests import FileDigests
from tgkt_edge.data.discovery import abbreviate, frame_places, labelled, matched, read_csv_columns
from tgkt_edge.data.levels import Levels, measure_levels
from tgkt_edge.data.names import class_index
from tgkt_edge.data.size import pin_size, reader_of
from tgkt_edge.data.value_checks import check_values
from tgkt_edge.errors import DataError
from tgkt_edge.io.images import Reader, read_rgb
from tgkt_edge.io.parts import read_bytes
from tgkt_edge.io.recording_format import video_frames
from tgkt_edge.notes import note
from tgkt_edge.preprocess import encode, encode_rgb, invalid_share
from tgkt_edge.sensor import SensorSpec


@dataclass(frozen=True)
class Frames:
    """Sensor frames of the task: ``codes`` (N, R, R) uint16 (see preprocess), and ``labels`` (N,) int64 or None.

    ``invalid`` (N,) float32 is each raw frame's share of pixels without a measurement, ``levels`` (N, LENGTH) what
    :mod:`tgkt_edge.data.levels` says of its values; None: not known.
    """

    codes: NDArray[np.uint16]
    names: tuple[str, ...]
    labels: NDArray[np.int64] | None = None
    classes: tuple[str, ...] = ()
    invalid: NDArray[np.float32] | None = None
    levels: Levels | None = None

    def __len__(self) -> int:
        return len(self.codes)


@dataclass(frozen=True)
class Images:
    """Labelled RGB images: ``rgb`` (N, R, R, 3) uint8, ``labels`` (N,) int64 indices into ``classes``."""

    rgb: NDArray[np.uint8]
    labels: NDArray[np.int64]
    classes: tuple[str, ...]
    names: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.rgb)


@dataclass(frozen=True)
class Pairs:
    """Paired frames of other scenes: ``rgb`` (M, R, R, 3) uint8 and ``codes`` (M, R, R) uint16, row by row.

    ``levels`` (M, LENGTH) as of :class:`Frames`.
    """

    rgb: NDArray[np.uint8]
    codes: NDArray[np.uint16]
    names: tuple[str, ...]
    levels: Levels | None = None

    def __len__(self) -> int:
        return len(self.rgb)


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
) -> tuple[Frames, SensorSpec]:
    """Read unlabelled target frames: a folder (any depth, names mean nothing), one that ``tgkt-edge record`` wrote, or
    a CSV with a column ``frame``.

    Args:
        flag: what an error calls ``path``.
        at_most: read only so many files, spread evenly over all that are there.
        digests: told which files there are and what each held.

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
    positions = {position for _, position in places if position is not None}
    if positions:
        return _from_video(files[0], positions, spec, side, skip_bad, progress, f"{flag} {path}")
    return _read_frames(files, spec, side, skip_bad, f"{flag} {path}", progress, reader_of(digests))[:2]


def spread(count: int, at_most: int) -> list[int]:
    """Indices of at most ``at_most`` of ``count`` things, first and last among them, evenly spread and ascending."""
    chosen = np.linspace(0, count - 1, min(count, at_most)).round().astype(int)
    return [int(i) for i in np.unique(chosen)]


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
    index = _class_numbers(classes, labels)
    unknown = sorted(set(labels) - set(index))
    if unknown:
        raise DataError(
            f"{flag} {path}: labels that are none of the model's classes: "
            f"{abbreviate([repr(name) for name in unknown])}. "
            f"It knows {', '.join(classes)}. Rename or remove these frames' labels."
        )
    frames, _, kept = _read_frames(files, spec, side, skip_bad, f"{flag} {path}", progress)
    truth = np.array([index[labels[i]] for i in kept], dtype=np.int64)
    return replace(frames, labels=truth, classes=tuple(classes))


def _class_numbers(classes: Sequence[str], labels: Sequence[str]) -> dict[str, int]:
    """The class that each label means: by its name, or where only case differs by the one class that it can be."""
    index = class_index(classes)
    folded: dict[str, set[str]] = {}
    for name in index:
        folded.setdefault(name.casefold(), set()).add(name)
    for label in set(labels) - set(index):
        meant = folded.get(label.casefold(), set())
        if len(meant) == 1:
            index[label] = index[next(iter(meant))]
    return index


def load_images(
    path: Path,
    side: int,
    *,
    skip_bad: bool = False,
    progress: Progress | None = None,
    flag: str = "`source`",
    digests: FileDigests | None = None,
) -> Images:
    """Read labelled RGB: a folder of class folders, or a CSV with columns ``image`` and ``label``.

    Args:
        flag: what an error calls ``path``.
        digests: told which files there are and what each held.

    Raises:
        DataError: nothing there, fewer than two classes, unreadable images.
    """
    files, labels = labelled(path, flag, "image")
    if digests is not None:
        digests.list(zip(files, labels, strict=True))
    read = reader_of(digests)
    classes = tuple(sorted(set(labels)))
    if len(classes) < 2:
        raise DataError(
            f"{flag} {path}: found one class only ({classes[0]}): a classifier needs at least two. "
            f"Expected a folder of class folders, or a CSV with columns image,label."
        )
    images, kept = read_all(
        files,
        lambda file: encode_rgb(read_rgb(file, read), side, str(file)),
        skip_bad,
        f"{flag} {path}",
        progress,
    )
    index = {name: i for i, name in enumerate(classes)}
    truth = np.array([index[labels[i]] for i in kept], dtype=np.int64)
    missing = sorted(set(range(len(classes))) - set(truth.tolist()))
    if missing:
        raise DataError(
            f"{flag} {path}: no readable image left of class {abbreviate([classes[i] for i in missing])}"
        )
    return Images(np.stack(images), truth, classes, tuple(str(files[i]) for i in kept))


def load_pairs(
    path: Path,
    spec: SensorSpec,
    side: int,
    *,
    skip_bad: bool = False,
    progress: Progress | None = None,
    digests: FileDigests | None = None,
) -> Pairs:
    """Read paired frames: a folder with ``rgb/`` and ``frame/`` matched by file stem, or a CSV ``rgb,frame``.

    Args:
        digests: told which files there are and what each held.

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
    reader = reader_of(digests)
    pinned, read_ahead = pin_size(frame_files, spec, reader)

    def read_pair(pair: tuple[Path, Path]) -> tuple[NDArray[np.uint8], NDArray[np.uint16], Levels]:
        rgb_file, frame_file = pair
        rgb = encode_rgb(read_rgb(rgb_file, reader), side, str(rgb_file))
        frame = read_ahead(frame_file)
        return rgb, encode(frame, pinned, side, str(frame_file)), measure_levels(frame, pinned)

    read_pairs, kept = read_all(pairs, read_pair, skip_bad, f"`paired={path}`", progress)
    rgbs, codes, levels = (np.stack(column) for column in zip(*read_pairs, strict=True))
    names = tuple(str(frame_files[i]) for i in kept)
    check_values(levels, pinned, f"`paired={path}`", names)
    return Pairs(rgbs, codes, names, levels)


def _read_frames(
    files: list[Path],
    spec: SensorSpec,
    side: int,
    skip_bad: bool,
    what: str,
    progress: Progress | None,
    reader: Reader = read_bytes,
) -> tuple[Frames, SensorSpec, list[int]]:
    """The frames, ``spec`` with its size pinned, and the indices of the files that could be used."""
    spec, read_ahead = pin_size(files, spec, reader)

    def read(file: Path) -> _Read:
        frame = read_ahead(file)
        return encode(frame, spec, side, str(file)), invalid_share(frame, spec), measure_levels(frame, spec)

    found, kept = read_all(files, read, skip_bad, what, progress)
    return _frames(found, [str(files[i]) for i in kept], spec, what), spec, kept


_Read = tuple[NDArray[np.uint16], float, Levels]
"""Of one frame: codes, share of invalid pixels, levels."""


def _frames(found: Sequence[_Read], names: Sequence[str], spec: SensorSpec, what: str) -> Frames:
    """Frames whose values fit ``spec``. Raises DataError as :func:`check_values`."""
    codes, shares, levels = zip(*found, strict=True)
    frames = Frames(
        np.stack(codes), tuple(names), invalid=np.array(shares, np.float32), levels=np.stack(levels)
    )
    assert frames.levels is not None
    check_values(frames.levels, spec, what, frames.names)
    return frames


def _from_video(
    path: Path,
    positions: set[int],
    spec: SensorSpec,
    side: int,
    skip_bad: bool,
    progress: Progress | None,
    what: str,
) -> tuple[Frames, SensorSpec]:
    """Those frames of a recording in one video, decoded in order: they are not all held in memory at once."""
    found: list[_Read] = []
    names: list[str] = []
    bad: list[tuple[str, str]] = []
    ended = 0
    for position, (frame, damage) in enumerate(video_frames(path)):
        ended = position + 1
        if position not in positions:
            continue
        name = f"{path}:{position}"
        try:
            if frame is None or damage:
                raise DataError(damage)
            if spec.size is None:
                spec = spec.with_size(frame.shape[1], frame.shape[0])
            codes = encode(frame, spec, side, name)
            found.append((codes, invalid_share(frame, spec), measure_levels(frame, spec)))
            names.append(name)
        except DataError as error:
            bad.append((name, str(error)))
        if progress is not None:
            progress(what, len(bad) + len(found), len(positions))
    report_bad(bad, bool(found), len(bad) + len(found), skip_bad, what)
    if not found:
        raise DataError(f"{what}: {path.name} holds no frame: the recording was cut off")
    if missing := sum(position >= ended for position in positions):
        note(
            f"{what}: {path.name} ends before {missing} of {len(positions)} frames that are listed: it was cut off"
        )
    return _frames(found, names, spec, what), spec
