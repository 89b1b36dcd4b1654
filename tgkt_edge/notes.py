"""What a person should know although nothing failed: one line, once, through Python's ``logging``.

Programs that use the package as a library find the lines at the logger ``tgkt_edge`` and may show, silence or
redirect them; nothing is printed before they do. The command line prints them on stderr.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager

LOGGER = logging.getLogger("tgkt_edge")
LOGGER.addHandler(logging.NullHandler())

LOADER = "tgkt-edge load"
"""Name of a thread that loads a network beside what the program does. The program must not end as usual below it."""

_noted: set[str] = set()
_phrase: Callable[[str], str] | None = None


def note(text: str) -> None:
    """Log ``text`` as a warning, unless this process did before: the same data may be read several times."""
    if text not in _noted:
        _noted.add(text)
        LOGGER.warning(text)


@contextmanager
def phrased(translate: Callable[[str], str]) -> Iterator[None]:
    """Within, what goes to a person's stderr without ``logging`` is put into other words, too: see :func:`phrase`."""
    global _phrase
    before, _phrase = _phrase, translate
    try:
        yield
    finally:
        _phrase = before


def phrase(text: str) -> str:
    """``text``, which names Python arguments, as the program that shows it says it: the command line names flags."""
    return text if _phrase is None else _phrase(text)


def log_progress(line: str) -> None:
    """Log how far something is: what a ``say`` is given where nothing else listens."""
    LOGGER.info("%s", line)


def forget_notes() -> None:
    """Let every note be logged again: a new command begins."""
    _noted.clear()
