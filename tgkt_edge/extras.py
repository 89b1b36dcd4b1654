"""Importing optional libraries, so that a missing one is answered with the extra that brings it."""

from __future__ import annotations

import importlib
from typing import Any

from tgkt_edge.errors import MissingDependency


def require(module: str, extra: str, needed_for: str) -> Any:
    """Import and return ``module``.

    Raises:
        MissingDependency: (exit 6) it is not installed. The message names ``extra``.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is not None and error.name.partition(".")[0] != module.partition(".")[0]:
            raise  # the library is there, one of its own needs is not: show that, unchanged
        raise MissingDependency(
            f"{needed_for} needs the Python package '{module.partition('.')[0]}', which is not installed here. "
            f"Install it with: pip install 'tgkt-edge[{extra}]'"
        ) from error
