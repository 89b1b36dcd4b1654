"""How many processors this process may keep busy: its affinity, and the quota of the container or service it is in.

A container with ``--cpus 2`` on a machine of 64 cores still sees 64. With a thread on each of them it uses its share up
in a fraction of every period and stands still for the rest.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path("/")


def usable_cpus(root: Path = ROOT) -> int:
    """Processors that may be busy at once, at least 1: the affinity, and of a quota of 1.5 the next whole number."""
    if hasattr(os, "process_cpu_count"):  # Python 3.13: heeds -X cpu_count, too
        count = os.process_cpu_count() or 1
    elif hasattr(os, "sched_getaffinity"):
        count = len(os.sched_getaffinity(0))
    else:
        count = os.cpu_count() or 1
    quota = cpu_quota(root)
    return count if quota is None else max(1, min(count, math.ceil(quota)))


def cpu_limit(root: Path = ROOT) -> int | None:
    """:func:`usable_cpus` where the machine has more, else None: libraries then choose best themselves."""
    count = usable_cpus(root)
    return count if count < (os.cpu_count() or 1) else None


def cpu_quota(root: Path = ROOT) -> float | None:
    """Processor time a second of time that this process' control groups allow; None: as much as there is.

    Of nested groups the smallest counts, version 1 or 2, mounted wherever ``/proc/self/mountinfo`` says.

    Args:
        root: where ``proc`` and ``sys`` lie.
    """
    found = [quota for folder in groups_of("cpu", root) if (quota := _quota_of(folder)) is not None]
    return min(found, default=None)


def groups_of(controller: str, root: Path = ROOT) -> Iterator[Path]:
    """The folders of the control groups that limit this process' "cpu" or "memory", and of all groups around them."""
    paths: dict[str, str] = {}  # the controller or, of version 2, "" -> path of the group
    for line in _lines(root / "proc/self/cgroup"):
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        if number == "0" and not controllers:
            paths[""] = path
        elif controller in controllers.split(","):
            paths[controller] = path
    for line in _lines(root / "proc/self/mountinfo"):
        before, _, after = line.partition(" - ")
        fields, kind = before.split(" "), after.split(" ")
        if len(fields) < 5 or len(kind) < 3:
            continue
        version_1 = kind[0] == "cgroup" and controller in kind[2].split(",")
        own = paths.get(controller if version_1 else "") if version_1 or kind[0] == "cgroup2" else None
        if own is not None:
            yield from _upward(root / fields[4].lstrip("/"), fields[3], own)


def _upward(mount: Path, shown: str, path: str) -> Iterator[Path]:
    """``mount`` shows the group ``shown`` and those below it; ``path`` is this process'. In a container without a
    namespace of its own it may lie outside of what is shown: then what is shown is the container's."""
    try:
        inner = PurePosixPath(path).relative_to(shown)
    except ValueError:
        inner = PurePosixPath()
    if ".." in inner.parts:
        inner = PurePosixPath()
    folder = mount / inner
    while True:
        yield folder
        if folder == mount:
            return
        folder = folder.parent


def _quota_of(folder: Path) -> float | None:
    """The quota of one group, in processors; None: it has none."""
    words = " ".join(_lines(folder / "cpu.max")).split()  # version 2: "150000 100000" or "max 100000"
    if not words:
        words = [word for name in ("cpu.cfs_quota_us", "cpu.cfs_period_us") for word in _lines(folder / name)]
    try:
        quota, period = (int(word) for word in words)
    except ValueError:
        return None
    return quota / period if quota > 0 and period > 0 else None  # version 1: -1 is no quota


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    except OSError:
        return []
