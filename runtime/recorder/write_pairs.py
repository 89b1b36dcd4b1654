"""From what is read to what is written: decoding, aligning and encoding in threads, writing in order."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from tgkt_edge.errors import DataError, FrameError
from tgkt_edge.notes import note
from tgkt_edge.preprocess import describe_invalid
from tgkt_edge.runtime.recorder.ahead import in_order
from tgkt_edge.runtime.recorder.aligning import PairAligner
from tgkt_edge.runtime.recorder.writer import RecordingWriter
from tgkt_edge.runtime.sources.base import Captured

T = TypeVar("T")


@dataclass(frozen=True)
class Decoded:
    """A frame or an RGB image, and the PNG or JPEG that it was read from, if reading that gives its pixels."""

    captured: Captured
    file: bytes = b""


@dataclass(frozen=True)
class _Ready:
    """A frame and its RGB image, decoded and encoded; or why they cannot be used."""

    frame: Captured | None = None
    rgb: Captured | None = None
    files: tuple[Any, Any] = (None, None)
    shares: dict[str, float] | None = None
    error: DataError | None = None


def note_blank(writer: RecordingWriter, where: str) -> None:
    """Say how many of the frames written hold no measurement at all; remove them if none holds any.

    Raises:
        DataError: none holds any.
    """
    if not writer.blank:
        return
    invalid = describe_invalid(writer.spec)
    if writer.blank == writer.written:
        writer.discard()
        raise DataError(
            f"{where}: none of {writer.written} frames holds a measurement: every pixel of each is invalid "
            f"({invalid}). Nothing was kept. Was the lens covered? Or does `sensor` name the wrong 'invalid' counts, "
            f"or `confidence` mask everything?"
        )
    note(
        f"{where}: {writer.blank} of {writer.written} frames hold no measurement: every pixel is invalid ({invalid}). "
        f"They are written as they are; adapt goes on without them with `skip_bad`."
    )


class PairWriter(Generic[T]):
    """Writes what an import reads.

    Args:
        writer: takes the frames. aligner: of pairs; None: RGB images stay as they are.
        decode: makes a frame or an RGB image of what was read. Raises DataError. Called in threads.
        where: what to call what is imported, and ``one``: a part of it, for the note on the first bad one.

    Attributes:
        bad: how many could not be used.
    """

    def __init__(
        self, writer: RecordingWriter, aligner: PairAligner | None, decode: Callable[[T, bool], Decoded],
        where: str, one: str,
    ) -> None:  # fmt: skip
        self._writer, self._aligner, self._decode = writer, aligner, decode
        self._where, self._one = where, one
        self.bad = 0

    def write(self, items: Iterable[tuple[T, T | None]]) -> None:
        """Write frames, or pairs. Raises as :meth:`RecordingWriter.add`, except for single ones that are bad."""
        for ready in in_order(self._prepare, items):
            try:
                if ready.error is not None:
                    raise ready.error
                assert ready.frame is not None
                more = None if ready.shares is None else {"aligned": ready.shares}
                self._writer.add(ready.frame, ready.rgb, more, ready.files)
                if ready.shares is not None and self._aligner is not None:
                    self._aligner.count(ready.shares)
            except (DataError, FrameError) as error:
                if not self.bad:
                    note(f"{self._where}: {self._one} is left out: {error}")
                self.bad += 1

    def _prepare(self, item: tuple[T, T | None]) -> _Ready:
        try:
            frame = self._decode(item[0], False)
            rgb = None if item[1] is None else self._decode(item[1], True)
            shares = None
            if rgb is not None and self._aligner is not None:
                aligned, shares = self._aligner.align(frame.captured, rgb.captured)
                rgb = Decoded(aligned)
            return _Ready(
                frame.captured, None if rgb is None else rgb.captured,
                (self._encoded(frame, 2), None if rgb is None else self._encoded(rgb, 3)), shares,
            )  # fmt: skip
        except DataError as error:
            return _Ready(error=error)

    def _encoded(self, decoded: Decoded, axes: int) -> Any:
        """The file to write; None: it contradicts the SensorSpec, or is written in another way."""
        pixels = decoded.captured.frame
        assert pixels is not None
        return self._writer.encoded(pixels, decoded.file) if pixels.ndim == axes else None
