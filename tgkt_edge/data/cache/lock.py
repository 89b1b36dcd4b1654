"""One writer of a file at a time, among processes that do not know of each other."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

from tgkt_edge.notes import note

POLL_S = 0.2

_NO_LOCKS = (errno.ENOLCK, errno.EOPNOTSUPP, errno.ENOSYS, errno.EINVAL)


def lock(descriptor: int, path: Path, exclusive: bool, say: Callable[[str], None]) -> bool:
    """Wait until this process may write (``exclusive``) or read the open file. The lock ends with the descriptor.

    Args:
        say: told once that another process is waited for.

    Returns:
        False where the file system has no locks, which is noted.
    """
    import fcntl

    how = fcntl.LOCK_EX if exclusive else fcntl.LOCK_SH
    told = False
    while True:
        try:
            fcntl.flock(descriptor, how | fcntl.LOCK_NB)
            return True
        except OSError as error:
            if error.errno in _NO_LOCKS:
                note(
                    f"{path.parent}: this file system has no locks: what is decoded there is used by this process "
                    f"alone until it is complete"
                )
                return False
            if error.errno not in (errno.EWOULDBLOCK, errno.EACCES, errno.EINTR):
                raise
        if not told:
            told = True
            say(f"{path}: another process is writing it; waiting until it is done")
        time.sleep(POLL_S)


def unlock(descriptor: int) -> None:
    """Let others have it."""
    import fcntl

    with suppress(OSError):
        fcntl.flock(descriptor, fcntl.LOCK_UN)


def is_at(descriptor: int, path: Path) -> bool:
    """Whether ``path`` still leads to the open file: it may have been deleted, or replaced, while this waited."""
    try:
        there, here = path.stat(), os.fstat(descriptor)
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (here.st_dev, here.st_ino)
