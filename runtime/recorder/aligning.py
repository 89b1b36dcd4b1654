"""Aligning the RGB halves of pairs while they are written."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from tgkt_edge.alignment.rig import Rig, load_rig
from tgkt_edge.alignment.warp import ColorAligner, describe_shares, mean_shares
from tgkt_edge.notes import note
from tgkt_edge.runtime.recorder.writer import RecordingWriter
from tgkt_edge.runtime.sources.base import Captured
from tgkt_edge.sensor import SensorSpec
from tgkt_edge.system.malloc import keep_freed_memory

_MUCH = 0.2  # share of pixels outside the RGB image that is worth a word


class PairAligner:
    """Warps the RGB half of each pair into the view of its frame, and sums up what became of the pixels.

    Args:
        rig: the two cameras, as far as they are known.
        spec: what the frames mean.
        where: what to call the two cameras in messages.

    Raises:
        DataError: (exit 2) something is not known; it is named. UsageError: (exit 2) ``spec`` is not of depth.
    """

    def __init__(self, rig: Rig, spec: SensorSpec, where: str) -> None:
        self._aligner, self._where, self._spec = ColorAligner(rig, spec, where), where, spec
        keep_freed_memory()  # each pair wants the same arrays again
        self._shares: list[dict[str, float]] = []

    def align(self, frame: Captured, rgb: Captured) -> tuple[Captured, dict[str, float]]:
        """The RGB half in the view of the frame, and what became of its pixels. Called in any thread.

        Raises:
            FrameError: the frame contradicts the SensorSpec, or either has a size that its camera is not known for.
        """
        assert frame.frame is not None
        assert rgb.frame is not None
        self._spec.check(frame.frame, frame.name)
        found = self._aligner.align(rgb.frame, frame.frame, frame.name)
        return dataclasses.replace(rgb, frame=found.pixels), found.to_dict()

    def add(self, writer: RecordingWriter, frame: Captured, rgb: Captured) -> None:
        """Align a pair, and write it. Raises as :meth:`align` and :meth:`RecordingWriter.add`."""
        aligned, shares = self.align(frame, rgb)
        writer.add(frame, aligned, {"aligned": shares})
        self.count(shares)

    def count(self, shares: dict[str, float]) -> None:
        """A pair was written."""
        self._shares.append(shares)

    def shares(self) -> dict[str, float] | None:
        """The mean shares of all pairs; notes where much lies outside the RGB image."""
        mean = mean_shares(self._shares)
        if mean is not None and mean["outside"] > _MUCH:
            note(
                f"{self._where}: {describe_shares(mean)}: the depth camera sees wider than the color camera. Frames of "
                f"a depth mode with a narrower view fit better."
            )
        return mean


def known_rig(spec: SensorSpec, extrinsics: Path | None, recorded: Rig) -> Rig:
    """What is known of two cameras: a person's file before the sensor file, and that before what ``recorded`` says.

    Raises:
        ConfigError: the file cannot be used.
    """
    given = load_rig(extrinsics) if extrinsics is not None else Rig()
    size = spec.size if isinstance(spec.size, tuple) else None
    return given.over(Rig(depth=spec.intrinsics, depth_size=size)).over(recorded)
