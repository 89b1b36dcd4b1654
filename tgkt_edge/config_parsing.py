"""Plain values (YAML, ``--set``) to frozen dataclasses: unknown keys and values of the wrong type are refused."""

from __future__ import annotations

import dataclasses
import difflib
import math
import types
import typing
from typing import Any, Literal, TypeVar

from tgkt_edge.config_removed import explain_key, explain_value
from tgkt_edge.errors import ConfigError

C = TypeVar("C")


def from_dict(cls: type[C], values: Any, where: str, prefix: str = "") -> C:
    """Build a dataclass from plain values. Sub-dictionaries fill nested dataclasses.

    Raises:
        ConfigError: an unknown key (with the nearest known one), a value of the wrong type, or a bad value.
    """
    if not isinstance(values, dict):
        raise ConfigError(
            f"{where}: {prefix.removesuffix('.') or 'the configuration'} is {values!r}, expected key: value pairs"
        )
    hints = typing.get_type_hints(cls)
    arguments: dict[str, Any] = {}
    for key, value in values.items():
        if key not in hints:
            earlier = explain_key(f"{prefix}{key}")
            if earlier is not None:
                raise ConfigError(f"{where}: {earlier}")
            near = difflib.get_close_matches(str(key), hints, n=1)
            hint = f"Did you mean '{prefix}{near[0]}'?" if near else f"Known: {', '.join(hints)}."
            raise ConfigError(f"{where}: unknown key '{prefix}{key}'. {hint}")
        hint_type = hints[key]
        if dataclasses.is_dataclass(hint_type):
            arguments[key] = from_dict(typing.cast(type, hint_type), value, where, f"{prefix}{key}.")
        else:
            earlier = explain_value(f"{prefix}{key}", value)
            if earlier is not None:
                raise ConfigError(f"{where}: {prefix}{key} = {value!r}: {earlier}")
            arguments[key] = _typed(value, hint_type, f"{where}: {prefix}{key}")
    try:
        return cls(**arguments)
    except ConfigError as error:
        raise ConfigError(f"{where}: {error}") from None


def nested(key: str, value: Any) -> dict[str, Any]:
    head, dot, rest = key.partition(".")
    return {head: nested(rest, value) if dot else value}


def merge(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    merged = dict(base)
    for key, value in over.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def _typed(value: Any, expected: Any, where: str) -> Any:
    """``value`` as ``expected``. YAML reads 1e-3 as text and 1 as int: both are fine where a float is expected."""
    origin = typing.get_origin(expected)
    if origin is Literal:
        allowed = typing.get_args(expected)
        if value not in allowed:
            raise ConfigError(f"{where} = {value!r}: expected one of {', '.join(map(str, allowed))}")
        return value
    if origin is types.UnionType or origin is typing.Union:
        if value is None:
            return None
        (expected,) = (kind for kind in typing.get_args(expected) if kind is not type(None))
    if expected is float and not isinstance(value, bool):
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if math.isfinite(number):
            return number
    elif (expected is int and type(value) is int) or (expected in (str, bool) and type(value) is expected):
        return value
    names = {int: "a whole number", float: "a number", str: "text", bool: "true or false"}
    raise ConfigError(f"{where} = {value!r}: expected {names.get(expected, str(expected))}")


def check(config: Any, section: str, positive: tuple[str, ...], unit: tuple[str, ...]) -> None:
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        if isinstance(value, bool) or not isinstance(value, int | float):
            continue
        name = f"{section}.{item.name}" if section else item.name
        if item.name in positive and value <= 0:
            raise ConfigError(f"{name} = {value}: expected more than 0")
        if value < 0:
            raise ConfigError(f"{name} = {value}: expected 0 or more")
        if item.name in unit and value >= 1:
            raise ConfigError(f"{name} = {value}: expected 0 to below 1")
