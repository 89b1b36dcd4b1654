"""Files and folders that an operating system, a NAS or a tool leaves beside a user's images. They never count.

Thumbnails and recycle bins double frames and invent classes. Folders are known by how their makers mark them, not one
by one: a leading ``.`` (Unix, macOS, Jupyter), ``@`` (Synology, QNAP), ``$`` (Windows) or ``~`` (backups, snapshots).
Those without such a mark are listed.
"""

from __future__ import annotations

import re

_MARKS = (".", "@", "$", "~")

_FOLDERS = frozenset(
    {
        "#recycle", "#snapshot", "__macosx", "__pycache__", "__thumbnails__", "desktop db", "desktop df",
        "desktopfolder", "icon\r", "lost+found", "network trash folder",
        "recycled", "recycler", "system volume information", "temporary items", "thevolumesettingsfolder",
        "%recycle%", "_gsdata_", "_svn", "_thumb", "_vti_cnf", "config.msi", "cvs", "lost.dir", "msocache",
        "node_modules", "onedrivetemp", "perflogs", "thefindbycontentfolder", "thumbnails", "thumbs",
        "tmp.drivedownload", "tmp.driveupload", "venv",
    }
)  # fmt: skip
"""In lower case: file systems that ignore case write them in either."""

_FOUND = re.compile(r"found\.\d{3}", re.IGNORECASE)  # what Windows puts together of lost pieces


def is_system_folder(name: str) -> bool:
    """Whether a folder of this name is hidden, or not a person's."""
    plain = name.casefold().rstrip(" ")
    return name.startswith(_MARKS) or plain in _FOLDERS or bool(_FOUND.fullmatch(name))


def is_system_file(name: str) -> bool:
    """Whether a file of this name is hidden (``._0001.png`` of macOS is, also as Netatalk servers spell it), another
    program's lock (``~$...``), or part of a copy (Syncthing)."""
    return name.startswith((".", ":2e", "~$", "~syncthing~"))


def is_system_path(parts: tuple[str, ...]) -> bool:
    """Whether a file with these folders above it, its own name last, is or lies in one of them."""
    return is_system_file(parts[-1]) or any(is_system_folder(part) for part in parts[:-1])
