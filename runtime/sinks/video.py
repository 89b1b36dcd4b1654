"""``video:PATH``: the annotated frames as a film."""

from __future__ import annotations

import errno
import math
import os
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.errors import UsageError
from tgkt_edge.optional_deps import require
from tgkt_edge.runtime.events import StateEvent
from tgkt_edge.runtime.records import Decision
from tgkt_edge.runtime.sinks import colormaps as colours
from tgkt_edge.runtime.sinks.annotate import annotate, canvas_size
from tgkt_edge.runtime.sinks.base import Message, RunInfo, Sink
from tgkt_edge.runtime.sinks.per_camera import SinkPerCamera
from tgkt_edge.runtime.sinks.rotation import rotate
from tgkt_edge.runtime.sinks.uri_options import Options, file_path

OPTIONS = ("fps", "pace", "width", "colours", "max_mb", "keep", "reserve_mb")

# Both can be played when the run was cut off; an .mp4 could not, its index comes last. OpenCV's wheels and JetPack's
# build write them; none of these has an H.264 encoder of its own.
_CODECS = {".mkv": "mp4v", ".avi": "MJPG"}
_HOLD = 2.0  # seconds that a picture is repeated for while no frame comes; a longer silence is cut out
_SIZE_EVERY = 32  # pictures between two looks at the size of the file


def open_video(rest: str) -> Sink:
    """The sink of ``video:rest``.

    Options: ``fps=10`` of the film; ``pace=time`` shows frames at the pace of their timestamps, ``pace=frames`` each
    frame once; ``width=640``; ``colours=viridis|turbo|grey``; ``max_mb=500`` and ``keep=10`` as for ``jsonl:``;
    ``reserve_mb=64`` of the disk that stay free. Cameras with names have a film each: ``run-door.mkv``.

    Raises:
        UsageError: no path, a container that does not survive a sudden end, a bad option.
        MissingDependency: (exit 6, extra ``cpu``) OpenCV is not installed.
    """
    path, _, text = rest.partition("?")
    options = Options(f"video:{path}", text, OPTIONS)
    suffix = Path(path).suffix.lower()
    if not path or suffix not in _CODECS:
        why = " An .mp4 that was cut off cannot be played." if suffix in (".mp4", ".mov") else ""
        raise UsageError(f"`sinks=video:{path}`: expected a path that ends in {' or '.join(_CODECS)}.{why}")
    pace, table = options.text("pace") or "time", options.text("colours")
    if pace not in ("time", "frames"):
        raise UsageError(f"`sinks=video:{path}`: pace={pace}: expected time or frames")
    if table is not None and table not in colours.NAMES:
        raise UsageError(f"`sinks=video:{path}`: colours={table}: expected {', '.join(colours.NAMES)}")
    require("cv2", "cpu", "`sinks=video:`")
    make = partial(
        VideoSink,
        fps=options.number("fps", 10, 0.1, 240),
        by_time=pace == "time",
        width=options.whole("width", 640, 160, 3840),
        table=table,
        max_bytes=int(options.number("max_mb", 500, 0.01, 1e6) * 1e6),
        keep=options.whole("keep", 10, 0, 10_000),
        reserve=int(options.number("reserve_mb", 64, 0, 1e6) * 1e6),
    )
    film = file_path("video", path)
    return SinkPerCamera(lambda camera, _: make(film.with_stem(f"{film.stem}-{camera}") if camera else film))


