"""Arguments as flags: the only place where what a function says becomes what a person typed.

The package is a library first, so its messages name Python arguments, in backticks: ```max_drop=1.5``` and
```calibrate```. On the command line they read ``--max-drop 1.5`` and ``--calibrate``, and what a command takes
without a flag reads as its usage line has it: ``PAIRS look``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

_OTHER_NAMES = {
    "out": "-o",
    "output": "-o",
    "form": "--format",
    "batches": "--batch",
    "precisions": "--precision",
    "engines": "--engine",
    "models": "--model",
    "sinks": "--sink",
    "update_gates": "--update-gate",
}
"""Arguments that are not simply their flag: lists of what a flag gives one of, and words that Python keeps."""

_positional: Mapping[str, str] = {}

_ARGUMENT = re.compile(r"(?<!`)`([a-z]\w*)(?:=([^`]*))?`(?!`)")


def flag_of(argument: str) -> str:
    """``--max-drop`` of ``max_drop``, as :mod:`tgkt_edge.cli` declares it."""
    return _OTHER_NAMES.get(argument, "--" + argument.rstrip("_").replace("_", "-"))


def use_positional(names: Mapping[str, str]) -> None:
    """From now on these arguments have no flag: each reads as the word of the usage line, ``{"paired": "PAIRS"}``."""
    global _positional
    _positional = dict(names)


def as_flags(text: str) -> str:
    """``text`` with every argument in backticks as a person types it; a switch is ``--skip-bad`` or ``--no-verify``."""
    return _ARGUMENT.sub(_as_flag, text)


def _as_flag(found: re.Match[str]) -> str:
    name, value = found.groups()
    if name in _positional:
        return _positional[name] if value is None else f"{_positional[name]} {value}"
    flag = flag_of(name)
    if value is None or value == "True":
        return flag
    return flag.replace("--", "--no-", 1) if value == "False" else f"{flag} {value}"
