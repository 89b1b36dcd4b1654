"""What labels say that cannot be: one image with two labels, one class under two spellings."""

from __future__ import annotations

import hashlib
import unicodedata
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from tgkt_edge.data.names import abbreviate
from tgkt_edge.errors import DataError
from tgkt_edge.io.atomic import sha256_of
from tgkt_edge.io.parts import split_part
from tgkt_edge.notes import note

_ENDS = 4096
_MISSING = frozenset({"nan", "na", "n/a", "#n/a", "<na>", "null", "none", "-"})
"""How spreadsheets and programs write that there is no value; in lower case."""

_DASHES = dict.fromkeys(map(ord, "\u2010\u2011\u2012\u2013\u2014\u2015\u2212\ufe58\ufe63\uff0d"), "-")
_UNSEEN = dict.fromkeys([*range(0xFE00, 0xFE10), 0x200C, 0x200D])  # variants of a glyph, joiners


def refuse_contradictions(
    what: str, files: Sequence[Path], labels: Sequence[str], places: Sequence[str]
) -> None:
    """Raise DataError where one image has two labels, or two labels look like one. Copies of an image under two
    labels, and labels that may be missing values, are noted.

    Args:
        what: what an error calls the source of the labels.
        places: where each label was found, e.g. "line 3".
    """
    first: dict[tuple[int, int, str], int] = {}
    by_size: dict[int, list[int]] = defaultdict(list)
    wrong = []
    for number, file in enumerate(files):
        plain = split_part(file)[0]
        try:
            about = plain.stat()
        except OSError:  # its reader reports it
            continue
        key = (about.st_dev, about.st_ino, file.name[len(plain.name) :])
        before = first.setdefault(key, number)
        if before == number and file == plain:
            by_size[about.st_size].append(number)
        if labels[before] != labels[number]:
            wrong.append(
                f"{file} is '{labels[before]}' ({places[before]}) and '{labels[number]}' ({places[number]})"
            )
    if wrong:
        raise DataError(f"{what}: one image with two labels: {abbreviate(wrong)}. Keep the right one.")
    _refuse_spellings(what, labels, places)
    _note_missing(what, labels, places)
    copies = [
        f"{files[one]} is '{labels[one]}' ({places[one]}), {files[other]} is '{labels[other]}' ({places[other]})"
        for one, other in _copies(files, labels, list(by_size.values()))
    ]
    if copies:
        note(f"{what}: files of equal content with different labels: {abbreviate(copies)}. Keep one label.")


def look(label: str) -> str:
    """A label reduced to what the eye distinguishes: widths of letters, ligatures, dashes and joiners made equal."""
    return unicodedata.normalize("NFKC", label.translate(_UNSEEN)).casefold().translate(_DASHES)


def _refuse_spellings(what: str, labels: Sequence[str], places: Sequence[str]) -> None:
    spelled: dict[str, int] = {}
    case: list[str] = []
    alike: list[str] = []
    for number, label in enumerate(labels):
        before = spelled.setdefault(look(label), number)
        if labels[before] == label:
            continue
        listed = case if labels[before].lower() == label.lower() else alike
        listed.append(f"'{_seen(labels[before])}' ({places[before]}) and '{_seen(label)}' ({places[number]})")
    if case:
        raise DataError(
            f"{what}: classes that differ in nothing but case: {abbreviate(case)}. Write each in one way."
        )
    if alike:
        raise DataError(
            f"{what}: classes that look alike and are written with different characters: {abbreviate(alike)}. Write "
            f"each in one way."
        )


def _seen(label: str) -> str:
    """``label`` with every character that is not plain ASCII by its number, where it has such."""
    return label if label.isascii() else f"{label}' = '{label.encode('ascii', 'backslashreplace').decode()}"


def _note_missing(what: str, labels: Sequence[str], places: Sequence[str]) -> None:
    found: dict[str, int] = {}
    for number, label in enumerate(labels):
        if label.casefold() in _MISSING:
            found.setdefault(label, number)
    for label, number in found.items():
        note(
            f"{what}: '{label}' ({places[number]}, {labels.count(label)} images) is read as the name of a class. If it "
            f"says that there is no label, remove these rows."
        )


def _copies(
    files: Sequence[Path], labels: Sequence[str], groups: Sequence[list[int]]
) -> list[tuple[int, int]]:
    """Numbers of files of equal content and different labels; of files of equal size the ends are compared first."""
    found = []
    for group in groups:
        if len({labels[number] for number in group}) < 2:
            continue
        for similar in _equal(group, [_digest(files[number], _ENDS) for number in group]):
            if len({labels[number] for number in similar}) < 2:
                continue
            for same in _equal(similar, [_digest(files[number]) for number in similar]):
                other = next((number for number in same if labels[number] != labels[same[0]]), None)
                if other is not None:
                    found.append((same[0], other))
    return found


def _equal(numbers: Sequence[int], keys: Sequence[str]) -> list[list[int]]:
    groups: dict[str, list[int]] = defaultdict(list)
    for number, key in zip(numbers, keys, strict=True):
        groups[key].append(number)
    return [group for key, group in groups.items() if key and len(group) > 1]


def _digest(file: Path, ends: int | None = None) -> str:
    """SHA-256 of a file, or of its first and last bytes; empty: it cannot be read, which its reader reports."""
    try:
        if ends is None:
            return sha256_of(file)
        with file.open("rb") as opened:
            head = opened.read(ends)
            opened.seek(max(0, opened.seek(0, 2) - ends))
            return hashlib.sha256(head + opened.read()).hexdigest()
    except OSError:
        return ""
