"""Memory that a program frees and soon wants again: glibc returns it to the system by default, page by page."""

from __future__ import annotations

import ctypes

_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3  # of mallopt(3)

KEPT = (1 << 31) - 1
"""Bytes at the end of the heap, free, from which on they are returned: the most that mallopt takes."""

LARGE = 1 << 30, 32 << 20
"""Bytes from which a block is mapped by itself, and unmapped when it is freed; the second where glibc refuses the
first."""


def keep_freed_memory() -> bool:
    """Let this process keep up to 2 GiB that it frees, for the next step of training, or the next pair that is aligned,
    wants as much again: without it a step on a CPU takes a tenth longer and a pair a third longer, since it has to
    be given its pages again.

    Returns:
        Whether it was possible: with glibc, that is on most Linux systems. Elsewhere nothing changes.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):  # musl, macOS, Windows
        return False
    kept = bool(mallopt(_TRIM_THRESHOLD, KEPT))
    return kept and any(mallopt(_MMAP_THRESHOLD, size) for size in LARGE)
