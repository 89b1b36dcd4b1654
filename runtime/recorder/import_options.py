"""Options of ``tgkt-edge data import`` that recordings and files share, and the summary of what it wrote."""

from __future__ import annotations

import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from tgkt_edge.alignment.warp import describe_shares
from tgkt_edge.errors import UsageError
from tgkt_edge.runtime.recorder.writer import FORMATS


@dataclass(frozen=True)
class ImportOptions:
    """What is imported, and how it is written.

    Attributes:
        topic: of the sensor's frames: a recording's topic, or a sub-folder; None: the only one that fits.
        sensor: preset or YAML file; None: what the recording says.
        pair: whether pairs are written; ``rgb_topic`` implies it.
        rgb_topic: of the RGB images of the pairs, as ``topic``.
        max_skew_ms: milliseconds that the halves of a pair may lie apart.
        form: "png" or "ffv1", as of ``record``.
        align: warp RGB images into the depth camera's view; implies pairs.
        extrinsics: YAML file of what is known of the two cameras; see :func:`tgkt_edge.alignment.rig.load_rig`.

    Raises:
        UsageError: a value is none of these, or two contradict each other.
    """

    topic: str | None = None
    sensor: str | None = None
    pair: bool = False
    rgb_topic: str | None = None
    max_skew_ms: float = 20.0
    form: str = "png"
    align: bool = False
    extrinsics: Path | None = None

    def __post_init__(self) -> None:
        if self.form not in FORMATS:
            raise UsageError(f"`form={self.form}`: expected {' or '.join(FORMATS)}")
        if not 0 < self.max_skew_ms < math.inf:
            raise UsageError(f"`max_skew_ms={self.max_skew_ms:g}`: expected a finite number above 0")
        if self.pairs and self.form != "png":
            raise UsageError(
                "`pair`: pairs are written as PNG, which 'tgkt-edge adapt --paired' reads. Leave `form` out."
            )
        if self.extrinsics is not None and not self.align:
            raise UsageError(f"`extrinsics={self.extrinsics}` says how to `align`: give both, or neither")

    @property
    def pairs(self) -> bool:
        """Whether pairs are written, not frames alone."""
        return self.pair or self.align or self.rgb_topic is not None


@dataclass(frozen=True)
class ImportSummary:
    """What was written.

    Attributes:
        output: the folder. topic, rgb_topic: what was read. frames: written; with ``rgb_topic``, pairs.
        bad: messages or files that hold no picture, or contradict the SensorSpec. alone: frames without an RGB image.
        problem: why the recording could not be read to its end; empty: it could.
        aligned: with ``align``: mean shares of the pixels whose own depth says their color, that are filled, and that
            lie outside the RGB image.
        blank: of the frames written, those that hold no measurement at all.
    """

    output: Path
    topic: str
    rgb_topic: str | None
    frames: int
    bad: int
    alone: int
    problem: str
    aligned: dict[str, float] | None = None
    blank: int = 0

    def text(self) -> str:
        """For people, one line."""
        more = f", {self.bad} bad" if self.bad else ""
        more += f", {self.alone} without a partner" if self.alone else ""
        more += f", {self.blank} without a measurement" if self.blank else ""
        what = "pairs" if self.rgb_topic is not None else "frames"
        more += f"; {describe_shares(self.aligned)}" if self.aligned is not None else ""
        return f"{self.output}: {self.frames} {what} of {self.topic}{more}"

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        return {**asdict(self), "output": str(self.output)}
