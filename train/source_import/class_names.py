"""Names of a source model's outputs, and how they make up the classes of the task. Nothing of it is guessed."""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tgkt_edge.data.names import abbreviate, clean
from tgkt_edge.data.table import read_table
from tgkt_edge.errors import DataError, UsageError

SHOWN_NEAR = 3
"""Similar names that an error proposes."""


@dataclass(frozen=True)
class Classes:
    """The task's classes, and what each consists of.

    Attributes:
        names: of the task, K. groups: (K) numbers of the outputs that belong to each; members: and their names.
    """

    names: tuple[str, ...]
    groups: tuple[tuple[int, ...], ...]
    members: tuple[tuple[str, ...], ...]

    @property
    def outputs(self) -> list[int]:
        """The outputs that are used, in the order in which a layer of them alone has them."""
        return [number for group in self.groups for number in group]

    @property
    def places(self) -> list[list[int]]:
        """Where the members of each class stand among :attr:`outputs`."""
        found, start = [], 0
        for group in self.groups:
            found.append(list(range(start, start + len(group))))
            start += len(group)
        return found


def read_names(path: Path, outputs: int) -> tuple[str, ...]:
    """The name of each output, in their order.

    Args:
        path: text, one name a line; JSON, a list, {name: number} or {number: name}; or a CSV with the columns class
            and, if the rows are not in the order of the outputs, index. Of Places365's own list ("/k/kitchen 203" on
            every line, each number once) the number is the output's, and neither it nor the letter is of the name.
        outputs: of the model.

    Raises:
        DataError: not such a file; another number of names; a name twice; numbers that are not 0 to ``outputs`` - 1.
    """
    what = f"`source_classes={path}`"
    if not path.is_file():
        raise DataError(
            f"{what}: no such file. Expected {outputs} names, one for each output of the model, in the order in "
            f"which it was trained (torchvision's ImageFolder: the folders' names, sorted)."
        )
    numbered = {".json": _json, ".csv": _csv, ".tsv": _csv}.get(path.suffix.lower(), _text)(path, what)
    numbers = [number for number, _ in numbered]
    if sorted(numbers) != list(range(len(numbers))):
        odd = [number for number in numbers if not 0 <= number < len(numbers) or numbers.count(number) > 1]
        raise DataError(
            f"{what}: {len(numbers)} names with numbers that are not 0 to {len(numbers) - 1}, each once: "
            f"{abbreviate([str(n) for n in odd])}. The model's first output has number 0."
        )
    names = [clean(name) for _, name in sorted(numbered)]
    if len(names) != outputs:
        raise DataError(
            f"{what}: {len(names)} names ({abbreviate(names)}), and the model has {outputs} outputs. Expected a "
            f"name for "
            f"each, in the order in which it was trained; to use some of them alone, name all and select with `map_`."
        )
    empty = [str(number) for number, name in enumerate(names) if not name]
    if empty:
        raise DataError(f"{what}: no name for output {abbreviate(empty)}. Name every output.")
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        where = "; ".join(
            f"{name!r} of outputs {', '.join(str(n) for n, one in enumerate(names) if one == name)}"
            for name in twice[:SHOWN_NEAR]
        )
        raise DataError(
            f"{what}: names that stand for several outputs: {where}. Make each a name of its own."
        )
    return tuple(names)


def _text(path: Path, what: str) -> list[tuple[int, str]]:
    lines = _utf8(path, what).splitlines()
    while lines and not lines[-1].strip():
        lines.pop()
    # Numbers alone make no such list: "zone 0", "zone 1" are names.
    places = [re.fullmatch(r"\s*/[a-z]/(\S.*?)\s+(\d+)\s*", line) for line in lines]
    found = [(int(place[2]), place[1]) for place in places if place]
    if sorted(number for number, _ in found) == list(range(len(lines))):
        return found
    return list(enumerate(lines))


def _utf8(path: Path, what: str) -> str:
    """A file's text, with or without the mark that some editors of Windows put first."""
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{what}: not a text file in UTF-8: {error.reason}. Save it as UTF-8.") from error


def _json(path: Path, what: str) -> list[tuple[int, str]]:
    try:
        values = json.loads(_utf8(path, what))
    except ValueError as error:
        raise DataError(
            f"{what}: not JSON: {error}. Mend it there; or give the names as text, one a line (.txt)."
        ) from error
    if isinstance(values, list) and all(isinstance(value, str) for value in values):
        return list(enumerate(values))
    if isinstance(values, dict) and values:
        if all(isinstance(value, int) and not isinstance(value, bool) for value in values.values()):
            return [(number, name) for name, number in values.items()]
        if all(re.fullmatch(r"\d+", key) for key in values) and all(
            isinstance(value, str) for value in values.values()
        ):
            return [(int(number), name) for number, name in values.items()]
    raise DataError(
        f'{what}: expected a list of names, {{"0": "name", ...}} or {{"name": 0, ...}}; found '
        f"{type(values).__name__} of another kind"
    )


