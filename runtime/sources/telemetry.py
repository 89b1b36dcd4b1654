"""``...?telemetry=footer``: frames of thermal cameras without their rows of telemetry."""

from __future__ import annotations

import dataclasses
import re

from tgkt_edge.errors import SourceLostError, UsageError
from tgkt_edge.runtime.sources.base import Captured, FrameSource, StreamFormat, check_first
from tgkt_edge.sensor import SensorSpec
from tgkt_edge.sensor.telemetry import telemetry_rows, with_telemetry

PLACES = ("header", "footer")

_WORD = re.compile(r"(.*)\?telemetry=([^&?]*)", re.DOTALL)


def split_telemetry(uri: str) -> tuple[str, str | None]:
    """The source that ``uri`` names, and where its telemetry is; None: it says nothing.

    Raises:
        UsageError: (exit 2) it is in no place where telemetry can be.
    """
    found = _WORD.fullmatch(uri)
    if found is None:
        return uri, None
    if found[2] not in PLACES:
        raise UsageError(f"`camera=...?telemetry={found[2]}`: expected {' or '.join(PLACES)}")
    return found[1], found[2]


def widened(spec: SensorSpec, pinned: StreamFormat | None) -> tuple[SensorSpec, StreamFormat | None]:
    """What to ask of a camera that adds telemetry to the frames that ``spec`` says."""
    if isinstance(spec.size, tuple):
        spec = spec.with_size(*with_telemetry(spec.size))
    else:
        spec = dataclasses.replace(spec, size="any")  # what arrives is looked at without its telemetry
    if pinned is not None:
        width, height = with_telemetry((pinned.width, pinned.height))
        pinned = dataclasses.replace(pinned, width=width, height=height)
    return spec, pinned


class TelemetryCut(FrameSource):
    """A source whose frames end, or begin, with rows that are no picture: these are cut off.

    Args:
        source: closed with this one. spec: what frames are without telemetry. place: "header" or "footer".

    Raises:
        SourceLostError: (exit 5) the source's frames have a size at which no telemetry is known.
    """

    def __init__(self, source: FrameSource, spec: SensorSpec, place: str, name: str) -> None:
        self._source, self._spec, self._place, self._name = source, spec, place, name
        self.live, self.rig = source.live, source.rig
        self.format = source.format
        if source.format is not None:
            rows = self._rows((source.format.width, source.format.height))
            self.format = dataclasses.replace(source.format, height=source.format.height - rows)

    def read(self) -> Captured | None:
        """The next frame; see :meth:`FrameSource.read`."""
        captured = self._source.read()
        if captured is None or captured.frame is None or captured.frame.ndim != 2:
            return captured
        frame = captured.frame
        rows = self._rows((frame.shape[1], frame.shape[0]))
        cut = frame[rows:] if self._place == "header" else frame[:-rows]
        if captured.number == 0:
            check_first(cut, self._spec, captured.name, "Describe what does arrive with `sensor`.")
        return dataclasses.replace(captured, frame=cut)

    def close(self) -> None:
        """Close the source."""
        self._source.close()

    def _rows(self, size: tuple[int, int]) -> int:
        found = telemetry_rows(size)
        if found is None:
            raise SourceLostError(
                f"{self._name}: {size[0]}x{size[1]} pixels, at which no rows of telemetry are known (Lepton 80x63 and "
                f"160x122, Boson 320x258 and 640x514). Leave telemetry={self._place} out, or switch telemetry on."
            )
        return found[1]
