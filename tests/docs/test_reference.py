"""The reference names everything that the program has, and the troubleshooting page quotes messages that exist."""

from __future__ import annotations

import ast
import dataclasses
import importlib.util
import re
from typing import Any

import pytest

from tests.support.checkout import REPOSITORY
from tgkt_edge.cli.flags import as_flags
from tgkt_edge.config_removed import REMOVED, REMOVED_VALUES, RENAMED
from tgkt_edge.errors import TgktEdgeError


def hook(name: str) -> Any:
    """A module of ``docs/hooks``."""
    found = importlib.util.spec_from_file_location(name, REPOSITORY / "docs" / "hooks" / f"{name}.py")
    assert found is not None
    assert found.loader is not None
    module = importlib.util.module_from_spec(found)
    found.loader.exec_module(module)
    return module


def test_every_command_and_every_flag_is_in_the_reference() -> None:
    generate = hook("command_line")
    sections = generate.command_line().split("\n## tgkt-edge")
    commands = generate.commands()
    assert {name for name, _ in commands} >= {"adapt", "evaluate", "export", "run", "data prepare"}
    for name, command in commands:
        (section,) = [text for text in sections[1:] if text.partition("\n")[0].strip() == name]
        for parameter in command.params:
            for flag in generate.flags(parameter):
                assert f"`{flag}`" in section, f"tgkt-edge {name}: {flag}"
            if parameter.help:
                assert generate._cell(parameter.help) in section


def test_every_option_of_the_configuration_is_in_the_reference() -> None:
    generate = hook("configuration")
    page, seen = generate.configuration(), 0
    for section, cls in generate.config_sections().items():
        for field in dataclasses.fields(cls):
            if field.name not in generate.config_sections():
                key = f"{section}.{field.name}" if section else field.name
                assert f"| `{key}` | " in page, key
                seen += 1
    assert seen > 40
    for key in (*REMOVED, *RENAMED, *(f"{key}={value}" for key, value in REMOVED_VALUES)):
        assert f"| `{key}` | " in page, key


def test_every_public_name_is_in_the_reference() -> None:
    generate = hook("python_api")
    page = generate.python_api()
    for module, names in generate.public_names().items():
        assert f"## {module}\n" in page
        for name in names:
            _, heading, text = page.partition(f"### {name}\n")
            assert heading, f"{module}.{name}"
            assert len(text.partition("\n### ")[0].split()) > 5, f"{module}.{name} is not described"


def test_every_error_and_exit_code_is_in_the_reference() -> None:
    generate = hook("command_line")
    page, kinds = generate.exit_codes(), [TgktEdgeError]
    for kind in kinds:
        kinds += [one for one in kind.__subclasses__() if one.__module__ == TgktEdgeError.__module__]
        assert re.search(rf"{kind.__name__}\s+{kind.exit_code} ", page), kind.__name__
        assert f"| {kind.exit_code} |" in page
    assert len(kinds) > 8


def messages() -> list[str]:
    """Every text of the code as the command line prints it, what is filled in as one NUL."""
    found = []
    for top in ("tgkt_edge", "train", "export", "runtime"):
        for file in (REPOSITORY / top).rglob("*.py"):
            for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
                if isinstance(node, ast.JoinedStr):
                    parts = [str(v.value) if isinstance(v, ast.Constant) else "\0" for v in node.values]
                    found.append("".join(parts))
                elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                    found.append(node.value)
    return [as_flags(text) for text in found]


@pytest.mark.slow
def test_messages_of_the_troubleshooting_page_are_those_of_the_program() -> None:
    page = (REPOSITORY / "docs" / "troubleshooting.md").read_text(encoding="utf-8")
    quoted = [
        quote
        for row in re.findall(r"^\| (.*?) \| .* \|$", page, re.MULTILINE)
        for quote in re.findall(r"`([^`]{12,})`", row)
        if " " in quote
    ]
    assert len(quoted) > 60
    texts, unknown = messages(), []
    for quote in quoted:
        pattern = re.compile(".*".join(re.escape(part.strip()) for part in quote.split("…")), re.DOTALL)
        if not any(pattern.search(text) for text in texts):
            unknown.append(quote)
    assert not unknown


def test_a_formatter_left_the_marks_of_included_files_alone() -> None:
    """In a block of Python ``--8<-- "FILE"`` is an expression, which ruff spaces out: the file would be missing."""
    marks = 0
    for page in (REPOSITORY / "docs").rglob("*.md"):
        for line in page.read_text(encoding="utf-8").splitlines():
            if re.match(r"\s*-+\s*8\s*<", line):
                assert line.strip().startswith("--8<--"), f"{page}: {line}"
                marks += 1
    assert marks >= 3
