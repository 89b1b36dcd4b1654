"""``-v`` and ``-q``: what the package logs goes to stderr, as lines for a person."""

from __future__ import annotations

import logging

import typer

from tgkt_edge.notes import LOGGER


class StderrHandler(logging.Handler):
    """Prints records on the stderr of the moment: a warning as a note, everything else as it is."""

    def emit(self, record: logging.LogRecord) -> None:
        """One record."""
        mark = "note: " if record.levelno >= logging.WARNING else ""
        typer.echo(f"{mark}{record.getMessage()}", err=True)


def configure(*, verbose: bool, quiet: bool) -> None:
    """Print on stderr what is logged: reasons, too (``verbose``), progress, or notes only (``quiet``)."""
    if not any(isinstance(handler, StderrHandler) for handler in LOGGER.handlers):
        LOGGER.addHandler(StderrHandler())
    LOGGER.setLevel(logging.DEBUG if verbose else logging.WARNING if quiet else logging.INFO)


def is_quiet() -> bool:
    """Whether progress is not to be shown."""
    return LOGGER.level > logging.INFO


def log_progress(line: str) -> None:
    """Log how far a command is: what the ``say`` of its function is given."""
    LOGGER.info("%s", line)
