"""Every command and every flag that the documentation shows exists."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from tests.support.checkout import REPOSITORY
from tests.support.commands import ROOT, all_commands

PAGES = [
    REPOSITORY / "README.md",
    *sorted((REPOSITORY / "docs").rglob("*.md")),
    *sorted((REPOSITORY / "benchmarks" / "results").glob("*.md")),
]
COMMENT_OR_NEXT = re.compile(r"\s#|[|;>]|&&|\s{2,}")
HELP = {"-h", "--help"}


def shown(page: Path) -> Iterator[list[str]]:
    """The words after ``tgkt-edge`` of each command that a page shows, in a block or within a line."""
    text = page.read_text(encoding="utf-8").replace("\\\n", " ")
    blocks = re.findall(r"^ *```\w*\n(.*?)^ *```", text, re.MULTILINE | re.DOTALL)
    spans = re.findall(r"`((?:[\w./-]*/)?tgkt-edge [^`]+)`", re.sub(r"(?ms)^ *```.*?^ *```", "", text))
    for line in [line for block in blocks for line in block.splitlines()] + spans:
        found = re.match(r"\s*(?:\$ )?(?:[\w./-]*/)?tgkt-edge +(.+)", line)
        if found:
            yield COMMENT_OR_NEXT.split(found[1])[0].split()


def test_what_pages_show_can_be_typed() -> None:
    known = dict(all_commands())
    groups = {words[0] for words in known}
    everywhere = HELP | {flag for option in ROOT.params for flag in (*option.opts, *option.secondary_opts)}
    looked_at, wrong = 0, []
    for page in PAGES:
        for words in shown(page):
            rest = [word for word in words if word not in ("-v", "-q", "--debug")]
            name = next((tuple(rest[:n]) for n in (2, 1) if tuple(rest[:n]) in known), None)
            if name is None:
                if rest and not rest[0].startswith("-") and rest[0].split("|")[0] not in groups:
                    wrong.append(f"{page.name}: tgkt-edge {' '.join(words)}: no such command")
                continue
            looked_at += 1
            flags = everywhere | {
                flag for option in known[name].params for flag in (*option.opts, *option.secondary_opts)
            }
            for word in rest[len(name) :]:
                flag = word.strip("[]'\"").partition("=")[0]
                if re.fullmatch(r"--[a-z][\w-]*|-[a-z]", flag) and flag not in flags:
                    wrong.append(f"{page.name}: tgkt-edge {' '.join(name)} {flag}")
    assert wrong == []
    assert looked_at > 100
