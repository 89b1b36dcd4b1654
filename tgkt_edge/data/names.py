"""Text that people and spreadsheets write: spaces, invisible characters and Unicode forms that change no meaning."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from pathlib import Path

SHOWN = 8
"""Names in one message."""

# Unicode's "default ignorable" characters, except joiners and variants of a glyph: zero-width spaces, soft hyphens,
# fillers, tags, and marks of the direction of writing (Windows puts one before each path that is copied from its
# properties); and control characters, except those that are blanks.
_INVISIBLE = re.compile(
    "[\0-\x08\x0e-\x1b\x7f-\x84\x86-\x9f\u00ad\u034f\u061c\u115f\u1160\u17b4\u17b5\u180b-\u180f\u200b\u200e\u200f"
    "\u202a-\u202e\u2060-\u206f\u3164\ufeff\uffa0\ufff9-\ufffb\U0001bca0-\U0001bca3\U000e0000-\U000e0fff]"
)
_EMPTY = str.maketrans({"\u2800": " "})  # Braille without a dot
_JOINERS = "\u200c\u200d"  # parts of words in some scripts, meaningless at the ends


def clean(text: str) -> str:
    """``text`` in the form in which names are compared: NFC, without what cannot be seen, blanks single, none outside.

    ``"hall "``, ``"\\u200bhall"`` and ``"hall\\xa0"`` are ``"hall"``; ``"Bu\\u0308ro"`` is ``"B\\xfcro"``.
    """
    words = _INVISIBLE.sub("", unicodedata.normalize("NFC", text)).translate(_EMPTY).split()
    return " ".join(words).strip(_JOINERS).strip()


def class_index(classes: Iterable[str]) -> dict[str, int]:
    """The index of each class by its name as :func:`clean` gives it: a model may have been trained on another form."""
    return {clean(name): number for number, name in enumerate(classes)}


def label_index(classes: Sequence[str], labels: Sequence[str]) -> dict[str, int]:
    """The class that each label means: by its name, or where only case differs by the one class that it can be."""
    index = class_index(classes)
    folded: dict[str, set[str]] = {}
    for name in index:
        folded.setdefault(name.casefold(), set()).add(name)
    for label in set(labels) - set(index):
        meant = folded.get(label.casefold(), set())
        if len(meant) == 1:
            index[label] = index[next(iter(meant))]
    return index


def locate(folder: Path, text: str) -> Path:
    """The file that a field of a CSV in ``folder`` names, absolute or relative to it.

    What is written comes first. Where there is no such file: without blanks and invisible characters around it, in
    the other Unicode form (macOS writes NFD, most others NFC), and with Windows' backslashes turned.

    Returns:
        The first of these that exists, else the path without blanks around it.
    """
    bare = _INVISIBLE.sub("", text).strip().strip(_JOINERS)
    spellings = [text, bare, *(unicodedata.normalize(form, bare) for form in ("NFC", "NFD"))]
    spellings += [spelling.replace("\\", "/") for spelling in spellings[1:] if "\\" in spelling]
    for spelling in spellings:
        if spelling and (folder / spelling).is_file():
            return folder / spelling
    return folder / bare


def abbreviate(names: Sequence[str]) -> str:
    """The first SHOWN names for an error message, and how many more there are."""
    more = f", ... and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(names[:SHOWN]) + more
