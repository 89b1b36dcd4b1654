"""Importing optional libraries, so that a missing one is answered with the command that installs its extra here."""

from __future__ import annotations

import functools
import importlib
import importlib.metadata
import json
import sys
from pathlib import Path
from typing import Any

from tgkt_edge.errors import MissingDependency, UsageError

PUBLISHED = False
"""Whether ``pip install tgkt-edge`` finds this program in a registry. What all messages advise follows from it."""

_NAME = "tgkt-edge"


def install_command(extra: str) -> str:
    """The command that adds ``extra`` to this installation: in its checkout, or from the wheel that it came from."""
    checkout, url = _origin()
    if PUBLISHED:
        return f"pip install '{_NAME}[{extra}]'"
    if checkout is not None:
        return f"pip install -e '{checkout}[{extra}]'"
    return f"pip install '{_NAME}[{extra}] @ {url}'"


@functools.cache
def _origin() -> tuple[Path | None, str]:
    """The checkout that runs, or None and the URL that pip installed from."""
    root = Path(__file__).resolve().parents[1]
    if (root / "pyproject.toml").is_file():
        return root, ""
    for distribution in importlib.metadata.distributions(name=_NAME):
        found = json.loads(distribution.read_text("direct_url.json") or "{}")
        if "url" in found:
            vcs = found.get("vcs_info", {})
            commit = f"@{vcs['commit_id']}" if "commit_id" in vcs else ""
            return None, f"{vcs['vcs']}+{found['url']}{commit}" if vcs else str(found["url"])
    return None, "file:///PATH/TO/ITS.whl"


def require(module: str, extra: str, needed_for: str) -> Any:
    """Import and return ``module``.

    Raises:
        MissingDependency: (exit 6) it is not installed, which names ``extra``; or it is, and cannot be loaded: then the
            loader's own words, such as the name of a system library that is missing.
        UsageError: (exit 2) of PyTorch: the current folder was deleted.
    """
    package = module.partition(".")[0]
    if package == "torch":
        _refuse_deleted_folder(needed_for)
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] == package:
            raise MissingDependency(
                f"{needed_for} needs the Python package '{package}', which is not installed here. "
                f"Install it with: {install_command(extra)}"
            ) from error
        raise MissingDependency(_unloadable(package, needed_for, error)) from error
    except ImportError as error:
        raise MissingDependency(_unloadable(package, needed_for, error)) from error


def _refuse_deleted_folder(needed_for: str) -> None:
    """PyTorch's MKL ends the process where there is no current folder, without a word that a person could use.

    Raises:
        UsageError: (exit 2) the current folder was deleted.
    """
    try:
        Path.cwd()
    except OSError as error:
        raise UsageError(
            f"{needed_for} needs PyTorch, which does not work here: the current folder was deleted. "
            f"Go to another one: cd"
        ) from error


def _unloadable(package: str, needed_for: str, error: ImportError) -> str:
    what = str(error).strip().splitlines()
    return (
        f"{needed_for} needs the Python package '{package}', which is installed but cannot be loaded: "
        f"{what[0] if what else type(error).__name__}. 'tgkt-edge doctor' says what else is amiss."
    )


def import_openvino() -> Any:
    """Import and return OpenVINO without the part that collects telemetry, for which its converter, never called here,
    then takes a stub of its own. A program that imported OpenVINO before this one has it already.

    Raises:
        MissingDependency: (exit 6) it is not installed, or cannot be loaded.
    """
    telemetry = "openvino_telemetry"
    hide = "openvino" not in sys.modules and telemetry not in sys.modules
    if hide:
        sys.modules[telemetry] = None  # type: ignore[assignment]
    try:
        return require("openvino", "openvino", "`engine=openvino`")
    finally:
        if hide:
            del sys.modules[telemetry]
