"""The reference of the command line and of its exit codes, made from the program itself."""

from __future__ import annotations

import inspect
import re
import textwrap
from typing import TYPE_CHECKING, Any

import typer.main

from tgkt_edge import errors
from tgkt_edge.cli.main import app

if TYPE_CHECKING:
    from mkdocs.config.defaults import MkDocsConfig
    from mkdocs.structure.files import Files

INTRODUCTION = (
    "`tgkt-edge COMMAND --help` prints the same. Text for people goes to stderr, output for programs "
    "(`--json`, JSON lines) to stdout. `tgkt-edge --install-completion` lets your shell complete commands "
    "and flags."
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """MkDocs calls it before it builds."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, "reference/cli.md", content=command_line()))
    files.append(File.generated(config, "reference/exit-codes.md", content=exit_codes()))
    return files


def command_line() -> str:
    """Every command with every flag, its default and what it does, as ``--help`` has them."""
    parts = [f"# Command line\n\n{INTRODUCTION}\n"]
    for name, command in commands():
        parts.append(f"## tgkt-edge {name}\n" if name else "## tgkt-edge\n")
        parts.append(inspect.cleandoc(command.help or "") + "\n")
        context = command.context_class(command, info_name=f"tgkt-edge {name}".strip())
        usage = [_metavar(one) for one in command.params if one.param_type_name == "argument"]
        parts.append(
            f"```\n{' '.join(part for part in ('tgkt-edge', name, *usage, '[OPTIONS]') if part)}\n```\n"
        )
        rows = [_parameter(one, context) for one in command.params]
        if command.epilog and name:
            parts.append("```text\n" + inspect.cleandoc(command.epilog.replace("\b\n", "")) + "\n```\n")
        if rows:
            parts.append("| | what it does | default |\n|---|---|---|\n" + "\n".join(rows) + "\n")
    return "\n".join(parts)


def commands() -> list[tuple[str, Any]]:
    """(words after ``tgkt-edge``, command) of the program and all that it can do."""
    found: list[tuple[str, Any]] = []

    def walk(command: Any, words: str) -> None:
        found.append((words, command))
        for name, below in getattr(command, "commands", {}).items():
            walk(below, f"{words} {name}".strip())

    walk(typer.main.get_command(app), "")
    return found


def flags(parameter: Any) -> list[str]:
    """How an option is written, e.g. ``-o``, ``--out``; of an argument its name."""
    if parameter.param_type_name == "argument":
        return [_metavar(parameter)]
    return [*parameter.opts, *parameter.secondary_opts]


def _metavar(parameter: Any) -> str:
    return str(parameter.metavar or parameter.name.upper())


def _parameter(parameter: Any, context: Any) -> str:
    printed = (parameter.get_help_record(context) or (_metavar(parameter), ""))[
        0
    ]  # as --help: -o, --out PATH
    shown = re.sub(r"(?<!\S)(--?[a-z][\w-]*)", r"`\1`", _cell(printed))
    if parameter.param_type_name == "argument":
        shown = f"`{_metavar(parameter)}`"
    default = "required" if parameter.required else _default(parameter)
    if getattr(parameter, "multiple", False):
        default = f"{default}; repeatable".removeprefix("; ")
    text = _cell(parameter.help or "") + (f" (environment: `{parameter.envvar}`)" if parameter.envvar else "")
    return f"| {shown} | {text} | {default} |"


def _default(parameter: Any) -> str:
    value = parameter.default
    if value is None or value is False or callable(value) or value == []:
        return ""
    return "on" if value is True else f"`{value}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|").replace("<", "&lt;")


def exit_codes() -> str:
    """The tree of errors and their codes."""
    text = inspect.cleandoc(errors.__doc__ or "").replace("::\n", "", 1)
    first, _, rest = text.partition("\n\n")
    tree, last = rest.rsplit("\n\n", 1)
    return (
        f"# Exit codes and errors\n\n{first}\n\n```\n{textwrap.dedent(tree).strip()}\n```\n\n{last}\n\n"
        "| code | meaning |\n|---|---|\n"
        "| 0 | done |\n| 1 | something failed while it ran |\n"
        "| 2 | a flag, a configuration or the data that you brought |\n"
        "| 3 | a check was not passed: verification, or the accuracy gate |\n"
        "| 4 | a checkpoint, bundle or engine is damaged, of another task, or cannot be used here |\n"
        "| 5 | the camera or recording is lost, or its frames do not fit |\n"
        "| 6 | a library is missing; the message names the extra |\n| 130 | interrupted with Ctrl-C |\n\n"
        "`--debug` (or `TGKT_EDGE_DEBUG=1`) shows a traceback with every error. What to do about each kind of message: "
        "[Troubleshooting](../troubleshooting.md).\n"
    )