def _csv(path: Path, what: str) -> list[tuple[int, str]]:
    rows = read_table(path, what, ("class",))
    if not rows or "index" not in {clean(name).casefold() for name in rows[0].fields}:
        return [(number, row.fields["class"]) for number, row in enumerate(rows)]
    numbered = []
    for row in read_table(path, what, ("class", "index")):
        text = row.fields["index"].strip()
        if not re.fullmatch(r"\d+", text):
            raise DataError(f"{what}, line {row.line}: index {text!r}, expected the output's number, from 0")
        numbered.append((int(text), row.fields["class"]))
    return numbered


def read_shares(path: Path, classes: Classes) -> tuple[float, ...] | None:
    """Shares of the task's classes among the images that the model was trained on; None where the file does not say.

    Args:
        path: that of :func:`read_names`, which could read it; a CSV's column ``images`` has how many there were of
            each.

    Raises:
        DataError: numbers that are no counts, or a class without images.
    """
    what = f"`source_classes={path}`"
    if path.suffix.lower() not in (".csv", ".tsv"):
        return None
    rows = read_table(path, what, ("class",))
    if "images" not in {clean(name).casefold() for name in rows[0].fields}:
        return None
    counts = {}
    for row in read_table(path, what, ("class", "images")):
        text = row.fields["images"].strip()
        if not re.fullmatch(r"\d+", text):
            raise DataError(
                f"{what}, line {row.line}: images {text!r}, expected how many this class was trained on"
            )
        counts[clean(row.fields["class"])] = int(text)
    found = [sum(counts[name] for name in members) for members in classes.members]
    if not all(found):
        empty = [name for name, count in zip(classes.names, found, strict=True) if not count]
        raise DataError(f"{what}: no images of {abbreviate(empty)}: a class without images cannot be known")
    return tuple(count / sum(found) for count in found)


def all_classes(names: Sequence[str]) -> Classes:
    """Every output a class of its own."""
    return Classes(
        tuple(names), tuple((number,) for number in range(len(names))), tuple((name,) for name in names)
    )


def read_map(path: Path, names: Sequence[str]) -> Classes:
    """Select and merge: a CSV ``source_class,task_class``, and perhaps ``index``, which must be the output's number.

    A source class without a row, or with an empty task_class, is left out. Classes of the task are in the order in
    which they first stand there.

    Args:
        names: of all outputs.

    Raises:
        DataError: a name that no output has, one of two classes, a task class without a source class, fewer than two
            classes, or an index that is another output's.
    """
    what = f"`map_={path}`"
    if not path.is_file():
        raise DataError(f"{what}: no such file. Expected a CSV with the columns source_class,task_class.")
    known = {name: number for number, name in enumerate(names)}
    rows = read_table(path, what, ("source_class", "task_class"), ("source_class", "task_class"))
    groups: dict[str, list[int]] = {}
    seen: dict[int, str] = {}
    for row in rows:
        name, task = clean(row.fields["source_class"]), clean(row.fields["task_class"])
        where = f"{what}, line {row.line}"
        if not name:
            groups.setdefault(task, [])
            continue
        if name not in known:
            near = ", ".join(difflib.get_close_matches(name, known, SHOWN_NEAR))
            others = f"near are {near}" if near else f"it has {abbreviate(list(names))}"
            raise DataError(
                f"{where}: {name!r} is no class of the source model; {others}. Write it as `source_classes` has it."
            )
        number = known[name]
        given = clean({key.casefold(): value for key, value in row.fields.items()}.get("index", ""))
        if given and given != str(number):
            raise DataError(
                f"{where}: {name!r} is given index {given}, and in `source_classes` it is output {number}: one "
                f"of the two files has another order. Bring that of the training into `source_classes`."
            )
        if number in seen:
            before = "" if seen[number] == task else f", now as {task!r}, before as {seen[number]!r}"
            raise DataError(f"{where}: {name!r} a second time{before}. Keep one of the rows.")
        seen[number] = task
        if task:
            groups.setdefault(task, []).append(number)
    empty = [task for task, members in groups.items() if not members]
    if empty:
        raise DataError(
            f"{what}: task classes that no source class belongs to: {abbreviate(empty)}. A class that the source model "
            f"does not know cannot be recognized: name its members, or remove the row."
        )
    if len(groups) < 2:
        shown = f"{len(groups)} class{'' if len(groups) == 1 else 'es'} of the task"
        raise DataError(f"{what}: {shown}{f' ({next(iter(groups))})' if groups else ''}, expected at least 2")
    members = tuple(tuple(names[number] for number in group) for group in groups.values())
    return Classes(tuple(groups), tuple(tuple(group) for group in groups.values()), members)


def unnamed(file: str, outputs: int) -> UsageError:
    """What a person without ``source_classes`` is told."""
    return UsageError(
        f"{file}: its {outputs} outputs have no names. Give `source_classes=FILE`: a text file with one name a "
        f"line, JSON "
        f"or CSV, in the order in which the model was trained (torchvision's ImageFolder: the folders' names, sorted). "
        f"They are not guessed: in a wrong order every class gets the name of another, and nothing shows it."
    )
