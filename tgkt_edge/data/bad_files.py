"""Reading many files of which some are bad: all of those are reported at once, grouped by reason."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

from tgkt_edge.data.names import SHOWN
from tgkt_edge.errors import DataError
from tgkt_edge.notes import note
from tgkt_edge.system.threads import in_threads

Progress = Callable[[str, int, int], None]
"""Called with what is being read, how many are done, how many there are."""


def read_all(
    items: Sequence[Any], read: Callable[[int], object], what: str, progress: Progress | None
) -> list[tuple[int, str]]:
    """Call ``read`` with the number of every item, in threads (decoding releases the GIL).

    Returns:
        Numbers of the items of which it raised DataError, ascending, and the message.
    """

    def attempt(number: int) -> str | None:
        try:
            read(number)
        except DataError as error:
            return str(error)
        return None

    bad: list[tuple[int, str]] = []
    for number, message in enumerate(in_threads(attempt, range(len(items)))):
        if message is not None:
            bad.append((number, message))
        if progress is not None:
            progress(what, number + 1, len(items))
    return bad


def name_of(item: Sequence[Any], message: str) -> str:
    """The file of ``item`` that a message is about: a frame, or one of a pair."""
    names = [str(one) for one in item]
    return next((name for name in names if message.startswith(name)), names[-1])


def report_bad(bad: list[tuple[str, str]], good: bool, total: int, skip_bad: bool, what: str) -> None:
    """Raise DataError about the ``bad`` ones of ``total``, unless they may be skipped and something is left.

    Args:
        bad: name and message of each; equal reasons are told once, with a count.
    """
    if not bad:
        return
    reasons = group_reasons(bad)
    listed = "\n  ".join(reasons[:SHOWN]) + (
        f"\n  ... and {len(reasons) - SHOWN} more reasons" if len(reasons) > SHOWN else ""
    )
    if skip_bad and good:
        note(f"{what}: left out {len(bad)} of {total} (`skip_bad=True`):\n  {listed}")
        return
    advice = (
        "Nothing is left."
        if not good
        else "Repair or remove them, or give `skip_bad=True` to go on without them."
    )
    raise DataError(f"{what}: {len(bad)} of {total} cannot be used:\n  {listed}\n{advice}")


def group_reasons(bad: Sequence[tuple[str, str]]) -> list[str]:
    """One line for each reason, the most frequent first.

    Args:
        bad: name and message of each, which may begin with the name. Sizes in bytes make no other reason.
    """
    groups: dict[str, list[tuple[str, str]]] = {}
    for name, message in bad:
        reason = re.sub(r"\d+ bytes", "N bytes", message.replace(name, ""))
        groups.setdefault(reason, []).append((name, message))
    lines = []
    for members in sorted(groups.values(), key=len, reverse=True):
        name, message = members[0]
        if len(members) == 1:
            lines.append(message)
        else:
            lines.append(
                f"{len(members)} files, the first {name}: {message.removeprefix(name).lstrip(':, ')}"
            )
    return lines
