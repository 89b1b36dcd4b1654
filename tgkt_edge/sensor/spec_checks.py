"""Is a SensorSpec one? Every contradiction is named with the field to change."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from tgkt_edge.errors import ConfigError
from tgkt_edge.sensor.intrinsics import Intrinsics
from tgkt_edge.sensor.quantities import DISPARITY, QUANTITIES

_MAY_BE_LEFT_OUT = ("offset_px", "offset_k")


def check_spec(spec: Any) -> None:
    """Raise ConfigError, naming the field, where ``spec`` contradicts itself.

    Args:
        spec: a SensorSpec, whose module imports this one.
    """
    _choice("kind", spec.kind, tuple(QUANTITIES))
    _choice("dtype", spec.dtype, ("uint8", "uint16", "float32", "float16"))
    _choice("encoding", spec.encoding, ("linear", "sunrgbd", "disparity"))
    if spec.encoding == "disparity" and spec.kind != "depth":
        raise ConfigError(f"sensor: encoding disparity has no meaning for a {spec.kind} sensor; remove it")
    _numbers(spec)
    _range(spec)
    if spec.encoding == "sunrgbd" and spec.dtype != "uint16":
        raise ConfigError("sensor: encoding sunrgbd rotates 16 bits: it needs dtype uint16")
    _invalid(spec)
    if spec.pixel_format is not None and not isinstance(spec.pixel_format, str):
        raise ConfigError(f"sensor: pixel_format = {spec.pixel_format!r}: expected a name such as Y16 or Z16")
    if isinstance(spec.size, str):
        _choice("size", spec.size, ("any",))
    elif spec.size is not None:
        ok = len(spec.size) == 2 and all(isinstance(n, int) and n > 0 for n in spec.size)
        if not ok:
            raise ConfigError(
                f"sensor: size = {spec.size!r}: expected [width, height] in pixels, any, or nothing"
            )
    if spec.intrinsics is not None and not isinstance(spec.intrinsics, Intrinsics):
        raise ConfigError(f"sensor: intrinsics = {spec.intrinsics!r}: expected fx, fy, cx, cy")


def _numbers(spec: Any) -> None:
    """The fields of the kind and of its encoding are numbers, and no others are there."""
    disparity = spec.encoding == "disparity"
    for kind, quantity in QUANTITIES.items():
        for name in quantity.fields:
            value = getattr(spec, name)
            of_disparity = name in (*DISPARITY, "offset_px")
            if kind != spec.kind:
                if value is not None:
                    raise ConfigError(f"sensor: {name} has no meaning for a {spec.kind} sensor; remove it")
            elif (name == "unit_m" and disparity) or (of_disparity and not disparity):
                if value is not None:
                    raise ConfigError(
                        f"sensor: {name} has no meaning with encoding {spec.encoding}; remove it"
                    )
            elif value is None and name in _MAY_BE_LEFT_OUT:
                continue
            elif isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ConfigError(
                    f"sensor: {name} = {value!r}: a {spec.kind} sensor needs a finite number here"
                )
    positive = {
        "unit_m": "metres per count",
        "unit_px": "pixels per count",
        "baseline_m": "metres",
        "focal_px": "pixels",
        "unit_k": "kelvin per count",
    }
    for name, unit in positive.items():
        value = getattr(spec, name)
        if value is not None and not value > 0:
            raise ConfigError(f"sensor: {name} = {value}: expected a positive number of {unit}")


def _range(spec: Any) -> None:
    quantity, (low, high) = spec.quantity, spec.range
    if not quantity.least <= low < high:
        raise ConfigError(
            f"sensor: range {low} to {high}: expected {quantity.least:g} <= {quantity.low} < {quantity.high}"
        )


def _invalid(spec: Any) -> None:
    if spec.is_float:
        for value in spec.invalid:
            if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
                raise ConfigError(
                    f"sensor: invalid = {value!r}: expected finite numbers ({spec.dtype}); NaN and infinities are "
                    f"never measurements"
                )
        return
    top = int(np.iinfo(spec.numpy_dtype).max)
    for value in spec.invalid:
        if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value <= top:
            raise ConfigError(
                f"sensor: invalid = {value!r}: expected raw counts from 0 to {top} ({spec.dtype})"
            )


def _choice(name: str, value: object, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigError(f"sensor: {name} = {value!r}: expected one of {', '.join(allowed)}")