class VideoSink(Sink):
    """Writes decisions with their frames; frames that could not be used are left out.

    A sudden end costs what the library had not written yet: at most 256 kB, some seconds, of the last pictures. Before
    the disk is full the file is ended in good order, and a new one is begun when there is room again.

    Attributes:
        written: pictures in all files of this run, repeated ones included.
    """

    lossless = False

    def __init__(
        self,
        path: Path,
        *,
        fps: float = 10.0,
        by_time: bool = True,
        width: int = 640,
        table: str | None = None,
        max_bytes: int = 500_000_000,
        keep: int = 10,
        reserve: int = 64_000_000,
    ) -> None:
        self.name, self.written = f"video:{path}", 0
        self._path, self._fps, self._by_time, self._width = path, fps, by_time, width
        self._table, self._max_bytes, self._keep, self._reserve = table, max_bytes, keep, reserve
        self._info: RunInfo | None = None
        self._writer: Any = None
        self._size = (0, 0)  # of the pictures of the open file
        self._state = "live"
        self._picture: NDArray[np.uint8] | None = None  # written last
        self._begin = 0.0  # time of the frame in slot 0
        self._slot = -1  # of the picture written last: 1/fps seconds each
        self._full = False

    def open(self, info: RunInfo) -> None:
        """Put an older film of the same name aside, and write a first picture to see that it works.

        Raises:
            UsageError: (exit 2) the folder cannot be written, this OpenCV has no encoder, or an older film would be
                lost because ``keep`` is 0.
        """
        self._info = info
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._try_codec()
            if self._path.exists():
                if self._keep == 0 or not self._path.is_file():
                    raise UsageError(
                        f"`sinks={self.name}`: it exists, and keep=0 would lose it. Choose another path, or remove it."
                        if self._path.is_file()
                        else f"`sinks={self.name}`: not a file"
                    )
                rotate(self._path, self._keep)
        except OSError as error:
            raise UsageError(f"`sinks={self.name}`: cannot write there: {error.strerror or error}") from error

    def write(self, message: Message) -> None:
        """Add one decision.

        Raises:
            OSError: the disk is as full as it may get, or the file cannot be written; the picture is lost.
        """
        record, frame = message.record, message.frame
        if isinstance(record, StateEvent):
            self._state = record.state
        if not isinstance(record, Decision) or frame is None:
            return
        assert self._info is not None
        repeat = self._repeat(record.time)
        if repeat < 0:
            return
        self._see_to_room()
        if self._writer is None:
            self._size = canvas_size(frame, self._width)
            self._start()
        spec = self._info.sensor
        table = self._table or colours.default_for(spec)
        picture = annotate(frame, record, spec, table, self._size, self._state)
        before = self._picture  # a new file, begun in between, forgets it
        for _ in range(repeat if before is not None else 0):
            self._put(before)
        self._put(picture)
        self._picture = picture

    def close(self) -> None:
        """End the film."""
        self._end()

    def _repeat(self, now: float) -> int:
        """How often the last picture is shown again before this one; -1: its place is taken, leave it out."""
        if not self._by_time or not math.isfinite(now):
            return 0
        slot = round((now - self._begin) * self._fps) if self._slot >= 0 else 0
        gap = slot - self._slot - 1
        if self._slot < 0 or gap > _HOLD * self._fps or slot < self._slot - _HOLD * self._fps:
            # The first; or a silence, or a clock that was set: go on from here.
            self._slot = max(self._slot + 1, 0)
            self._begin = now - self._slot / self._fps
            return 0
        if gap < 0:
            return -1
        self._slot = slot
        return gap

    def _see_to_room(self) -> None:
        free = _free(self._path.parent)
        if free >= self._reserve * (1.25 if self._full else 1.0):
            self._full = False
            return
        self._full = True
        self._end()
        raise OSError(
            errno.ENOSPC,
            f"{self._path}: {free / 1e6:.0f} MB are free, {self._reserve / 1e6:.0f} MB are reserved; "
            f"the film continues in a new file when there is room",
        )

    def _start(self) -> None:
        if self._path.exists():
            rotate(self._path, self._keep)
        self._writer = _writer(self._path, self._fps, self._size)
        if not self._writer.isOpened():
            self._writer = None
            raise OSError(errno.EIO, f"{self._path}: cannot be written")
        self._picture = None

    def _put(self, picture: NDArray[np.uint8] | None) -> None:
        self._writer.write(picture)
        self.written += 1
        if self.written % _SIZE_EVERY == 0 and self._path.exists():
            if self._path.stat().st_size >= self._max_bytes:
                self._end()
                self._start()
        elif self.written % _SIZE_EVERY == 0:  # somebody removed it
            self._end()
            self._start()

    def _end(self) -> None:
        writer, self._writer = self._writer, None
        if writer is not None:
            writer.release()

    def _try_codec(self) -> None:
        with tempfile.TemporaryDirectory(prefix=".tgkt-edge-", dir=self._path.parent) as folder:
            probe = Path(folder) / f"probe{self._path.suffix}"
            writer = _writer(probe, self._fps, (64, 64))
            opened = writer.isOpened()
            if opened:
                writer.write(np.zeros((64, 64, 3), np.uint8))
            writer.release()
            if not opened or not probe.is_file() or not probe.stat().st_size:
                codec = _CODECS[self._path.suffix.lower()]
                raise UsageError(
                    f"`sinks={self.name}`: this OpenCV cannot write {codec} into {self._path.suffix}, or the disk is "
                    f"full. Every OpenCV writes .avi; pip's opencv-python-headless writes both."
                )


def _writer(path: Path, fps: float, size: tuple[int, int]) -> Any:
    cv2 = require("cv2", "cpu", "`sinks=video:`")
    return cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*_CODECS[path.suffix.lower()]), fps, size)


def _free(folder: Path) -> int:
    """Bytes that this user may still write there."""
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
