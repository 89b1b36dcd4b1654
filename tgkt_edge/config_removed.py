"""Options of adapt that earlier versions had: what a configuration that still names one is answered, and which value
of each left training as it is now."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

RENAMED = {"tgmb.optimiser": "tgmb.optimizer"}
"""Old key -> the same option's key today."""

_ROUNDS = (
    "a second round of TGMB and TGKT took twice the time and was no better (benchmarks/results/ablations.md)"
)
_UNPROVEN = "no measurement showed that it helps"

REMOVED: dict[str, tuple[tuple[Any, ...], str]] = {
    "rounds": ((1,), _ROUNDS),
    "tgmb.guide": ((), _ROUNDS),  # without a second round its value meant nothing
    "tgkt.bns": ((0,), "batch-norm matching took time and brought nothing (benchmarks/results/ablations.md)"),
    "tgkt.ema": ((0,), _UNPROVEN),
    "tgkt.kd_paired": ((0,), _UNPROVEN),
    "tgkt.kd_warmup": ((0,), _UNPROVEN),
    "tgkt.pseudo_balance": ((0,), _UNPROVEN),
    "tgkt.pseudo_from": (("student",), _UNPROVEN),
    "tgkt.views": ((0,), f"{_UNPROVEN}, and a resumed run was not the same to the bit"),
}
"""Old key -> the values that switched it off, none if it did nothing of its own; and why it is gone."""

REMOVED_VALUES = {("tgkt.kd_frames", "confident"): _UNPROVEN}
"""Key and the value that it no longer takes -> why."""


def explain_key(key: str) -> str | None:
    """What to tell somebody who gives this key (``section.name``); None if no version ever had it."""
    if key in RENAMED:
        return f"the option '{key}' is called '{RENAMED[key]}' in this version. Write that."
    if key in REMOVED:
        return f"the option '{key}' was removed in this version: {REMOVED[key][1]}. Leave it out."
    return None


def explain_value(key: str, value: Any) -> str | None:
    """What to tell somebody who gives a known key a value that only earlier versions took; else None."""
    why = REMOVED_VALUES.get((key, value)) if isinstance(value, str) else None
    return None if why is None else f"this value was removed in this version: {why}. Leave the option out."


def removed_options(config: Mapping[str, Any]) -> list[str]:
    """The removed options that an earlier version's configuration had switched on, each as ``key = value``.

    Args:
        config: as config.yaml of a run has it: sections of options.
    """
    found = []
    for key, (off, _) in REMOVED.items():
        values, name = _holder(config, key)
        if off and name in values and values[name] not in off:
            found.append(f"{key} = {values[name]}")
    for key, value in REMOVED_VALUES:
        values, name = _holder(config, key)
        if values.get(name) == value:
            found.append(f"{key} = {value}")
    return found


def without_removed(config: Mapping[str, Any]) -> dict[str, Any]:
    """An earlier version's configuration in today's keys. A removed option is left out, a removed value too: the
    section's default takes its place."""
    today = {key: dict(value) if isinstance(value, Mapping) else value for key, value in {**config}.items()}
    for key in REMOVED:
        values, name = _holder(today, key)
        values.pop(name, None)
    for key, value in REMOVED_VALUES:
        values, name = _holder(today, key)
        if values.get(name) == value:
            del values[name]
    for old, new in RENAMED.items():
        (values, name), (_, today_name) = _holder(today, old), _holder(today, new)
        if name in values:
            values.setdefault(today_name, values.pop(name))
    return today


def _holder(config: Mapping[str, Any], key: str) -> tuple[dict[str, Any], str]:
    """The section that ``key`` lies in and the key's name there; an empty section where there is none."""
    section, dot, name = key.rpartition(".")
    values = config.get(section) if dot else config
    return (values if isinstance(values, dict) else {}), name
