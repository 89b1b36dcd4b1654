"""stdin, stdout and stderr as a supervisor may leave them: closed, of another encoding, without a reader."""

from __future__ import annotations

import contextlib
import io
import os
import sys
import threading

from tgkt_edge.notes import LOADER


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


def leave_below_loader() -> None:
    """End the process now with the exit code that is on its way, if a thread still loads a network.

    Nothing can break it off, it may take a minute, and an interpreter that is taken down below it crashes. What the
    command had to write is written.
    """
    if not any(thread.name == LOADER for thread in threading.enumerate()):
        return
    error = sys.exc_info()[1]
    code = error.code if isinstance(error, SystemExit) else 1
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError):
            if stream is not None:
                stream.flush()
    os._exit(code if isinstance(code, int) else int(code is not None))


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
