"""Do the values of frames fit their SensorSpec? Refused where a network would learn nothing, noted where it is likely
that the unit, or the white level, is another one.

Only what is certain without knowing the scene is looked at: values beyond the range, and ranges that hardly anything
uses. Factors of two and less can be plausible scenes; :mod:`tgkt_edge.monitoring.value_scale` compares with other
frames.
"""

from __future__ import annotations

import numpy as np

from tgkt_edge.data.levels import FAR, NEAR, QUANTILES, TOP, Levels
from tgkt_edge.errors import DataError
from tgkt_edge.notes import note
from tgkt_edge.sensor import SensorSpec
from tgkt_edge.sensor.quantities import ZERO_C

AT_ENDS = 0.95
"""Share of valid pixels at the ends of the range from which a frame shows a network nothing."""

NOTHING = 0.9
"""Share of such frames from which a set is refused."""

MANY = 0.5
"""Share of valid pixels at the ends of the range, over all frames, from which a note is due."""

USED, HARDLY = 0.2, 0.01
"""Part of the range that nearly all values lie in: below the first a note is due, below the second it is refused."""

UNITS_M = {
    "1 m": 1.0, "1 cm": 0.01, "1/256 m": 1 / 256, "1 mm": 0.001, "0.5 mm": 0.0005, "1/4000 m": 0.00025,
    "1/5000 m": 0.0002, "0.125 mm": 0.000125, "0.1 mm": 0.0001, "0.01 mm": 0.00001,
}  # fmt: skip
"""Units in which depth cameras and data sets count, by the names that a person knows."""

UNITS_K = {
    "kelvin": (1.0, 0.0), "degrees Celsius": (1.0, ZERO_C), "0.1 K": (0.1, 0.0), "0.04 K": (0.04, 0.0),
    "0.01 K": (0.01, 0.0), "0.01 degrees Celsius": (0.01, ZERO_C), "1/64 K": (1 / 64, 0.0),
}  # fmt: skip
"""Units in which thermal cameras count: unit_k and offset_k by the names that a person knows."""

_PLAUSIBLE_C = (-20.0, 60.0)  # where the median of most scenes lies

_TYPICAL = 0.3  # of far_m, where the median of most scenes lies: 2.4 m of 8 m


def check_values(levels: Levels, spec: SensorSpec, what: str, names: tuple[str, ...] = ()) -> None:
    """Look at the (N, LENGTH) levels of a set of frames.

    Args:
        what: what a message calls the set, e.g. its flag and path.
        names: of the frames.

    Raises:
        DataError: nearly all values lie beyond the range, or in so small a part of it that frames look alike.
    """
    known = levels[np.isfinite(levels).all(1)]
    if not len(known):
        return
    low, high = spec.range
    width = high - low
    dead = known[:, NEAR] + known[:, FAR] >= AT_ENDS
    tops = known[:, len(QUANTILES) - 1]
    used = float(np.quantile(tops, 0.95) - low) / width
    unit, near, far = spec.quantity.unit, spec.quantity.low, spec.quantity.high
    spans = f"their middle 96 % are {np.median(known[:, 0]):.4g} to {np.median(tops):.4g} {unit}"
    if dead.mean() >= NOTHING:
        raise DataError(
            f"{what}: {known[:, FAR].mean():.0%} of the valid pixels lie at or beyond {far} = {high:g}, and "
            f"{known[:, NEAR].mean():.0%} at or below {near} = {low:g}; in {dead.sum()} of {len(known)} frames "
            f"nearly all of them ({spans}): a network would learn nothing. {advise(known, spec)}"
        )
    if used < HARDLY:
        raise DataError(
            f"{what}: nearly all values lie in {max(used, 0):.1%} of the range {near} = {low:g} to {far} = {high:g} "
            f"({spans}): a network would learn nothing. {advise(known, spec)}"
        )
    ends = known[:, NEAR].mean() + known[:, FAR].mean()
    if ends >= MANY:
        first = f", for example {names[int(np.flatnonzero(dead)[0])]}" if dead.any() and names else ""
        note(
            f"{what}: {ends:.0%} of the valid pixels lie at an end of the range {near} = {low:g} to {far} = {high:g} "
            f"({spans}); {dead.sum()} of {len(known)} frames show a network nothing{first}. {advise(known, spec)}"
        )
    elif used < USED:
        note(
            f"{what}: nearly all values lie in {used:.0%} of the range {near} = {low:g} to {far} = {high:g} "
            f"({spans}). {advise(known, spec)}"
        )


def advise(known: Levels, spec: SensorSpec) -> str:
    """The likely unit or level, and what to set."""
    if spec.kind == "thermal":
        return _advise_thermal(known, spec)
    if spec.kind == "nir" and spec.is_float:
        return (
            f"The largest value is {known[:, TOP].max():.4g}. Set black and white in a YAML file for `sensor` to what "
            f"the scene holds."
        )
    if spec.kind == "nir":
        bits = int(np.ceil(np.log2(max(float(known[:, TOP].max()), 1.0) + 1)))
        return (
            f"The largest count is {known[:, TOP].max():.0f}: the camera delivers {bits} bits. Set white: "
            f"{2**bits - 1}, or what a white wall gives, in a YAML file for `sensor` (kind: nir, dtype: {spec.dtype}, "
            f"black: {spec.range[0]:g})."
        )
    if spec.unit_m is None:  # a disparity
        return "Check unit_px, baseline_m and focal_px of the SensorSpec, and set near_m and far_m for the scene."
    counts = float(np.median(known[:, QUANTILES.index(0.5)])) / spec.unit_m
    typical = _TYPICAL * spec.range[1]
    size = counts * np.array(list(UNITS_M.values())) / typical
    near = sorted(zip(np.abs(np.log(np.maximum(size, 1e-9))), UNITS_M.items(), strict=True))
    if np.isclose(near[0][1][1], spec.unit_m, rtol=0.03):
        return f"If unit_m = {spec.unit_m:g} is right, set near_m and far_m in the SensorSpec to what the scene holds."
    likely = [unit for off, unit in near if off < np.log(2.5)] or [near[0][1]]
    named = " or ".join(f"{name} (unit_m: {unit:.6g})" for name, unit in likely)
    return (
        f"Likely counts of {named}, not of {spec.unit_m:g} m: set unit_m in a YAML file for `sensor`; or, if the unit "
        f"is right, near_m and far_m to what the scene holds."
    )


def _advise_thermal(known: Levels, spec: SensorSpec) -> str:
    """What the counts likely are: kelvin or degrees Celsius, or parts of them."""
    assert spec.unit_k is not None
    median = float(np.median(known[:, QUANTILES.index(0.5)]))
    count = (median + ZERO_C - (spec.offset_k or 0.0)) / spec.unit_k
    own = (spec.unit_k, spec.offset_k or 0.0)
    fitting = {
        name: known_as
        for name, known_as in UNITS_K.items()
        if _PLAUSIBLE_C[0] <= count * known_as[0] + known_as[1] - ZERO_C <= _PLAUSIBLE_C[1]
    }
    if not fitting or own in fitting.values():
        return (
            "Set cold_c and hot_c in the SensorSpec to what the scene holds, or correct unit_k and offset_k."
        )
    named = [f"{name} (unit_k: {unit:g}, offset_k: {offset:g})" for name, (unit, offset) in fitting.items()]
    return f"The counts look like {' or '.join(named)}: set these in a YAML file for `sensor`."
