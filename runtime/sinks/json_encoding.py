"""A record as JSON."""

from __future__ import annotations

import errno
import json
from collections.abc import Mapping
from typing import Any

from tgkt_edge.data.discovery import escape_name


def encode(value: Any) -> str:
    """``value`` as JSON on one line, which every parser reads as text: a file name that is no UTF-8 is escaped, as
    :func:`escape_name` does in tables. numpy's numbers are written as plain ones.

    Raises:
        OSError: (EINVAL) it holds something that JSON has no word for, e.g. a number that is not finite. An OSError,
            since that is what a sink raises for a message that it cannot write.
    """
    try:
        text = _ENCODER.encode(value)
        return text if _HALF not in text else _ENCODER.encode(_escaped(value))
    except (TypeError, ValueError) as error:
        raise OSError(errno.EINVAL, f"this record is not JSON: {error}") from error


_HALF = "\\ud"
"""Begins what JSON writes for half a character, as Python keeps bytes of a file name that are no UTF-8."""


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return escape_name(value)
    if isinstance(value, Mapping):
        return {_escaped(key): _escaped(one) for key, one in value.items()}
    return [_escaped(one) for one in value] if isinstance(value, list | tuple) else value


def _plain(value: Any) -> Any:
    if not hasattr(value, "item"):
        raise TypeError(f"{type(value).__name__} {value!r}")
    return value.item()


_ENCODER = json.JSONEncoder(allow_nan=False, default=_plain)  # made once: each decision waits for it
