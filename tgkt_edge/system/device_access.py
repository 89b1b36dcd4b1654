"""Why a device node cannot be opened (permissions, programs that hold it), and what to do about it."""

from __future__ import annotations

import errno
import glob
import os
import stat


def open_advice(code: int | None, device: str, asking: int = 0) -> str:
    """What to do about a ``device`` whose opening failed with errno ``code``.

    Args:
        asking: descriptors of it that this process may hold: the one that failed.
    """
    if code in (errno.EACCES, errno.EPERM):
        return permission_advice(device)
    if code == errno.EBUSY:
        users = users_of(device, asking)
        if users.ours:
            return "This program has it open already: two options name the same camera. Each needs one of its own."
        named = f": {users.others}" if users.others else ""
        return f"Another program uses the camera{named}. Close that one."
    nodes = sorted(glob.glob("/dev/video*"))
    return f"Is the camera plugged in? Video devices here: {', '.join(nodes) or 'none'}."


def permission_advice(device: str) -> str:
    """How this user gets to open ``device``, by its owner, group and mode."""
    try:
        node = os.stat(device)
    except OSError:
        return f"Look with 'ls -l {device}' who may open it."
    mode, group = stat.S_IMODE(node.st_mode), group_name(node.st_gid)
    if os.access(device, os.R_OK | os.W_OK):
        return (
            f"Its mode {mode:04o} allows it, so something else forbids it: a container that was started without "
            f"'--device {device}', or a security module (AppArmor, SELinux)."
        )
    if mode & 0o060 == 0o060 and node.st_gid != 0:
        if node.st_gid in _groups_on_disk():
            return f"This user is in its group {group}, but this session is older than that: log in again."
        return (
            f"Add this user to the group that owns it: sudo usermod -aG {group} $USER, then log in again (in a "
            f"container: --device {device} --group-add {node.st_gid})."
        )
    owner = f"{_user_name(node.st_uid)}:{group}"
    return (
        f"It belongs to {owner} with mode {mode:04o}, so that no group helps. Write a udev rule, "
        f'SUBSYSTEM=="video4linux", GROUP="video", MODE="0660", as /etc/udev/rules.d/70-camera.rules, run '
        f"'sudo udevadm control --reload && sudo udevadm trigger', and join that group (sudo usermod -aG video $USER); "
        f"in a container give '--device {device}' and run as its owner."
    )


def group_name(number: int) -> str:
    """The group's name; its number if it has none here."""
    import grp

    try:
        return grp.getgrgid(number).gr_name
    except KeyError:
        return str(number)


class Users:
    """Who holds a device open, as far as this user may see it.

    Attributes:
        ours: this process does, more often than the one descriptor that asks.
        others: names and ids of other processes, for people.
    """

    def __init__(self, ours: bool, others: str) -> None:
        self.ours, self.others = ours, others


def users_of(device: str, asking: int = 0) -> Users:
    """The processes that hold ``device`` open.

    Args:
        asking: descriptors of this process that do not count: the one with which it just failed.
    """
    here, others, target = 0, set(), os.path.realpath(device)
    for link in glob.glob("/proc/[0-9]*/fd/*"):
        try:
            if os.path.realpath(link) != target:
                continue
            process = link.split("/")[2]
            if process == str(os.getpid()):
                here += 1
                continue
            with open(f"/proc/{process}/comm", encoding="utf-8", errors="replace") as file:
                others.add(f"{file.read().strip()} (process {process})")
        except OSError:
            continue
    return Users(here > asking, ", ".join(sorted(others)))


def _user_name(number: int) -> str:
    import pwd

    try:
        return pwd.getpwuid(number).pw_name
    except KeyError:
        return str(number)


def _groups_on_disk() -> set[int]:
    """The groups that this user will have after the next login."""
    import pwd

    try:
        user = pwd.getpwuid(os.getuid())
    except KeyError:
        return set()
    return set(os.getgrouplist(user.pw_name, user.pw_gid))
