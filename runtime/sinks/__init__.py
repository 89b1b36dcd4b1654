"""Where decisions go. :func:`open_sink` chooses by URI; one file a kind of sink."""

from __future__ import annotations

import difflib
import re
import sys
from collections.abc import Callable
from typing import TextIO

from tgkt_edge.errors import UsageError
from tgkt_edge.io.addresses import redacted
from tgkt_edge.runtime.sinks.base import Message, RunInfo, Sink
from tgkt_edge.runtime.sinks.csv_file import open_csv
from tgkt_edge.runtime.sinks.frames.open import open_frames
from tgkt_edge.runtime.sinks.jsonl import open_jsonl
from tgkt_edge.runtime.sinks.live.server import open_live
from tgkt_edge.runtime.sinks.mqtt import open_mqtt
from tgkt_edge.runtime.sinks.stdout import STDOUT, StdoutSink
from tgkt_edge.runtime.sinks.video import open_video

__all__ = ["KINDS", "SCHEMES", "STDOUT", "Message", "RunInfo", "Sink", "open_sink"]

SCHEMES = ("jsonl", "csv", "mqtt", "mqtts", "video", "frames", "http", "https")
KINDS = (
    "jsonl:PATH, jsonl:-, csv:PATH, mqtt://HOST/TOPIC, mqtts://HOST/TOPIC, video:PATH, frames:DIR, "
    "http://HOST:PORT"
)


def open_sink(
    uri: str,
    *,
    token: str | None = None,
    out: TextIO | None = None,
    stopping: Callable[[], bool] = lambda: False,
    update: Callable[[bool], None] | None = None,
) -> Sink:
    """A sink of the kind that ``uri`` names. Nothing is written or connected before its ``open``.

    Args:
        uri: one of ``KINDS``, with options after ``?``.
        token: what viewers of an ``http://`` sink must present; other kinds ignore it.
        out: what ``jsonl:-`` writes to; None: stdout. stopping: whether the run was told to end.
        update: what ``POST /api/reload`` of an ``http://`` sink calls, see
            :meth:`tgkt_edge.runtime.updates.updater.Requests.ask`; None: the run does not watch its bundle.

    Raises:
        UsageError: (exit 2) an unknown scheme or option, a missing part; names the nearest that is known.
        MissingDependency: (exit 6) the library of this kind is not installed.
    """
    scheme, colon, rest = uri.partition(":")
    scheme = scheme.lower()
    if not colon or not re.fullmatch(r"[a-z][a-z0-9+.-]*", scheme):
        hint = f" A file's name alone is not enough: jsonl:{uri}" if uri.endswith((".jsonl", ".json")) else ""
        raise UsageError(
            f"`sinks={redacted(uri)}`: it does not begin with a kind of sink. Known: {KINDS}.{hint}"
        )
    if scheme in ("jsonl", "csv", "video", "frames") and "://" in rest:
        raise UsageError(
            f"`sinks={redacted(uri)}`: expected the path of a {'folder' if scheme == 'frames' else 'file'}"
        )
    if scheme == "jsonl" and rest.partition("?")[0] == "-":
        return _open_stdout(rest, out, stopping)
    if scheme == "jsonl":
        return open_jsonl(rest)
    if scheme == "csv":
        return open_csv(rest)
    if scheme in ("mqtt", "mqtts"):
        return open_mqtt(uri)
    if scheme in ("http", "https"):
        return open_live(uri, token, update)
    if scheme == "video":
        return open_video(rest)
    if scheme == "frames":
        return open_frames(rest)
    near = difflib.get_close_matches(scheme, SCHEMES, n=1)
    hint = f" Did you mean '{near[0]}:'?" if near else ""
    known = f" '{scheme}'" if "@" not in uri or rest.startswith("//") else ""
    raise UsageError(f"`sinks={redacted(uri)}`: unknown kind{known}.{hint} Known: {KINDS}.")


def _open_stdout(rest: str, out: TextIO | None, stopping: Callable[[], bool]) -> Sink:
    if rest != "-":
        raise UsageError(f"`sinks={STDOUT}`: stdout has no options")
    stream: TextIO | None = sys.stdout if out is None else out
    if stream is None:
        raise UsageError("stdout is closed, where the decisions should go: open it, or give `sinks`")
    return StdoutSink(stream, stopping)
