"""Importing optional libraries, so that a missing one is answered with the extra that brings it."""

from __future__ import annotations

import importlib
from typing import Any

from tgkt_edge.errors import MissingDependency


def require(module: str, extra: str, needed_for: str) -> Any:
    """Import and return ``module``.

    Raises:
        MissingDependency: (exit 6) it is not installed, which names ``extra``; or it is, and cannot be loaded: then the
            loader's own words, such as the name of a system library that is missing.
    """
    package = module.partition(".")[0]
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == package:
            raise MissingDependency(
                f"{needed_for} needs the Python package '{package}', which is not installed here. "
                f"Install it with: pip install 'tgkt-edge[{extra}]'"
            ) from error
        raise MissingDependency(_unloadable(package, needed_for, error)) from error
    except ImportError as error:
        raise MissingDependency(_unloadable(package, needed_for, error)) from error


def _unloadable(package: str, needed_for: str, error: ImportError) -> str:
    what = str(error).strip().splitlines()
    return (
        f"{needed_for} needs the Python package '{package}', which is installed but cannot be loaded: "
        f"{what[0] if what else type(error).__name__}. 'tgkt-edge doctor' says what else is amiss."
    )
