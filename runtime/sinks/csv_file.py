"""``csv:PATH``: one row a frame, for spreadsheets and data frames."""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Sequence
from pathlib import Path

from tgkt_edge.errors import UsageError
from tgkt_edge.runtime.output.metrics import AGE, STAGES
from tgkt_edge.runtime.records import BadFrame, Decision
from tgkt_edge.runtime.sinks.base import Message, RunInfo, Sink
from tgkt_edge.runtime.sinks.line_file import OPTIONS, LineFileSink, file_options, split_cut_line
from tgkt_edge.runtime.sinks.uri_options import Options, file_path

_STAGES = (*STAGES, AGE)
_DRIFT = ("input", "classes", "scale")
COLUMNS = (
    "run",
    "time",
    "frame",
    "source",
    "label",
    "probability",
    "health",
    "error",
    *(f"{stage}_ms" for stage in _STAGES),
    *(f"drift_{of}" for of in _DRIFT),
)
"""The first line of each file. ``health``: flags that are on, with spaces between. What a row lacks is empty."""

CAMERA = "camera"
"""The second column, behind the run, where cameras have names."""


def open_csv(rest: str) -> Sink:
    """The sink of ``csv:rest``. Raises UsageError for a missing path or an unknown option."""
    path, _, text = rest.partition("?")
    options = Options(f"csv:{path}", text, OPTIONS)
    if not path or path == "-":
        raise UsageError(f"`sinks=csv:{path}`: expected csv:PATH")
    return CsvSink(file_path("csv", path), **file_options(options))


class CsvSink(LineFileSink):
    """A row for every decision and every bad frame (RFC 4180, UTF-8, line feeds); events are left out.

    A row is one line: line breaks within a name or an error become spaces.
    """

    kind = "csv"

    def __init__(
        self, path: Path, *, max_bytes: int = 100_000_000, keep: int = 10, buffer: int = 10_000
    ) -> None:
        super().__init__(path, max_bytes=max_bytes, keep=keep, buffer=buffer)
        self.header = _line(COLUMNS)
        self._run, self._named = "", False

    def open(self, info: RunInfo) -> None:
        """See :meth:`LineFileSink.open`."""
        self._run, self._named = info.run, bool(info.cameras)
        if self._named:
            self.header = _line((COLUMNS[0], CAMERA, *COLUMNS[1:]))
        super().open(info)

    def line_of(self, message: Message) -> bytes:
        """See :meth:`LineFileSink.line_of`."""
        record = message.record
        if isinstance(record, BadFrame):
            label, probability, error, ms, drift = "", "", record.error, {}, {}
        elif isinstance(record, Decision):
            label, probability, error = record.label, repr(float(record.probability)), ""
            ms, drift = dict(record.ms), dict(record.drift or {})
        else:
            return b""
        return _line(
            (
                self._run,
                *([record.camera] if self._named else []),
                f"{record.time:.6f}",
                str(record.frame),
                record.source,
                label,
                probability,
                " ".join(record.health),
                error,
                *(f"{ms[stage]:.3f}" if stage in ms else "" for stage in _STAGES),
                *(f"{drift[of]:g}" if of in drift else "" for of in _DRIFT),
            )
        )

    def mend(self, fd: int) -> int:
        """See :meth:`LineFileSink.mend`. A last line without its end is removed: its last number may be cut."""
        begin = os.pread(fd, len(self.header), 0)
        if not self.header.startswith(begin):
            what = "of this version" + (
                f" (with '{CAMERA}', since cameras have names)" if self._named else ""
            )
            raise UsageError(
                f"`sinks={self.name}`: the file exists and does not begin with the columns {what}, so nothing "
                f"is appended to it. Choose another path."
            )
        size, cut = split_cut_line(fd)
        if cut:
            os.ftruncate(fd, size)
        return size


def _line(cells: Sequence[str]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow([" ".join(cell.splitlines()) for cell in cells])
    return text.getvalue().encode("utf-8", "backslashreplace")
