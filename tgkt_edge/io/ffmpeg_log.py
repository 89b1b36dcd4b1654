"""FFmpeg's log within this process: setting its level, and parsing its lines.

OpenCV has its own copy of FFmpeg, with one log for the whole process. OpenCV offers only environment variables, read
before the first video, and then prints to stdout, among the records. So FFmpeg's own function is called directly:
whatever was set before, its lines then go to the C library's ``stderr``, each with its level.
"""

from __future__ import annotations

import ctypes
import os
import re
from dataclasses import dataclass
from functools import lru_cache

ERRORS, WARNINGS, DEBUG = 16, 24, 48
"""How much is logged: errors; warnings, too; everything except lines about single bytes."""

_PRINT_LEVEL = 2
_SETTINGS = ("OPENCV_FFMPEG_LOGLEVEL", "OPENCV_FFMPEG_DEBUG")
_COLOURS = re.compile(rb"\x1b\[[0-9;]*m")
_LINE = re.compile(
    rb"((?:\[[^\]@]+ @ [^\]]+\] ?)*)(?:\[(panic|fatal|error|warning|info|verbose|debug|trace)\] ?)?(.*)"
)
_SAID_ON_THE_WAY = (b"warning", b"info", b"verbose", b"debug", b"trace")


@dataclass(frozen=True)
class Line:
    """One line of the log: who wrote it ("h264"), whether as an error, and what."""

    part: bytes
    error: bool
    text: bytes


def parse(line: bytes) -> Line | None:
    """A line of FFmpeg's, also one in colours, as on a terminal; None: another library's."""
    found = _LINE.match(_COLOURS.sub(b"", line))
    names, level, text = found.groups() if found is not None else (b"", None, b"")
    if not names and level is None:
        return None
    part = names.rstrip(b"] ").rpartition(b"[")[2].partition(b" @ ")[0]
    return Line(part, level not in _SAID_ON_THE_WAY, text.strip())


def speak(level: int) -> bool:
    """Have FFmpeg write what is at least as grave as ``level``; whether it could be told.

    OpenCV has to be imported; what it would read from the environment before its first video is taken away.
    """
    for name in _SETTINGS:
        os.environ.pop(name, None)
    os.environ.setdefault("AV_LOG_FORCE_NOCOLOR", "1")
    libraries = _libraries()
    for library in libraries:
        library.av_log_set_callback(ctypes.cast(library.av_log_default_callback, ctypes.c_void_p))
        library.av_log_set_flags(_PRINT_LEVEL)
        library.av_log_set_level(level)
    return bool(libraries)


def silence() -> None:
    """Have FFmpeg write nothing from OpenCV's first video on, where nobody listens: its lines show addresses with their
    passwords. What the user chose stays."""
    os.environ.setdefault(_SETTINGS[0], "-8")


@lru_cache(maxsize=1)
def _libraries() -> tuple[ctypes.CDLL, ...]:
    """All copies of libavutil in this process: a package beside OpenCV may have brought another."""
    found = []
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="surrogateescape") as maps:
            places = {line.split(maxsplit=5)[5].strip() for line in maps if "libavutil" in line}
    except OSError:
        places = set()
    for place in sorted(places):
        try:
            library = ctypes.CDLL(place)
            library.av_log_set_callback.argtypes = [ctypes.c_void_p]
            library.av_log_default_callback  # noqa: B018 - is it there?
        except (OSError, AttributeError):
            continue
        found.append(library)
    return tuple(found)
