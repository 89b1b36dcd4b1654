"""Messages name Python arguments; on the command line each reads as the flag that a person types."""

from __future__ import annotations

import ast
import logging
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import tgkt_edge
from tests.support.commands import all_commands
from tgkt_edge.cli.flags import as_flags, flag_of
from tgkt_edge.cli.log import StderrHandler
from tgkt_edge.cli.main import app
from tgkt_edge.errors import UsageError
from tgkt_edge.notes import LOGGER


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("`max_drop=1.5`: expected a share", "--max-drop 1.5: expected a share"),
        ("give frames with `calibrate=T`, or `verify=False`", "give frames with --calibrate T, or --no-verify"),
        ("give `skip_bad=True` to go on", "give --skip-bad to go on"),
        ("`precisions=fp64`, `engines`, `out=BUNDLE`", "--precision fp64, --engine, -o BUNDLE"),
        ("a name with `a blank in it` or ``two`` stays", "a name with `a blank in it` or ``two`` stays"),
        ("`camera=/dev/video0?a=b` is lost", "--camera /dev/video0?a=b is lost"),
    ],
)  # fmt: skip
def test_arguments_become_flags(text: str, shown: str) -> None:
    assert as_flags(text) == shown


COMMANDS = {" ".join(words): command for words, command in all_commands()}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_s_argument_becomes_that_option(name: str) -> None:
    options = [one for one in COMMANDS[name].params if one.param_type_name == "option" and one.name != "help"]
    assert options
    for option in options:
        if option.name in ("as_json", "json_path"):  # how a result is printed: no argument of the function
            continue
        assert flag_of(option.name) in option.opts, option.name


# What other programs are given: docker and nvidia-smi, and tgkt-edge itself by the demo.
OF_OTHER_PROGRAMS = (
    "tgkt_edge.system.device_access", "tgkt_edge.system.hardware_state", "tgkt_edge.demo.command",
)  # fmt: skip


def texts(tree: ast.Module) -> Iterator[str]:
    """Every text of a module except docstrings, what is filled in as {}."""
    holders = [
        node for node in ast.walk(tree) if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef)
    ]
    attributes = {id(one.value) for node in holders for one in node.body if isinstance(one, ast.Expr)}
    inside = {
        id(one)
        for node in ast.walk(tree)
        if isinstance(node, ast.JoinedStr)
        for one in ast.walk(node)
        if one is not node
    }
    for node in ast.walk(tree):
        if id(node) in inside or id(node) in attributes:
            continue
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value
        elif isinstance(node, ast.JoinedStr):
            yield "".join(str(one.value) if isinstance(one, ast.Constant) else "{}" for one in node.values)


@pytest.mark.slow
def test_no_message_of_the_library_names_a_flag_except_in_a_command_to_type(layout: Any) -> None:
    known = {
        flag
        for command in COMMANDS.values()
        for option in command.params
        for flag in option.opts
        if "--" in flag
    }
    assert {"--max-drop", "--camera", "--skip-bad", "--prior"} <= known
    wrong, seen = [], 0
    for module, file in layout.modules.items():
        if module.startswith(("tgkt_edge.cli.", *OF_OTHER_PROGRAMS)):
            continue
        for text in texts(ast.parse(file.read_text(encoding="utf-8"))):
            seen += "`" in text
            flags = set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", text)) & known
            if flags and "tgkt-edge " not in text:
                wrong.append(f"{module}: {text}")
    assert seen > 100
    assert not wrong, "\n".join(wrong)


def test_an_error_names_the_argument_in_python_and_the_flag_on_the_command_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^`out=BUNDLE` is missing"):
        tgkt_edge.export(tmp_path)
    done = CliRunner().invoke(app, ["export", str(tmp_path)])
    assert done.exit_code == 2
    assert done.stderr.startswith("error: -o BUNDLE is missing")
    assert "Only --trt of a bundle needs none." in done.stderr


def test_what_is_logged_reads_so_too(
    capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(LOGGER, "handlers", [StderrHandler()])
    with caplog.at_level(logging.INFO, "tgkt_edge"):
        LOGGER.warning("Give more with `calibrate`.")
    assert caplog.messages == ["Give more with `calibrate`."]
    assert capsys.readouterr().err == "note: Give more with --calibrate.\n"
