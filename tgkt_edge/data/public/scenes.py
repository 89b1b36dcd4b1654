"""What every reader finds: paired images with a scene, and how scenes are divided into the task and the rest."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from tgkt_edge.errors import UsageError
from tgkt_edge.io.images import natural_key
from tgkt_edge.io.system_names import is_system_file, is_system_folder
from tgkt_edge.sensor import SensorSpec


@dataclass(frozen=True)
class Pair:
    """One RGB image and the sensor frame of the same view. Relative paths lie in the folder that is being written."""

    rgb: Path
    frame: Path
    scene: str
    domain: str = ""  # the camera, where a set has several


@dataclass(frozen=True)
class Split:
    """Which scenes are the task (task-relevant, TR) and which are other scenes (task-irrelevant, TI).

    Attributes:
        task: names of the classes, as they are written into the CSVs.
        other: names of the other scenes; empty: every scene that is not of the task.
        origin: whose numbers ``frames`` and ``pairs`` are.
        frames: expected target frames, by domain ("" where a set has one camera); empty: nothing is expected.
        pairs: expected pairs.
    """

    task: tuple[str, ...]
    other: tuple[str, ...]
    origin: str
    frames: dict[str, int]
    pairs: int

    def of_task(self, task: Sequence[str], scenes: Iterable[str]) -> Split:
        """The same scenes with another task: what is not of it becomes other scenes.

        Args:
            task: names of its scenes; case, digits and punctuation do not count.
            scenes: those that there are, in the set's own spelling.

        Raises:
            UsageError: fewer than two scenes, one twice, or one that there is not.
        """
        known = {letters(scene): scene for scene in (*sorted(set(scenes)), *self.other, *self.task)}
        keys = [letters(name) for name in task]
        for number, (name, key) in enumerate(zip(task, keys, strict=True)):
            if key not in known:
                raise UsageError(
                    f"`task` {name!r}: no such scene; there are {', '.join(sorted(known.values()))}"
                )
            if key in keys[:number]:
                raise UsageError(f"`task` {name!r}: named twice")
        if len(keys) < 2:
            raise UsageError(f"`task`: {known[keys[0]]} alone; a classifier needs two scenes or more")
        rest = tuple(name for name in (*self.task, *self.other) if letters(name) not in keys)
        return Split(tuple(known[key] for key in keys), rest if self.other else (), "the chosen task", {}, 0)

    def place(self, scene: str) -> tuple[str, str] | None:
        """("task" or "other", the scene's name here); None for a scene that the split does not know."""
        key = letters(scene)
        for part, names in (("task", self.task), ("other", self.other)):
            for name in names:
                if letters(name) == key:
                    return part, name
        return None if self.other else ("other", scene)


@dataclass
class Found:
    """What a reader found. ``bad``: one line for every image that cannot be used; ``notes``: words for the user."""

    pairs: list[Pair]
    sensor: SensorSpec
    bad: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def letters(name: str) -> str:
    """``name`` without case, digits and punctuation: "12. Livingroom", "living_room" and "Living Room" are one."""
    return re.sub(r"[^a-z]", "", name.lower())


def folders(top: Path) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Every folder below ``top`` with the names of its folders, of which some may be struck out, and files. Hidden
    folders are skipped.

    Raises:
        OSError: one cannot be listed, and what lies below would silently be missing.
    """

    def stop(error: OSError) -> None:
        raise error

    if top.is_dir():
        for place, below, files in os.walk(top, onerror=stop):
            below[:] = [name for name in below if not is_system_folder(name)]
            yield Path(place), below, files


def contents(folder: Path, most: int = 6) -> str:
    """The first names in a folder, for the message that it is not what was expected."""
    if not folder.is_dir():
        return "a file" if folder.exists() else "nothing: it does not exist"
    names = sorted(
        path.name + ("/" if path.is_dir() else "")
        for path in folder.iterdir()
        if not (is_system_folder if path.is_dir() else is_system_file)(path.name)
    )
    return (
        ", ".join(names[:most]) + (f", ... ({len(names)} in all)" if len(names) > most else "") or "nothing"
    )


def files_in(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """The files with one of ``suffixes`` (lower case) in ``folder``, in natural order. Hidden ones are skipped:
    macOS puts ``._0001.png``, which is no image, beside every ``0001.png``.

    Raises:
        OSError: it cannot be listed.
    """
    files = [
        path for path in folder.iterdir() if path.suffix.lower() in suffixes and not is_system_file(path.name)
    ]
    return sorted(files, key=natural_key)


def only_file(folder: Path, suffixes: Collection[str]) -> Path | None:
    """The one file with one of ``suffixes`` in ``folder``; None if there is none, or more than one."""
    files = files_in(folder, suffixes) if folder.is_dir() else []
    return files[0] if len(files) == 1 else None
