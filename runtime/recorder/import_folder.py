"""``tgkt-edge data import`` of folders of files: frames, or pairs matched by time (as TUM's RGB-D sets have them)."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.alignment.rig import Rig
from tgkt_edge.data.timed_folders import (
    FRAME_FOLDERS,
    RGB_FOLDERS,
    TimedFile,
    far_apart,
    match_by_time,
    sub_folder,
    timed_files,
)
from tgkt_edge.errors import DataError, UsageError
from tgkt_edge.io.images import find_images, read_frame, read_rgb
from tgkt_edge.io.parts import read_bytes, split_folder, split_part
from tgkt_edge.runtime.recorder.aligning import PairAligner, known_rig
from tgkt_edge.runtime.recorder.import_options import ImportOptions, ImportSummary
from tgkt_edge.runtime.recorder.write_pairs import Decoded, PairWriter, note_blank
from tgkt_edge.runtime.recorder.writer import RecordingWriter
from tgkt_edge.runtime.sources.base import Captured
from tgkt_edge.sensor import PRESETS, SensorSpec, load_sensor


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
    folder = sub_folder(src, options.topic, FRAME_FOLDERS, "topic", required=False)
    frames = timed_files(folder, times, pages=not options.pairs and confidence is None)
    images: list[TimedFile] = []
    rgb_folder = None
    if options.pairs:
        rgb_folder = sub_folder(src, options.rgb_topic, RGB_FOLDERS, "rgb_topic", required=True)
        images = timed_files(rgb_folder, times, pages=False)
    mask = _mask(confidence, min_confidence, spec)
    aligner = None
    if options.align:
        nothing = Rig(origin="Files say nothing of their cameras")
        aligner = PairAligner(known_rig(spec, options.extrinsics, nothing), spec, str(src))
    matched: list[tuple[TimedFile, TimedFile | None]] = [(one, None) for one in frames]
    alone = 0
    if options.pairs:
        both = list(match_by_time(frames, images, options.max_skew_ms))
        matched = [pair for pair in both if pair[1] is not None]
        alone = len(both) - len(matched)

    def decode(file: TimedFile, color: bool) -> Decoded:
        read = _Keeping()
        if color:
            pixels: NDArray[Any] = np.ascontiguousarray(read_rgb(file.path, read)[..., ::-1])
        else:
            pixels = read_frame(file.path, read)
            if mask is not None:
                pixels, read.data = mask.applied(pixels, file.path), b""
        captured = Captured(pixels, file.number, file.time, str(file.path))
        return Decoded(captured, b"" if split_part(file.path)[1] else read.data)

    with RecordingWriter(output, spec, options.form) as writer:
        pairs: PairWriter[TimedFile] = PairWriter(writer, aligner, decode, str(src), "a file")
        pairs.write(matched)
    if not writer.written:
        raise DataError(_nothing(src, frames, images, pairs.bad, alone, options.max_skew_ms))
    note_blank(writer, str(src))
    rgb_name = None if rgb_folder is None else str(rgb_folder)
    shares = None if aligner is None else aligner.shares()
    return ImportSummary(
        output, str(folder), rgb_name, writer.written, pairs.bad, alone, "", shares, writer.blank
    )


class _Keeping:
    """Reads a file, and keeps what it held."""

    data = b""

    def __call__(self, path: Path) -> bytes:
        self.data = read_bytes(path)
        return self.data


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
        if not split_folder(folder)[0].is_dir():
            raise DataError(
                f"`confidence={folder}`: no such folder. Expected one with an image for each frame, of its name"
            )
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
    src: Path, frames: list[TimedFile], images: list[TimedFile], bad: int, alone: int, max_skew_ms: float
) -> str:
    if alone and not bad:
        return (
            f"{src}: {far_apart(frames, images, max_skew_ms)} Raise `max_skew_ms`, or correct the times "
            f"(`times=CSV`)."
        )
    return f"{src}: none of {len(frames)} frames can be used ({bad} bad)"
