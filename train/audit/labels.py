"""The table that a person fills: which frame shows which class."""

from __future__ import annotations

import difflib
from collections.abc import Collection, Sequence
from pathlib import Path

from tgkt_edge.data.discovery import escape_name
from tgkt_edge.data.names import abbreviate, clean, locate
from tgkt_edge.data.table import read_table
from tgkt_edge.errors import DataError

CANNOT_TELL = "?"
"""What a person writes for a frame that shows none of the classes, or nothing at all. It is left out."""


def frame_name(name: str) -> Path:
    """How a target frame is called in such a table: its absolute path, with ``:position`` in a video."""
    return Path(escape_name(str(Path(name).resolve())))


def read_labels(
    file: Path, name: str, classes: Sequence[str], known: Collection[Path]
) -> list[tuple[Path, str]]:
    """(frame, class or "" or CANNOT_TELL) of each row of a CSV ``frame,label``; case and blanks do not matter.

    Args:
        name: of the argument that ``file`` was given as. known: the target frames, as :func:`frame_name` calls them.

    Raises:
        DataError: no such file; a frame that is none of ``known``, or is listed twice; a label that is no class.
    """
    where = f"`{name}={file}`"
    if not file.is_file():
        raise DataError(
            f"{where}: no such file. Write one with: tgkt-edge audit RUN --frames {min(60, len(known))}"
        )
    spelling = {clean(name).casefold(): name for name in classes} | {"": "", CANNOT_TELL: CANNOT_TELL}
    found: dict[Path, str] = {}
    wrong: list[str] = []
    for row in read_table(file, where, ("frame", "label"), may_be_empty=("frame", "label")):
        written = row.fields["frame"]
        frame, label = _known_frame(file.parent, written, known), clean(row.fields["label"])
        meant = spelling.get(label.casefold())
        if frame not in known:
            wrong.append(f"line {row.line}: {written!r} is not one of the run's target frames")
        elif meant is None:
            near = difflib.get_close_matches(label, classes, n=1)
            wrong.append(
                f"line {row.line}: label '{label}'" + (f" (did you mean '{near[0]}'?)" if near else "")
            )
        elif frame in found:
            both = "" if found[frame] == meant else f", as '{found[frame]}' and as '{meant}'"
            wrong.append(f"line {row.line}: {written} is listed twice{both}")
        else:
            found[frame] = meant
    if wrong:
        raise DataError(
            f"{where}: {abbreviate(wrong)}. Labels are {', '.join(classes)}; {CANNOT_TELL} if it cannot be told."
        )
    return list(found.items())


def class_labels(rows: Sequence[tuple[Path, str]]) -> dict[Path, str]:
    """The rows that have a class."""
    return {frame: label for frame, label in rows if label not in ("", CANNOT_TELL)}


def _known_frame(folder: Path, written: str, known: Collection[Path]) -> Path:
    """The target frame that a field names; frames of a video have names that are no files."""
    frame = (folder / written).resolve()
    return frame if frame in known else locate(folder, written).resolve()
