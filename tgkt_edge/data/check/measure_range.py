"""``tgkt-edge data range``: the range of a SensorSpec by frames, where a person asks for it; fixed from then on."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from tgkt_edge.data.check.gather import read_target
from tgkt_edge.data.levels import QUANTILES
from tgkt_edge.errors import DataError, UsageError
from tgkt_edge.io.atomic import write_text
from tgkt_edge.optional_deps import require
from tgkt_edge.sensor import SensorSpec, load_sensor

_FEW = 0.02  # of the frames, at either end, that do not count
_MARGIN = 0.1  # of what is between them, on either side
_STEPS = 5  # numbers are round to a power of ten that is at most a fifth of it


@dataclass(frozen=True)
class RangeReport:
    """What was measured.

    Attributes:
        sensor: the SensorSpec with the range.
        frames: that were looked at. bad: that could not be used.
        low, high: metres, counts or degrees Celsius between which 96 % of the valid pixels lie in 96 % of the frames.
        out: the file that was written; None: none.
    """

    sensor: SensorSpec
    frames: int
    bad: int
    low: float
    high: float
    out: Path | None

    def text(self) -> str:
        """For people."""
        quantity = self.sensor.quantity
        (low, high), bad = self.sensor.range, f", {self.bad} bad" if self.bad else ""
        where = f"{self.out}: " if self.out is not None else ""
        return (
            f"{where}{quantity.low}: {low:g}, {quantity.high}: {high:g}; nearly all values of {self.frames} "
            f"frames{bad} lie between {self.low:.4g} and {self.high:.4g}{quantity.suffix}"
        )

    def to_dict(self) -> dict[str, Any]:
        """For JSON."""
        out = None if self.out is None else str(self.out)
        figures = {"frames": self.frames, "bad": self.bad, "low": self.low, "high": self.high}
        return {"sensor": self.sensor.to_dict(), **figures, "out": out}


def measure_range(frames: Path, sensor: str | SensorSpec, out: Path | None = None) -> RangeReport:
    """Choose ``near_m`` and ``far_m``, ``black`` and ``white``, or ``cold_c`` and ``hot_c`` by frames of the task.

    Args:
        frames: as of ``adapt --target``. sensor: preset, YAML file or SensorSpec; its range does not count.
        out: a sensor file to write, with the new range; None: none.

    Returns:
        A range in round numbers that holds all but the outermost values, with a tenth of room on either side.

    Raises:
        DataError: (exit 2) no frame can be used, or all values are one. ConfigError: (exit 2) ``sensor`` is no sensor.
        UsageError: (exit 2) ``out`` exists. TgktEdgeError: (exit 1) it cannot be written.
    """
    require("cv2", "cpu", "Measuring a range")
    if out is not None and out.exists():
        raise UsageError(f"`out={out}` already exists. Choose another name, or remove it.")
    spec = load_sensor(sensor) if isinstance(sensor, str) else sensor
    halves, bad = read_target(frames, spec, "`frames`")
    if not halves:
        why = f": {bad[0].reason}" if bad else ""
        raise DataError(f"{frames}: none of {len(bad)} frames can be used{why}")
    levels = np.array([half.levels for _, half in halves])
    levels = levels[np.isfinite(levels).all(1)]
    if not len(levels):
        raise DataError(f"{frames}: no pixel of {len(halves)} frames is a measurement")
    low = float(np.quantile(levels[:, 0], _FEW))
    high = float(np.quantile(levels[:, len(QUANTILES) - 1], 1 - _FEW))
    if not high > low:
        raise DataError(
            f"{frames}: nearly all values are {low:g}{spec.quantity.suffix}: no range can be chosen by them"
        )
    chosen = _with_range(spec, low, high)
    if out is not None:
        import yaml

        write_text(out, yaml.safe_dump(chosen.to_dict(), sort_keys=False))
    return RangeReport(chosen, len(levels), len(bad), low, high, out)


def _with_range(spec: SensorSpec, low: float, high: float) -> SensorSpec:
    quantity, room = spec.quantity, _MARGIN * (high - low)
    step = 10.0 ** math.floor(math.log10((high - low) / _STEPS))
    if spec.kind == "nir" and not spec.is_float:
        step = max(1.0, step)
    first = max(quantity.least, math.floor((low - room) / step) * step)
    last = math.ceil((high + room) / step) * step
    if spec.kind == "nir" and not spec.is_float:
        last = min(last, float(np.iinfo(spec.numpy_dtype).max))
    digits = max(0, -math.floor(math.log10(step)))
    bounds: dict[str, Any] = {quantity.low: round(first, digits), quantity.high: round(last, digits)}
    return replace(spec, **bounds)
