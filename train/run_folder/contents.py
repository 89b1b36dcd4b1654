"""What the data of a run held when it began, so that it does not go on with other frames, other pairs or another model.

Bytes of files are compared, not decoded pixels: another machine's OpenCV may round otherwise, and the run may go on.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from tgkt_edge.data.discovery import frame_places, labelled, matched, read_csv_columns
from tgkt_edge.errors import DataError
from tgkt_edge.io.atomic import sha256_of
from tgkt_edge.io.parts import split_part
from tgkt_edge.system.cpu import usable_cpus
from tgkt_edge.train.run_folder.folder import RunInputs

Contents = dict[str, str]
"""Name of an input -> how many files, and a SHA-256 over their names, labels and bytes, as one text."""


def contents(inputs: RunInputs) -> Contents:
    """Of every input that holds images; all of them have been read before, or skipped as bad."""
    found = {}
    places = frame_places(Path(inputs.target), "--target")
    found["target"] = _summary(places)
    if inputs.paired is not None:
        paired = Path(inputs.paired)
        if paired.is_file():
            columns = read_csv_columns(paired, "--paired", ("rgb", "frame"))
            pairs = list(zip(columns["rgb"], columns["frame"], strict=True))
        else:
            pairs = list(zip(*matched(paired), strict=True))
        found["paired"] = _summary(pairs)
    if inputs.source is not None:
        found["source"] = _summary(zip(*labelled(Path(inputs.source), "--source", "image"), strict=True))
    if inputs.labels is not None:
        found["labels"] = f"sha256 {sha256_of(Path(inputs.labels))[:32]}"
    return found


def _summary(rows: Iterable[tuple[object, ...]]) -> str:
    """Of rows of files and of what belongs to them, such as a label; the order counts."""
    rows = list(rows)
    files = list(dict.fromkeys(cell for row in rows for cell in row if isinstance(cell, Path)))
    with ThreadPoolExecutor(max_workers=min(8, usable_cpus())) as pool:
        digests = dict(zip(files, pool.map(_digest, files), strict=True))
    total = hashlib.sha256()
    for row in rows:
        words = [f"{cell} {digests[cell]}" if isinstance(cell, Path) else str(cell) for cell in row]
        total.update(("\n".join(words) + "\n\n").encode("utf-8", "surrogateescape"))
    return f"{len(rows)} with sha256 {total.hexdigest()[:32]}"


def _digest(file: Path) -> str:
    try:
        return sha256_of(split_part(file)[0])
    except (OSError, DataError):
        return "unreadable"  # --skip-bad left it out
