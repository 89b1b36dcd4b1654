"""``-v``, ``-q`` and ``--debug``, before a command or after it: what the package logs goes to stderr, as lines for a
person."""

from __future__ import annotations

import logging
from typing import Annotated, Any

import typer
import typer.main

from tgkt_edge.cli.flags import as_flags
from tgkt_edge.errors import UsageError
from tgkt_edge.notes import LOGGER

_CHOSEN = "tgkt_edge.log"  # in the meta of contexts, which those of commands share: flags that were given


class StderrHandler(logging.Handler):
    """Prints records on the stderr of the moment: a warning as a note, everything else as it is."""

    def emit(self, record: logging.LogRecord) -> None:
        """One record."""
        mark = "note: " if record.levelno >= logging.WARNING else ""
        typer.echo(f"{mark}{as_flags(record.getMessage())}", err=True)


def log_options() -> list[Any]:
    """The options, for the program and for each of its commands; none reaches a command's function."""
    made = typer.Typer(add_completion=False)
    made.command()(_options)
    return list(typer.main.get_command(made).params)


def configure(context: Any) -> None:
    """Print on stderr what is logged: reasons, too (``-v``), progress, or notes only (``-q``).

    Raises:
        UsageError: (exit 2) both were given.
    """
    chosen = context.meta.get(_CHOSEN, ())
    if "verbose" in chosen and "quiet" in chosen:
        raise UsageError("-v and -q: give one of them")
    if not any(isinstance(handler, StderrHandler) for handler in LOGGER.handlers):
        LOGGER.addHandler(StderrHandler())
    level = logging.DEBUG if "verbose" in chosen else logging.WARNING if "quiet" in chosen else logging.INFO
    LOGGER.setLevel(level)


def is_quiet() -> bool:
    """Whether progress is not to be shown."""
    return LOGGER.level > logging.INFO


def wants_traceback(context: Any) -> bool:
    """Whether ``--debug`` was given."""
    return "debug" in context.meta.get(_CHOSEN, ())


def _choose(context: typer.Context, option: typer.CallbackParam, value: bool) -> bool:
    if value:
        context.meta.setdefault(_CHOSEN, set()).add(option.name)
        if context.parent is not None:  # the program has configured its log by now
            configure(context)
    return value


def _options(
    debug: Annotated[
        bool,
        typer.Option(
            "--debug",
            envvar="TGKT_EDGE_DEBUG",
            help="Show a traceback with every error.",
            callback=_choose,
            expose_value=False,
        ),
    ] = False,
    verbose: Annotated[
        bool,
        typer.Option(
            "--verbose",
            "-v",
            help="Print reasons, too: why engines were skipped, and so on.",
            callback=_choose,
            expose_value=False,
        ),
    ] = False,
    quiet: Annotated[
        bool,
        typer.Option(
            "--quiet",
            "-q",
            help="No progress on stderr: only results, notes and errors.",
            callback=_choose,
            expose_value=False,
        ),
    ] = False,
) -> None:
    """Never called: typer makes the options of it."""
