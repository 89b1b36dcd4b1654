"""The pinhole camera that took the frames, as its maker or a calibration gives it."""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

from tgkt_edge.errors import ConfigError

_COEFFICIENTS = (0, 4, 5, 8, 12, 14)  # OpenCV's distortion models


@dataclass(frozen=True)
class Intrinsics:
    """Focal lengths and principal point of a camera, for frames of the SensorSpec's ``size``.

    Attributes:
        fx, fy: focal lengths, pixels.
        cx, cy: principal point, pixels; the centre of the top left pixel is (0, 0).
        distortion: k1, k2, p1, p2[, k3[, k4, k5, k6[, s1, s2, s3, s4[, tx, ty]]]] in OpenCV's order; empty: none.
        model: name of the distortion model as its source calls it, e.g. ROS's "plumb_bob"; None: OpenCV's.
    """

    fx: float
    fy: float
    cx: float
    cy: float
    distortion: tuple[float, ...] = ()
    model: str | None = None

    def __post_init__(self) -> None:
        for name in ("fx", "fy", "cx", "cy"):
            value = getattr(self, name)
            if not _is_number(value) or (name[0] == "f" and not value > 0):
                expected = "a positive number of pixels" if name[0] == "f" else "a finite number of pixels"
                raise ConfigError(f"sensor: intrinsics: {name} = {value!r}: expected {expected}")
        if not all(_is_number(value) for value in self.distortion):
            raise ConfigError(
                f"sensor: intrinsics: distortion = {self.distortion!r}: expected finite numbers"
            )
        if self.model is None and len(self.distortion) not in _COEFFICIENTS:
            raise ConfigError(
                f"sensor: intrinsics: distortion has {len(self.distortion)} numbers: expected "
                f"{', '.join(map(str, _COEFFICIENTS[1:]))} in OpenCV's order, or name the 'model'"
            )
        if self.model is not None and not isinstance(self.model, str):
            raise ConfigError(f"sensor: intrinsics: model = {self.model!r}: expected a name")

    def to_dict(self) -> dict[str, Any]:
        """Plain values for YAML and JSON; fields that say nothing are left out."""
        values = dataclasses.asdict(self)
        values["distortion"] = list(self.distortion)
        return {key: value for key, value in values.items() if value not in (None, [])}

    @classmethod
    def from_dict(cls, values: Any) -> Intrinsics:
        """Inverse of :meth:`to_dict`. Raises ConfigError for anything else."""
        names = [field.name for field in dataclasses.fields(cls)]
        if not isinstance(values, dict):
            raise ConfigError(f"sensor: intrinsics = {values!r}: expected fx, fy, cx, cy")
        for key in values:
            if key not in names:
                raise ConfigError(
                    f"sensor: intrinsics: unknown field '{key}'. Known fields: {', '.join(names)}."
                )
        missing = [name for name in names[:4] if name not in values]
        if missing:
            raise ConfigError(f"sensor: intrinsics: {', '.join(missing)} missing: expected fx, fy, cx, cy")
        distortion = values.get("distortion", ())
        if not isinstance(distortion, list | tuple):
            raise ConfigError(f"sensor: intrinsics: distortion = {distortion!r}: expected a list of numbers")
        return cls(**{**values, "distortion": tuple(distortion)})


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
