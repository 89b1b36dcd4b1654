"""One frame's row, and its line in a CSV and in JSON lines."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.data.discovery import escape_name
from tgkt_edge.runtime.sinks.json_encoding import encode

FIELDS = ("frame", "time", "label", "probability", "health", "error", "path")
"""Columns before those of the classes. What a row lacks is empty, or null."""

CLASS_PREFIX = "p_"
"""What begins the name of each class's column, so that it is none of :data:`FIELDS`."""


@dataclass(frozen=True)
class Row:
    """The answer to one frame.

    Attributes:
        frame: its number in the source, from 0. time: Unix seconds, UTC: see
            :attr:`tgkt_edge.runtime.sources.base.Captured.time`. path: its file.
        probabilities: (K,) float32; None: it could not be used, and ``error`` says why.
        health: flags that it raises alone: "invalid", "saturated".
    """

    frame: int
    time: float
    path: str
    probabilities: NDArray[np.float32] | None = None
    health: tuple[str, ...] = ()
    error: str = ""


def columns(classes: Sequence[str]) -> list[str]:
    """The columns of a table."""
    return [*FIELDS, *(CLASS_PREFIX + name for name in classes)]


class JsonLines:
    """Rows as JSON objects, one a line; ``probabilities`` is an object with every class.

    Args:
        classes: names in the order of the probabilities.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = tuple(classes)
        self.header = b""

    def line(self, row: Row) -> bytes:
        """A row's line."""
        values: dict[str, Any] = {"frame": row.frame, "time": round(row.time, 6)}
        if row.probabilities is not None:
            best = int(row.probabilities.argmax())
            values["label"] = self._classes[best]
            values["probability"] = float(row.probabilities[best])
            values["probabilities"] = dict(zip(self._classes, row.probabilities.tolist(), strict=True))
        if row.health:
            values["health"] = list(row.health)
        if row.error:
            values["error"] = escape_name(row.error)
        values["path"] = escape_name(row.path)
        return encode(values).encode() + b"\n"

    def begins(self, line: bytes, number: int) -> bool:
        """Whether ``line`` is a whole one of frame ``number``."""
        return line.startswith(b'{"frame": %d, ' % number) and line.endswith(b"}\n")

    def is_bad(self, line: bytes) -> bool:
        """Whether a line is of a frame that could not be used. Quotes within a JSON text have a backslash before."""
        return b', "label": ' not in line


class Csv:
    """Rows as lines of a CSV (RFC 4180, UTF-8, line feeds). Line breaks within a cell become spaces.

    Args:
        classes: names in the order of the probabilities.
    """

    def __init__(self, classes: Sequence[str]) -> None:
        self._classes = tuple(classes)
        self.header = _csv_line(columns(classes))

    def line(self, row: Row) -> bytes:
        """A row's line. Floats with all digits: as float32 they read back bit for bit."""
        label = probability = ""
        each = [""] * len(self._classes)
        if row.probabilities is not None:
            each = [repr(value) for value in row.probabilities.tolist()]
            best = int(row.probabilities.argmax())
            label, probability = self._classes[best], each[best]
        cells = [str(row.frame), f"{row.time:.6f}", label, probability, " ".join(row.health)]
        return _csv_line([*cells, escape_name(row.error), escape_name(row.path), *each])

    def begins(self, line: bytes, number: int) -> bool:
        """Whether ``line`` is a whole one of frame ``number``."""
        return line.startswith(b"%d," % number) and line.endswith(b"\n")

    def is_bad(self, line: bytes) -> bool:
        """Whether a line is of a frame that could not be used: the label, its third cell, is empty."""
        return line.split(b",", 3)[2] == b""


def _csv_line(cells: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([" ".join(cell.splitlines()) for cell in cells])
    return text.getvalue().encode("utf-8", "backslashreplace")
