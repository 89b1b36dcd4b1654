"""The quantities that sensors measure: the names of their fields, their units, and the bounds of their ranges."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

Kind = Literal["depth", "nir", "thermal"]

DTYPES: dict[str, np.dtype[Any]] = {
    name: np.dtype(name) for name in ("uint8", "uint16", "float32", "float16")
}
"""Of raw frames."""

ZERO_C = 273.15
"""Kelvin at 0 degrees Celsius."""


@dataclass(frozen=True)
class Quantity:
    """One kind of sensor.

    Attributes:
        low, high: the fields of a SensorSpec that hold the range, in ``unit``.
        unit: of the range as messages name it: "m", "counts", "°C".
        suffix: what follows a value shown to a person: " m", "", " °C".
        least: what the range cannot go below.
        optional: further fields of a SensorSpec that have a meaning for this kind only.
    """

    low: str
    high: str
    unit: str
    suffix: str
    least: float
    optional: tuple[str, ...] = ()

    @property
    def fields(self) -> tuple[str, ...]:
        """All fields that have a meaning for this kind only."""
        return (*self.optional, self.low, self.high)


QUANTITIES: dict[str, Quantity] = {
    "depth": Quantity(
        "near_m", "far_m", "m", " m", 0.0, ("unit_m", "unit_px", "offset_px", "baseline_m", "focal_px")
    ),
    "nir": Quantity("black", "white", "counts", "", 0.0),
    "thermal": Quantity("cold_c", "hot_c", "°C", " °C", -ZERO_C, ("unit_k", "offset_k")),
}

DISPARITY = ("unit_px", "baseline_m", "focal_px")
"""Fields that a depth sensor needs in place of ``unit_m`` where its counts are disparities."""
