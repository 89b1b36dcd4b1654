"""Replaying what ``tgkt-edge record`` wrote: every frame with its recorded time, checked against its checksum."""

from __future__ import annotations

import time
import zlib
from pathlib import Path

import numpy as np

from tgkt_edge.errors import ConfigError, DataError, SourceLostError
from tgkt_edge.io import images
from tgkt_edge.io.recording_format import Entry, read_index, read_spec
from tgkt_edge.runtime.sources.base import Captured, FrameSource, opencv
from tgkt_edge.runtime.sources.video import VideoSource
from tgkt_edge.sensor import SensorSpec

_UNITS = ("unit_m", "unit_k", "offset_k", "unit_px", "offset_px", "baseline_m", "focal_px")


class RecordingSource(FrameSource):
    """The frames of a recording in order, bit for bit, with the times at which they were taken.

    A frame that is missing, damaged or fails its checksum is a :class:`Captured` with ``error``; the next one follows.

    Args:
        folder: as ``tgkt-edge record`` wrote it.
        spec: what frames must be. Its range may differ from the recorded one.
        loop: start again after the last frame, indefinitely; times then repeat, too.

    Raises:
        SourceLostError: (exit 5) it holds no frame, or was recorded with a sensor that writes its counts otherwise.
        MissingDependency: (exit 6) OpenCV is not installed.
    """

    live = False

    def __init__(self, folder: Path, spec: SensorSpec, *, loop: bool = False) -> None:
        opencv()
        try:
            self._entries = read_index(folder)
            recorded = read_spec(folder)
        except (DataError, ConfigError) as error:
            raise SourceLostError(str(error)) from error
        if recorded is not None:
            _same_sensor(folder, recorded, spec)
        self._folder, self._loop, self._spec = folder, loop, spec
        self._number = self._position = self._readable = 0
        self._video: VideoSource | None = None
        if all(entry.video is None for entry in self._entries):
            self.files = [folder / entry.file for entry in self._entries]

    def read(self) -> Captured | None:
        """The next frame; see :meth:`FrameSource.read`."""
        if self._position == len(self._entries):
            if not self._loop or not self._readable:
                return None
            self._position = self._readable = 0
            self._close_video()
        entry, number = self._entries[self._position], self._number
        self._position += 1
        self._number += 1
        captured = self._read(entry, number)
        self._readable += captured.frame is not None
        return captured

    def read_at(self, number: int) -> Captured:
        """See :meth:`FrameSource.read_at`."""
        return self._read(self._entries[number], number)

    def _read(self, entry: Entry, number: int) -> Captured:
        clock = time.perf_counter()
        path = self._folder / entry.file
        name = str(path) if entry.video is None else f"{path}:{entry.video}"
        frame, trouble = self._frame(path, entry)
        if (
            frame is not None
            and entry.crc32 is not None
            and zlib.crc32(np.ascontiguousarray(frame).data) != entry.crc32
        ):
            frame, trouble = (
                None,
                f"{name}: is not what was recorded (its checksum differs); the disk or a copy lost bits",
            )
        return Captured(frame, number, entry.time, name, trouble, time.perf_counter() - clock)

    def close(self) -> None:
        """Close the video, if there is one."""
        self._close_video()

    def _frame(self, path: Path, entry: Entry) -> tuple[np.ndarray, None] | tuple[None, str]:
        if entry.video is None:
            try:
                return images.read_frame(path), None
            except DataError as error:
                return None, str(error)
        if self._video is None:
            try:
                self._video = VideoSource(path, checked=entry.crc32 is not None)
            except SourceLostError as error:
                return None, str(error)
        captured = self._video.read()
        if captured is not None and captured.frame is None:
            return None, str(captured.error)
        if captured is None or captured.frame is None:
            return None, f"{path}: ends before frame {entry.video}; the recording was cut off"
        return captured.frame, None

    def _close_video(self) -> None:
        if self._video is not None:
            self._video.close()
            self._video = None


class Paced(FrameSource):
    """Hands out the frames of a recording at the pace at which they were taken.

    Args:
        source: any source whose frames carry the times at which they were taken; closed with this one.
    """

    live = False

    def __init__(self, source: FrameSource) -> None:
        self._source = source
        self._offset: float | None = None  # monotonic seconds minus recorded time
        self._last = 0.0

    def read(self) -> Captured | None:
        """The next frame, when it is due; see :meth:`FrameSource.read`."""
        captured = self._source.read()
        if captured is None:
            return None
        now = time.monotonic()
        if self._offset is None or captured.time < self._last:  # the first frame, or a loop began again
            self._offset = now - captured.time
        self._last = captured.time
        time.sleep(max(0.0, captured.time + self._offset - now))
        return captured

    def close(self) -> None:
        """Close the source."""
        self._source.close()


def _same_sensor(folder: Path, recorded: SensorSpec, expected: SensorSpec) -> None:
    """Refuse counts that mean something else than ``expected`` says; the range is the model's and may differ."""
    for field in ("kind", "dtype", *_UNITS, "encoding", "invalid"):
        have, want = getattr(recorded, field), getattr(expected, field)
        if have != want and not (field == "invalid" and set(have) == set(want)):
            raise SourceLostError(
                f"{folder}: recorded with {field}: {have}, but the sensor given is {field}: {want}. If the recording "
                f"is right, give `sensor={folder / 'sensor.yaml'}`; if not, correct that file."
            )
