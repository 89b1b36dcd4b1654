"""stdin, stdout and stderr as a supervisor may leave them: closed, of another encoding, without a reader."""

from __future__ import annotations

import io
import os
import sys


def prepare_streams() -> None:
    """Make the three streams usable before anything else opens a file.

    A closed descriptor is opened on /dev/null: else the next file takes its number, and what a library prints to 1 or 2
    is written into that file. stderr then swallows what is printed; stdout stays None, so that a command whose results
    go there can refuse. Text that an encoding does not have is shown as ``\\u2026``, not as a traceback.
    """
    for number, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            nowhere = os.open(os.devnull, flags)
            if nowhere != number:  # 0 to number - 1 are open, so this never happens; but it would leak
                os.dup2(nowhere, number)
                os.close(nowhere)
    if sys.stderr is None:
        sys.stderr = open(os.devnull, "w", encoding="utf-8", errors="backslashreplace")  # noqa: SIM115 - stays open
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors in ("strict", "surrogateescape"):
        sys.stdout.reconfigure(errors="backslashreplace")


def settle_stdout() -> None:
    """Flush stdout; if its reader is gone, let the rest go nowhere instead of failing at interpreter exit."""
    if sys.stdout is None:  # closed before we were started
        return
    try:
        sys.stdout.flush()
    except OSError:
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
