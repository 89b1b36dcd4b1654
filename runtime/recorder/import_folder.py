"""``tgkt-edge data import`` of folders of files: frames, or pairs matched by time (as TUM's RGB-D sets have them)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.data.names import locate
from tgkt_edge.data.table import read_table
from tgkt_edge.errors import DataError, FrameError, UsageError
from tgkt_edge.io.file_times import times_of
from tgkt_edge.io.images import find_images, read_frame, read_rgb
from tgkt_edge.io.parts import split_folder, split_part, with_pages
from tgkt_edge.notes import note
from tgkt_edge.runtime.recorder.import_recording import ImportSummary
from tgkt_edge.runtime.recorder.pair_matcher import Pairing
from tgkt_edge.runtime.recorder.writer import FORMATS, RecordingWriter
from tgkt_edge.runtime.sources.base import Captured
from tgkt_edge.sensor import PRESETS, SensorSpec, load_sensor

FRAMES = ("depth", "frame", "frames", "ir", "nir", "infrared", "thermal")
COLOURS = ("rgb", "color", "colour", "image", "images")
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
    *,
    topic: str | None = None,
    sensor: str | None = None,
    pair: bool = False,
    rgb_topic: str | None = None,
    max_skew_ms: float = 20.0,
    times: str = "name",
    confidence: Path | None = None,
    min_confidence: float | None = None,
    form: str = "png",
) -> ImportSummary:
    """Write frames that lie in files, with their times, or pairs of the files of two folders that are nearest in time.

    Args:
        src: a folder with the frames, or with a sub-folder of them. output: new or empty folder.
        topic: the sub-folder of the sensor's frames; None: the one that is named as such (:data:`FRAMES`), or ``src``.
        sensor: preset or YAML file. pair: write pairs with the photographs of the sub-folder ``rgb_topic``; None: the
            one that is named as such (:data:`COLOURS`). max_skew_ms: milliseconds that the halves may lie apart.
        times: as of :func:`tgkt_edge.io.file_times.times_of`.
        confidence: a folder with an image of the size of its frame for each, of equal stem.
        min_confidence: pixels whose confidence is below it become no measurement. Needed with ``confidence``.
        form: as of ``record``.

    Raises:
        UsageError, DataError, TgktEdgeError: as of ``data import``.
    """
    pair = pair or rgb_topic is not None
    _check(sensor, pair, max_skew_ms, confidence, min_confidence, form)
    assert sensor is not None
    spec = load_sensor(sensor)
    folder = _sub_folder(src, topic, FRAMES, "--topic", required=False)
    frames = _files(folder, times, pages=not pair and confidence is None)
    colours, photographs = [], src
    if pair:
        photographs = _sub_folder(src, rgb_topic, COLOURS, "--rgb-topic", required=True)
        colours = _files(photographs, times, pages=False)
    mask = _Mask(confidence, min_confidence, spec, folder)
    bad = alone = 0
    with RecordingWriter(output, spec, form) as writer:
        for frame, partner in (
            _matched(frames, colours, max_skew_ms) if pair else ((one, None) for one in frames)
        ):
            if pair and partner is None:
                alone += 1
                continue
            try:
                pixels = mask.applied(read_frame(frame.path), frame.path)
                rgb = None if partner is None else _captured(partner, _bgr(partner.path))
                writer.add(_captured(frame, pixels), rgb)
            except (DataError, FrameError) as error:
                if not bad:
                    note(f"{src}: a file is left out: {error}")
                bad += 1
    if not writer.written:
        raise DataError(_nothing(src, frames, colours, bad, alone, max_skew_ms))
    return ImportSummary(
        output, str(folder), str(photographs) if pair else None, writer.written, bad, alone, ""
    )


def _check(
    sensor: str | None,
    pair: bool,
    max_skew_ms: float,
    confidence: Path | None,
    min_confidence: float | None,
    form: str,
) -> None:
    if form not in FORMATS:
        raise UsageError(f"--format {form}: expected {' or '.join(FORMATS)}")
    if not max_skew_ms > 0:
        raise UsageError(f"--max-skew-ms {max_skew_ms:g}: expected more than 0")
    if pair and form != "png":
        raise UsageError(
            "--pair: pairs are written as PNG, which 'adapt --paired' reads. Leave --format out."
        )
    if (confidence is None) != (min_confidence is None):
        raise UsageError("--confidence FOLDER and --min-confidence N belong together: give both")
    if sensor is None:
        raise UsageError(
            f"--sensor is missing: it says what the frames' counts mean. Expected a preset ({', '.join(PRESETS)}) or a "
            f"YAML file."
        )


def _sub_folder(src: Path, name: str | None, known: tuple[str, ...], flag: str, *, required: bool) -> Path:
    """The sub-folder called ``name``, or the one with a name that is known; else ``src`` itself unless ``required``."""
    folder, query = split_folder(src)
    here = sorted(path.name for path in folder.iterdir() if path.is_dir())
    fitting = [name] if name is not None else [one for one in here if one.lower() in known]
    if name is not None and name not in here:
        raise DataError(f"{flag} {name}: {folder} has no such folder. It has {', '.join(here) or 'none'}.")
    if len(fitting) > 1:
        raise DataError(f"{folder}: has the folders {', '.join(fitting)}. Name one with {flag}.")
    if not fitting:
        if required:
            raise DataError(
                f"{folder}: has no folder of photographs ({', '.join(known)}). Name one with {flag}."
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
    for row in read_table(table, f"--times {table}", ("file", "time")):
        try:
            time = float(row.fields["time"])
        except ValueError as error:
            raise DataError(
                f"--times {table}, line {row.line}: {row.fields['time']!r} is no number of seconds"
            ) from error
        file = locate(table.parent, row.fields["file"])
        known[str(file.absolute())] = known[file.name] = time
    return known


def _matched(
    frames: list[_File], colours: list[_File], max_skew_ms: float
) -> Iterator[tuple[_File, _File | None]]:
    pairing: Pairing[_File] = Pairing(max_skew_ms / 1e3)
    both = [(frame, pairing.add_frame) for frame in frames] + [
        (colour, pairing.add_colour) for colour in colours
    ]
    for file, add in sorted(both, key=lambda one: one[0].time):
        add(file)
        yield from pairing.resolve()
    pairing.add_colour(_File(Path(), -1, float("inf")))  # none comes any more
    yield from pairing.resolve()


def _captured(file: _File, pixels: NDArray[Any]) -> Captured:
    return Captured(pixels, file.number, file.time, str(file.path))


def _bgr(path: Path) -> NDArray[np.uint8]:
    return np.ascontiguousarray(read_rgb(path)[..., ::-1])


class _Mask:
    """Takes out what the sensor itself was not sure of."""

    def __init__(self, folder: Path | None, least: float | None, spec: SensorSpec, frames: Path) -> None:
        self._least, self._frames = least, split_folder(frames)[0]
        self._files: dict[str, Path] = {}
        if folder is None:
            return
        if not spec.is_float and not spec.invalid:
            raise UsageError(
                "--confidence: the SensorSpec names no 'invalid' count, which would mark what is masked. Name one."
            )
        self._nothing = np.nan if spec.is_float else int(spec.invalid[0])
        root = split_folder(folder)[0]
        self._files = {split_part(file)[0].relative_to(root).stem: file for file in find_images(folder)}
        if not self._files:
            raise DataError(f"--confidence {folder}: holds no image")

    def applied(self, frame: NDArray[Any], path: Path) -> NDArray[Any]:
        """(H, W) with the pixels below the least confidence marked as no measurements."""
        if self._least is None:
            return frame
        file = self._files.get(split_part(path)[0].stem)
        if file is None:
            raise DataError(f"{path}: --confidence has no image of this name")
        sure = read_frame(file)
        if sure.shape != frame.shape:
            raise DataError(
                f"{file}: confidence of {sure.shape[1]}x{sure.shape[0]} for a frame of {frame.shape[::-1]}"
            )
        masked = frame.copy()
        masked[~(sure >= self._least)] = self._nothing
        return masked


def _nothing(
    src: Path, frames: list[_File], colours: list[_File], bad: int, alone: int, max_skew_ms: float
) -> str:
    if alone and not bad:
        apart = min(abs(frame.time - colour.time) for frame in frames[:200] for colour in colours[:200])
        return (
            f"{src}: no frame has a photograph within {max_skew_ms:g} ms; the nearest lie about {apart:.3g} s apart. "
            f"Do the clocks differ? Raise --max-skew-ms, or correct the times (--times CSV)."
        )
    return f"{src}: none of {len(frames)} frames can be used ({bad} bad)"
