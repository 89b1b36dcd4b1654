"""Everything that a check looks at, read from the files."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.data.check.copies import thumbnail
from tgkt_edge.data.check.edges import SIDE
from tgkt_edge.data.check.gray import explained_by_rgb
from tgkt_edge.data.discovery import frame_places, matched, read_csv_columns
from tgkt_edge.data.levels import Levels, measure_levels
from tgkt_edge.errors import DataError
from tgkt_edge.io.images import read_frame, read_rgb
from tgkt_edge.io.recording_format import video_frames
from tgkt_edge.preprocess import encode, encode_rgb, invalid_share
from tgkt_edge.sensor import RawFrame, SensorSpec
from tgkt_edge.system.threads import in_threads

_NO_CODES = np.empty((0, SIDE), np.uint16)

DARK, BRIGHT = 8, 247
"""Luminance at and below, or above, which an RGB image shows nothing."""


@dataclass(frozen=True)
class Half:
    """One frame: codes (SIDE, SIDE), where they were measured, share of holes, levels, (width, height), CRC-32 and
    thumbnail."""

    codes: NDArray[np.uint16]
    solid: NDArray[np.bool_]
    holes: float
    levels: Levels
    size: tuple[int, int]
    crc32: int
    thumb: NDArray[np.float32]


@dataclass(frozen=True)
class Pair:
    """A frame and its RGB image: (SIDE, SIDE, 3) uint8, (width, height), shares that are too dark and too bright, and
    how much of the frame the RGB image explains (:func:`~tgkt_edge.data.check.gray.explained_by_rgb`)."""

    name: str
    half: Half
    rgb: NDArray[np.uint8]
    rgb_size: tuple[int, int]
    dark: float
    bright: float
    explained: float

    @property
    def figures(self) -> Pair:
        """The pair without its pictures, of which a set may have too many for memory."""
        return replace(self, half=_without_codes(self.half), rgb=_NO_CODES.astype(np.uint8))


@dataclass(frozen=True)
class Bad:
    """A file that cannot be used, and why."""

    name: str
    reason: str


class PairFiles:
    """The pairs of ``path`` (as of ``adapt --paired``), read when they are looked at.

    Raises:
        DataError: there are none, or stems are unmatched or doubled.
    """

    def __init__(self, path: Path, spec: SensorSpec) -> None:
        self._spec = spec
        if path.is_file():
            columns = read_csv_columns(path, "`paired`", ("rgb", "frame"))
            self._files = list(zip(columns["rgb"], columns["frame"], strict=True))
        else:
            self._files = list(zip(*matched(path), strict=True))

    def __len__(self) -> int:
        return len(self._files)

    def read(self, positions: Iterable[int]) -> list[Pair | Bad]:
        """Those at ``positions``, with their pictures; several threads read them."""
        return list(in_threads(self._read, [self._files[position] for position in positions]))

    def good(self, positions: Iterable[int]) -> list[Pair]:
        """As :meth:`read`, of those that were read before: one that cannot be read any more raises DataError."""
        found = self.read(positions)
        for one in found:
            if isinstance(one, Bad):
                raise DataError(one.reason)
        return [one for one in found if isinstance(one, Pair)]

    def _read(self, pair: tuple[Path, Path]) -> Pair | Bad:
        rgb_file, frame_file = pair
        try:
            image = read_rgb(rgb_file)
            half = _half(read_frame(frame_file), self._spec, str(frame_file))
            rgb = encode_rgb(image, SIDE, str(rgb_file))
        except DataError as error:
            return Bad(str(frame_file), str(error))
        grey = rgb.mean(-1)
        size = (image.shape[1], image.shape[0])
        return Pair(
            str(frame_file), half, rgb, size, float((grey <= DARK).mean()), float((grey > BRIGHT).mean()),
            explained_by_rgb(rgb, half.codes),
        )  # fmt: skip


def read_target(
    path: Path, spec: SensorSpec, flag: str = "`target`"
) -> tuple[list[tuple[str, Half]], list[Bad]]:
    """All target frames (as of ``adapt --target``) that can be read, and the rest. Raises DataError as that does, with
    ``flag`` as what named them."""
    places = frame_places(path, flag)
    videos = {position: file for file, position in places if position is not None}

    def read(place: tuple[str, RawFrame | Path]) -> tuple[str, Half] | Bad:
        name, frame = place
        try:
            half = _half(read_frame(frame) if isinstance(frame, Path) else frame, spec, name)
            return name, _without_codes(half)
        except DataError as error:
            return Bad(name, str(error))

    if videos:
        file = next(iter(videos.values()))
        found: list[tuple[str, Half] | Bad] = []
        ended = 0
        for position, (frame, damage) in enumerate(video_frames(file)):
            ended = position + 1
            if position in videos:
                name = f"{file}:{position}"
                found.append(Bad(name, damage) if frame is None or damage else read((name, frame)))
        missing = sorted(position for position in videos if position >= ended)
        found += [Bad(f"{file}:{n}", f"{file}:{n}: is listed, but the video ends before it") for n in missing]
    else:
        found = list(in_threads(read, ((str(file), file) for file, _ in places)))
    return [one for one in found if not isinstance(one, Bad)], [one for one in found if isinstance(one, Bad)]


def _half(frame: RawFrame, spec: SensorSpec, name: str) -> Half:
    import cv2

    codes = encode(frame, spec, SIDE, name)
    valid = spec.valid(frame).astype(np.float32) if spec.has_invalid else np.ones(frame.shape, np.float32)
    solid = cv2.resize(valid, (SIDE, SIDE), interpolation=cv2.INTER_AREA) > 0.5
    size = (frame.shape[1], frame.shape[0])
    crc = zlib.crc32(np.ascontiguousarray(frame).data)
    holes, levels = invalid_share(frame, spec), measure_levels(frame, spec)
    return Half(codes, solid, holes, levels, size, crc, thumbnail(codes))


def _without_codes(half: Half) -> Half:
    return replace(half, codes=_NO_CODES, solid=_NO_CODES.astype(np.bool_))
