"""``jsonl:PATH``: one JSON object a line."""

from __future__ import annotations

import json
import os

from tgkt_edge.errors import UsageError
from tgkt_edge.runtime.sinks.base import Message, Sink
from tgkt_edge.runtime.sinks.line_file import OPTIONS, LineFileSink, file_options, split_cut_line
from tgkt_edge.runtime.sinks.uri_options import Options, file_path


def open_jsonl(rest: str) -> Sink:
    """The sink of ``jsonl:rest``. Raises UsageError for a missing path or an unknown option."""
    path, _, text = rest.partition("?")
    options = Options(f"jsonl:{path}", text, OPTIONS)
    if not path:
        raise UsageError("`sinks=jsonl`: expected jsonl:PATH, or jsonl:- for stdout")
    return JsonlSink(file_path("jsonl", path), **file_options(options))


class JsonlSink(LineFileSink):
    """Every record as a JSON object on a line of its own."""

    kind = "jsonl"

    def line_of(self, message: Message) -> bytes:
        """See :meth:`LineFileSink.line_of`. Raises OSError if it is not JSON."""
        return (message.text + "\n").encode()

    def mend(self, fd: int) -> int:
        """See :meth:`LineFileSink.mend`. A last line that lacks only its line break is completed."""
        if os.fstat(fd).st_size and os.pread(fd, 1, 0) != b"{":
            raise UsageError(
                f"`sinks={self.name}`: the file exists and does not hold JSON lines, so nothing is appended to it. "
                f"Choose another path."
            )
        size, cut = split_cut_line(fd)
        if not cut:
            return size
        try:
            json.loads(cut)
        except ValueError:
            os.ftruncate(fd, size)
            return size
        os.write(fd, b"\n")
        return size + len(cut) + 1
