"""Arguments as flags: the only place where what a function says becomes what a person typed.

The package is a library first, so its messages name Python arguments, in backticks: ```max_drop=1.5``` and
```calibrate```. On the command line they read ``--max-drop 1.5`` and ``--calibrate``.
"""

from __future__ import annotations

import re

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

_ARGUMENT = re.compile(r"(?<!`)`([a-z]\w*)(?:=([^`]*))?`(?!`)")


def flag_of(argument: str) -> str:
    """``--max-drop`` of ``max_drop``, as :mod:`tgkt_edge.cli` declares it."""
    return _OTHER_NAMES.get(argument, "--" + argument.rstrip("_").replace("_", "-"))


def as_flags(text: str) -> str:
    """``text`` with every argument in backticks as a person types it; a switch is ``--skip-bad`` or ``--no-verify``."""
    return _ARGUMENT.sub(_as_flag, text)


def _as_flag(found: re.Match[str]) -> str:
    name, value = found.groups()
    flag = flag_of(name)
    if value is None or value == "True":
        return flag
    return flag.replace("--", "--no-", 1) if value == "False" else f"{flag} {value}"
