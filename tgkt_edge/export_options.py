"""Options of an export, except its input and output: their defaults and allowed values are defined here alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

from tgkt_edge.bundle.bundle import MODEL_FILES
from tgkt_edge.errors import UsageError
from tgkt_edge.evaluation import MAX_DROP

CalibrationMethod = Literal["percentile", "entropy", "minmax"]
"""How INT8 ranges are found: the range that holds all but 0.01 % of the values; the one whose 8-bit histogram loses
least information (KL divergence); or everything that was seen."""

RawInputType = Literal["sensor", "int32"]
"""Element type of raw counts that a graph takes: the sensor's own, or int32, for TensorRT, which takes no uint16."""


@dataclass(frozen=True)
class ExportOptions:
    """See :func:`tgkt_edge.api.export.export`, whose arguments these are.

    Raises:
        UsageError: (exit 2) a value that cannot be.
    """

    precisions: Sequence[str] = ("fp32",)
    calibrate: Path | None = None
    calibration_frames: int = 512
    calibration_method: str = "percentile"
    labels: Path | None = None
    max_drop: float = MAX_DROP
    verify: bool = True
    skip_bad: bool = False
    maps: bool = True
    raw: bool = False
    raw_input: RawInputType = "sensor"

    def __post_init__(self) -> None:
        for name in self.precisions:
            if name not in MODEL_FILES:
                raise UsageError(f"`precisions={name}`: unknown; expected some of {', '.join(MODEL_FILES)}")
        check_method(self.calibration_method)
        if self.raw_input not in get_args(RawInputType):
            known = ", ".join(get_args(RawInputType))
            raise UsageError(f"`raw_input={self.raw_input}`: unknown; expected one of {known}")
        if self.calibration_frames < 1:
            raise UsageError(f"`calibration_frames={self.calibration_frames}`: expected at least 1")
        if not 0 <= self.max_drop <= 1:
            raise UsageError(f"`max_drop={self.max_drop:g}`: expected a share from 0 to 1")

    @property
    def made(self) -> list[str]:
        """The precisions to make from FP32, each once."""
        return [name for name in dict.fromkeys(self.precisions) if name != "fp32"]

    @property
    def frames_argument(self) -> str:
        """What an error calls the frames that INT8 is calibrated and precisions are verified with."""
        return "`target`" if self.calibrate is None else "`calibrate`"


def check_method(method: str) -> None:
    """Raise UsageError unless ``method`` is a CalibrationMethod."""
    known = get_args(CalibrationMethod)
    if method not in known:
        raise UsageError(f"`calibration_method={method}`: unknown; expected one of {', '.join(known)}")


DEFAULTS = ExportOptions()
