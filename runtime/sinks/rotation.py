"""Keeping the last few files of a log that never ends."""

from __future__ import annotations

import os
from pathlib import Path


def numbered(path: Path, number: int) -> Path:
    """``log.jsonl`` and 2 to ``log.2.jsonl``: the suffix stays, so that players and globs still know the file."""
    return path.with_name(f"{path.stem}.{number}{path.suffix}")


def rotate(path: Path, keep: int) -> None:
    """Rename ``path`` to number 1, what was number 1 to 2, and so on; remove number ``keep``. 0 removes ``path``.

    Does nothing if ``path`` does not exist. A kill in between leaves a gap in the numbers, never a lost file.

    Raises:
        OSError: a name could not be changed; call again.
    """
    if not path.exists():
        return
    if keep == 0:
        path.unlink()
        return
    # Files move up only as far as there is no gap: one left by a kill is filled instead of deleting the oldest.
    last = next((n for n in range(1, keep) if not numbered(path, n).exists()), keep)
    for number in range(last - 1, 0, -1):
        os.replace(numbered(path, number), numbered(path, number + 1))
    os.replace(path, numbered(path, 1))
