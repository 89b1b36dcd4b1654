"""Protobuf's wire format, as far as pictures and cameras need it: https://protobuf.dev/programming-guides/encoding/."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

Fields = dict[int, tuple[str, Any]]
"""The fields of a message that are read: by number their names, and how each is coded: "v" whole number (of 64 bits,
with a sign), "s" text, "b" bytes, "d" and "f" a list of doubles or floats (one number: a list of one), the
:data:`Fields` of a message within, or of several such messages: a list that holds these."""

BROKEN = (
    ValueError, KeyError, TypeError, IndexError, AttributeError, OverflowError, struct.error, RecursionError,
)  # fmt: skip
"""What reading damaged messages raises."""

_DEEPEST = 1 << 63


def parse_message(data: memoryview, fields: Fields) -> dict[str, Any]:
    """The fields of a message by their names; those that it leaves out, or that nobody asked for, are not there.

    Raises:
        ValueError, IndexError, TypeError: see :data:`BROKEN`: it is damaged.
    """
    found: dict[str, Any] = {}
    at = 0
    while at < len(data):
        key, at = _varint(data, at)
        value: Any
        if key & 7 == 0:
            value, at = _varint(data, at)
        elif key & 7 == 1:
            value, at = data[at : at + 8], at + 8
        elif key & 7 == 5:
            value, at = data[at : at + 4], at + 4
        elif key & 7 == 2:
            size, at = _varint(data, at)
            value, at = data[at : at + size], at + size
        else:
            raise ValueError(f"a field of kind {key & 7}")
        if at > len(data):
            raise ValueError("it ends within a field")
        if key >> 3 in fields:
            _keep(found, value, *fields[key >> 3])
    return found


def _keep(found: dict[str, Any], value: Any, name: str, coded: Any) -> None:
    if isinstance(coded, list):
        found.setdefault(name, []).append(parse_message(value, coded[0]))
    elif isinstance(coded, dict):
        found[name] = parse_message(value, coded)
    elif coded in ("d", "f"):
        found.setdefault(name, []).extend(np.frombuffer(value, "<f8" if coded == "d" else "<f4").tolist())
    elif coded == "s":
        found[name] = bytes(value).decode()
    elif coded == "b":
        found[name] = bytes(value)
    elif isinstance(value, int):
        found[name] = value - 2 * _DEEPEST if value >= _DEEPEST else value
    else:  # fixed32
        found[name] = int.from_bytes(value, "little")


def _varint(data: memoryview, at: int) -> tuple[int, int]:
    value = 0
    for place in range(10):
        byte = data[at + place]
        value |= (byte & 127) << 7 * place
        if byte < 128:
            return value, at + place + 1
    raise ValueError("a number of more than ten bytes")
