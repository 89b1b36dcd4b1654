"""How much memory this process may still take: what the machine has free, and what its control groups allow."""

from __future__ import annotations

from pathlib import Path

from tgkt_edge.system.cpu import ROOT, groups_of


def available_memory(root: Path = ROOT) -> int | None:
    """Bytes that can be taken without swapping: of the machine and of all control groups the least; None: unknown.

    Args:
        root: where ``proc`` and ``sys`` lie.
    """
    found = []
    for line in _text(root / "proc/meminfo").splitlines():
        name, _, value = line.partition(":")
        if name == "MemAvailable" and value.split()[0].isdecimal():
            found.append(int(value.split()[0]) * 1024)
    for folder in groups_of("memory", root):
        left = _left_in(folder)
        if left is not None:
            found.append(left)
    return min(found, default=None)


def _left_in(folder: Path) -> int | None:
    """What a control group still allows, file pages that can be dropped not counted as used; None: no limit."""
    version_2 = (folder / "memory.max").is_file()
    names = (
        ("memory.max", "memory.current") if version_2 else ("memory.limit_in_bytes", "memory.usage_in_bytes")
    )
    limit, used = (_text(folder / name).strip() for name in names)
    if (
        not (limit.isdecimal() and used.isdecimal()) or int(limit) >= 1 << 60
    ):  # "max", or version 1's "no limit"
        return None
    droppable = 0
    for line in _text(folder / "memory.stat").splitlines():
        name, _, value = line.partition(" ")
        if name in ("inactive_file", "active_file") if version_2 else name in ("total_inactive_file",):
            droppable += int(value)
    return max(0, int(limit) - int(used) + droppable)


def in_bytes(count: float) -> str:
    """``18.3 GiB``, ``512 MiB``, ``3 KiB``."""
    if count >= 1 << 30:
        return f"{count / (1 << 30):.1f} GiB"
    return f"{count / (1 << 20):.0f} MiB" if count >= 1 << 20 else f"{count / 1024:.0f} KiB"


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""
