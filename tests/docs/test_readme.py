"""README is one page, its links lead to files, and its commands are those that the Makefile and the program have."""

from __future__ import annotations

import re

from tests.support.checkout import REPOSITORY
from tgkt_edge.cli.main import app

README = (REPOSITORY / "README.md").read_text(encoding="utf-8")


def test_readme_is_one_page() -> None:
    assert len(README.splitlines()) <= 120


def test_every_link_of_readme_leads_to_a_file() -> None:
    links = [link for link in re.findall(r"\]\(([^)#]+)", README) if "://" not in link]
    assert len(links) > 15
    assert [link for link in links if not (REPOSITORY / link).is_file()] == []


def test_its_two_commands_are_targets_of_the_makefile() -> None:
    makefile = (REPOSITORY / "Makefile").read_text(encoding="utf-8")
    for target in ("demo", "test"):
        assert re.search(rf"^make {target} +#", README, re.MULTILINE)
        assert re.search(rf"^{target}: ", makefile, re.MULTILINE)


def test_its_commands_are_those_of_the_program() -> None:
    shown = set(re.findall(r"^tgkt-edge (\w+)", README, re.MULTILINE))
    assert shown == {"adapt", "evaluate", "export", "run"}
    assert shown <= {command.name for command in app.registered_commands}


def test_pictures_are_small() -> None:
    for picture in re.findall(r"!\[[^]]*\]\(([^)]+)\)", README):
        assert (REPOSITORY / picture).stat().st_size < 300_000
