"""Reading a sink's URI: its ``?key=value`` options."""

from __future__ import annotations

import difflib
import math
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import parse_qsl

from tgkt_edge.errors import UsageError


def file_path(kind: str, text: str) -> Path:
    """The path that stands in a sink's URI; ``~`` is the home folder.

    Raises:
        UsageError: there is no home folder.
    """
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UsageError(
            f"`sinks={kind}:{text}`: '~' means a home folder, which this user has none of: set HOME, or "
            "write the whole path"
        ) from None


class Options:
    """The part of a sink's URI after ``?``.

    Args:
        name: the sink's URI without passwords, for messages.
        text: ``key=value&key=value``, percent-encoded; may be empty.
        known: the keys that this kind of sink has.

    Raises:
        UsageError: an unknown key (names the nearest one), a key given twice, or no ``key=value`` at all.
    """

    def __init__(self, name: str, text: str, known: Sequence[str]) -> None:
        self._name = name
        self._values: dict[str, str] = {}
        try:
            pairs = parse_qsl(text, keep_blank_values=True, strict_parsing=True) if text else []
        except ValueError:
            raise UsageError(f"`sinks={name}`: expected key=value&key=value after '?'") from None
        for key, value in pairs:
            if key not in known:
                near = difflib.get_close_matches(key, known, n=1)
                hint = f"Did you mean '{near[0]}'?" if near else f"Known: {', '.join(known) or 'none'}."
                raise UsageError(f"`sinks={name}`: unknown option '{key}'. {hint}")
            if key in self._values:
                raise UsageError(f"`sinks={name}`: option '{key}' is given twice")
            self._values[key] = value

    def text(self, key: str) -> str | None:
        """The value of ``key``; None if it is not given. Raises UsageError if it is empty."""
        value = self._values.get(key)
        if value == "":
            raise UsageError(f"`sinks={self._name}`: option '{key}' is empty")
        return value

    def number(self, key: str, default: float, low: float, high: float) -> float:
        """The value of ``key`` as a number. Raises UsageError unless it is one from ``low`` to ``high``."""
        value = self.text(key)
        if value is None:
            return default
        try:
            number = float(value)
        except ValueError:
            number = math.nan
        if not low <= number <= high:
            raise UsageError(
                f"`sinks={self._name}`: {key}={value}: expected a number from {low:g} to {high:g}"
            )
        return number

    def whole(self, key: str, default: int, low: int, high: int) -> int:
        """The value of ``key`` as a whole number. Raises UsageError unless it is one from ``low`` to ``high``."""
        number = self.number(key, default, low, high)
        if number != int(number):
            raise UsageError(f"`sinks={self._name}`: {key}={number:g}: expected a whole number")
        return int(number)
