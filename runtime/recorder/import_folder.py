"""``tgkt-edge data import`` of folders of files: frames, or pairs matched by time (as TUM's RGB-D sets have them)."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.alignment.rig import Rig
from tgkt_edge.data.names import locate
from tgkt_edge.data.table import read_table
from tgkt_edge.errors import DataError, FrameError, UsageError
from tgkt_edge.io.file_times import times_of
from tgkt_edge.io.images import find_images, read_frame, read_rgb
from tgkt_edge.io.parts import split_folder, split_part, with_pages
from tgkt_edge.notes import note
from tgkt_edge.runtime.recorder.aligning import PairAligner, known_rig
from tgkt_edge.runtime.recorder.import_options import ImportOptions, ImportSummary
from tgkt_edge.runtime.recorder.pair_matcher import Pairing
from tgkt_edge.runtime.recorder.writer import RecordingWriter
from tgkt_edge.runtime.sources.base import Captured
from tgkt_edge.sensor import PRESETS, SensorSpec, load_sensor

FRAME_FOLDERS = ("depth", "frame", "frames", "ir", "nir", "infrared", "thermal")
RGB_FOLDERS = ("rgb", "color", "colour", "image", "images")
"""Names of sub-folders that need not be named."""


@dataclass(frozen=True)
class _File:
    """A file that is decoded when it is needed."""

    path: Path
    number: int
    time: float


def import_folder(
    src: Path,
    output: Path,
    options: ImportOptions,
    *,
    times: str = "name",
    confidence: Path | None = None,
    min_confidence: float | None = None,
) -> ImportSummary:
    """Write frames that lie in files, with their times, or pairs of the files of two folders that are nearest in time.

    Args:
        src: a folder with the frames, or with a sub-folder of them. output: new or empty folder.
        options: ``topic`` and ``rgb_topic`` are sub-folders; None: the one that is named as such
            (:data:`FRAME_FOLDERS`, or ``src`` itself; :data:`RGB_FOLDERS`). ``sensor`` is needed.
        times: as of :func:`tgkt_edge.io.file_times.times_of`.
        confidence: a folder with an image of the size of its frame for each, of equal stem.
        min_confidence: pixels whose confidence is below it become no measurement. Needed with ``confidence``.

    Raises:
        UsageError, DataError, TgktEdgeError: as of ``data import``.
    """
    if options.sensor is None:
        raise UsageError(
            f"`sensor` is missing: it says what the frames' counts mean. Expected a preset ({', '.join(PRESETS)}) or a "
            f"YAML file."
        )
    spec = load_sensor(options.sensor)
    folder = _sub_folder(src, options.topic, FRAME_FOLDERS, "topic", required=False)
    frames = _files(folder, times, pages=not options.pairs and confidence is None)
    images: list[_File] = []
    rgb_folder = None
    if options.pairs:
        rgb_folder = _sub_folder(src, options.rgb_topic, RGB_FOLDERS, "rgb_topic", required=True)
        images = _files(rgb_folder, times, pages=False)
    mask = _mask(confidence, min_confidence, spec)
    aligner = None
    if options.align:
        nothing = Rig(origin="Files say nothing of their cameras")
        aligner = PairAligner(known_rig(spec, options.extrinsics, nothing), spec, str(src))
    bad = alone = 0
    with RecordingWriter(output, spec, options.form) as writer:
        for frame, partner in (
            _matched(frames, images, options.max_skew_ms)
            if options.pairs
            else ((one, None) for one in frames)
        ):
            if options.pairs and partner is None:
                alone += 1
                continue
            try:
                pixels = read_frame(frame.path)
                if mask is not None:
                    pixels = mask.applied(pixels, frame.path)
                rgb = None if partner is None else _captured(partner, _bgr(partner.path))
                if aligner is not None and rgb is not None:
                    aligner.add(writer, _captured(frame, pixels), rgb)
                else:
                    writer.add(_captured(frame, pixels), rgb)
            except (DataError, FrameError) as error:
                if not bad:
                    note(f"{src}: a file is left out: {error}")
                bad += 1
    if not writer.written:
        raise DataError(_nothing(src, frames, images, bad, alone, options.max_skew_ms))
    rgb_name = None if rgb_folder is None else str(rgb_folder)
    shares = None if aligner is None else aligner.shares()
    return ImportSummary(output, str(folder), rgb_name, writer.written, bad, alone, "", shares)


def _sub_folder(
    src: Path, name: str | None, known: tuple[str, ...], argument: str, *, required: bool
) -> Path:
    """The sub-folder called ``name``, or the one with a name that is known; else ``src`` itself unless ``required``."""
    folder, query = split_folder(src)
    here = sorted(path.name for path in folder.iterdir() if path.is_dir())
    fitting = [name] if name is not None else [one for one in here if one.lower() in known]
    if name is not None and name not in here:
        raise DataError(
            f"`{argument}={name}`: {folder} has no such folder. It has {', '.join(here) or 'none'}."
        )
    if len(fitting) > 1:
        raise DataError(f"{folder}: has the folders {', '.join(fitting)}. Name one with `{argument}`.")
    if not fitting:
        if required:
            raise DataError(
                f"{folder}: has no folder of RGB images ({', '.join(known)}). Name one with `{argument}`."
            )
        return src
    return folder / (f"{fitting[0]}?{query}" if query else fitting[0])


def _files(folder: Path, times: str, *, pages: bool) -> list[_File]:
    found = find_images(folder)
    if not found:
        raise DataError(f"{folder}: holds no image")
    stamps = times_of([split_part(file)[0] for file in found], times, _read_list)
    listed = sorted(zip(stamps, found, strict=True), key=lambda one: one[0])
    parts = [(time, page) for time, file in listed for page in (with_pages(file) if pages else [file])]
    return [_File(path, number, time) for number, (time, path) in enumerate(parts)]


def _read_list(table: Path) -> dict[str, float]:
    known: dict[str, float] = {}
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
        known[str(file.absolute())] = known[file.name] = time
    return known


def _matched(
    frames: list[_File], images: list[_File], max_skew_ms: float
) -> Iterator[tuple[_File, _File | None]]:
    pairing: Pairing[_File] = Pairing(max_skew_ms / 1e3)
    both = [(frame, pairing.add_frame) for frame in frames] + [(image, pairing.add_color) for image in images]
    for file, add in sorted(both, key=lambda one: one[0].time):
        add(file)
        yield from pairing.resolve()
    pairing.add_color(_File(Path(), -1, float("inf")))  # none comes any more
    yield from pairing.resolve()


def _captured(file: _File, pixels: NDArray[Any]) -> Captured:
    return Captured(pixels, file.number, file.time, str(file.path))


def _bgr(path: Path) -> NDArray[np.uint8]:
    return np.ascontiguousarray(read_rgb(path)[..., ::-1])


def _mask(folder: Path | None, least: float | None, spec: SensorSpec) -> _Mask | None:
    if folder is None and least is None:
        return None
    if folder is None or least is None:
        raise UsageError("`confidence=FOLDER` and `min_confidence=N` belong together: give both")
    return _Mask(folder, least, spec)


class _Mask:
    """Takes out what the sensor itself was not sure of."""

    def __init__(self, folder: Path, least: float, spec: SensorSpec) -> None:
        if not math.isfinite(least):
            raise UsageError(f"`min_confidence={least:g}`: expected a finite number")
        if not spec.is_float and not spec.invalid:
            raise UsageError(
                "`confidence`: the SensorSpec names no 'invalid' count, which would mark what is masked. Name one."
            )
        self._least = least
        self._nothing = np.nan if spec.is_float else int(spec.invalid[0])
        self._files: dict[str, Path] = {}
        for file in find_images(folder):
            before = self._files.setdefault(split_part(file)[0].stem, file)
            if before != file:
                raise DataError(
                    f"`confidence={folder}`: {before} and {file} have one name, and one frame can have one only. "
                    f"Keep one, or import folder by folder."
                )
        if not self._files:
            raise DataError(f"`confidence={folder}`: holds no image")

    def applied(self, frame: NDArray[Any], path: Path) -> NDArray[Any]:
        """(H, W) with the pixels below the least confidence marked as no measurements.

        Raises:
            DataError: the frame has no image of confidences, or one of another size or none that can be read.
        """
        file = self._files.get(split_part(path)[0].stem)
        if file is None:
            raise DataError(f"{path}: `confidence` has no image of this name")
        sure = read_frame(file)
        if sure.shape != frame.shape:
            raise DataError(
                f"{file}: confidence of {sure.shape[1]}x{sure.shape[0]} for a frame of {frame.shape[1]}x"
                f"{frame.shape[0]}"
            )
        masked = frame.copy()
        masked[~(sure >= self._least)] = self._nothing
        return masked


def _nothing(
    src: Path, frames: list[_File], images: list[_File], bad: int, alone: int, max_skew_ms: float
) -> str:
    if alone and not bad:
        apart = min(abs(frame.time - image.time) for frame in frames[:200] for image in images[:200])
        return (
            f"{src}: no frame has an RGB image within {max_skew_ms:g} ms; the nearest lie about {apart:.3g} s apart. "
            f"Do the clocks differ? Raise `max_skew_ms`, or correct the times (`times=CSV`)."
        )
    return f"{src}: none of {len(frames)} frames can be used ({bad} bad)"
