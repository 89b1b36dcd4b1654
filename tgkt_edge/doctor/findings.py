"""What doctor says: one finding a fact, without names of people."""

from __future__ import annotations

import getpass
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Level = Literal["ok", "warning", "problem"]


@dataclass(frozen=True)
class Finding:
    """One sentence about one thing, and what to do about it (empty: nothing)."""

    check: str
    level: Level
    text: str
    advice: str = ""

    def scrubbed(self) -> Finding:
        """The same without home folders and the user's name."""
        return Finding(self.check, self.level, scrub(self.text), scrub(self.advice))


def scrub(text: str) -> str:
    """Replace home folders by ~ and the user's name by USER, so that a report can be published."""
    home = os.path.expanduser("~")  # "~" where there is neither HOME nor an entry for this user
    if home not in ("/", "/root"):
        text = text.replace(home, "~")
    text = re.sub(r"(?<![\w.])/root(?=/|\b)", "~", text)
    text = re.sub(r"/home/[^/\s:'\"]+", "~", text)
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # a container's user without a name
        return text
    return text if user == "root" else re.sub(rf"\b{re.escape(user)}\b", "USER", text)


def as_text(findings: Sequence[Mapping[str, str]]) -> str:
    """Lines for people, of findings as dicts: level, check, sentence; advice below."""
    lines = []
    for finding in findings:
        lines.append(f"{finding['level']:8} {finding['check']:12} {finding['text']}")
        if finding["advice"]:
            lines.append(f"{'':21} -> {finding['advice']}")
    return "\n".join(lines)
