"""What a person should know although nothing failed: one line, once, through Python's ``logging``.

Programs that use the package as a library find the lines at the logger ``tgkt_edge`` and may show, silence or
redirect them; nothing is printed before they do. The command line prints them on stderr.
"""

from __future__ import annotations

import logging

LOGGER = logging.getLogger("tgkt_edge")
LOGGER.addHandler(logging.NullHandler())

_noted: set[str] = set()


def note(text: str) -> None:
    """Log ``text`` as a warning, unless this process did before: the same data may be read several times."""
    if text not in _noted:
        _noted.add(text)
        LOGGER.warning(text)


def forget_notes() -> None:
    """Let every note be logged again: a new command begins."""
    _noted.clear()
