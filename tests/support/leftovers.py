"""Folders of tests that were killed, which pytest keeps for three days: gigabytes each."""

from __future__ import annotations

import getpass
import os
import shutil
import tempfile
import time
from pathlib import Path

PATIENCE = 3600.0
"""Seconds after which a process that is not seen here is no other container's."""


def folder_of_runs() -> Path:
    """Where pytest makes a folder a run."""
    root = Path(os.environ.get("PYTEST_DEBUG_TEMPROOT") or tempfile.gettempdir())
    try:
        return root / f"pytest-of-{getpass.getuser()}"
    except (ImportError, KeyError, OSError):  # a user without a name
        return root / "pytest-of-unknown"


def remove_leftovers(root: Path) -> None:
    """Remove the folders of runs whose process is gone without having given up its lock."""
    for lock in root.glob("pytest-*/.lock"):
        try:
            pid, age = int(lock.read_text(encoding="ascii")), time.time() - lock.stat().st_mtime
        except (OSError, ValueError):  # of a run that ends just now
            continue
        if age > PATIENCE and not _is_alive(pid):
            shutil.rmtree(lock.parent, ignore_errors=True)


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        pass
    return True
