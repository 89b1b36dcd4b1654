"""Whether there is enough to learn from, and what a person should know about it before anything is computed."""

from __future__ import annotations

import numpy as np

from tgkt_edge.data.names import abbreviate
from tgkt_edge.data.sets import Frames, Pairs, blocks
from tgkt_edge.errors import DataError
from tgkt_edge.train.holdout import distinct


def distinct_pairs(pairs: Pairs, given: str, classes: int) -> Pairs:
    """``pairs`` without copies.

    Args:
        given: what ``--paired`` was.

    Raises:
        DataError: too few to fit a translation and leave some out.
    """
    found = distinct(pairs)
    copies = f", {len(pairs) - len(found)} more are copies of them" if len(found) < len(pairs) else ""
    if len(found) == 1:
        raise DataError(
            f"`paired={given}`: one pair{copies}: a translation needs pairs to learn from and others to be tried on. "
            f"Bring a few dozen of different scenes."
        )
    if len(found) < classes:
        raise DataError(
            f"`paired={given}`: {len(found)} pairs{copies}, fewer than the {classes} classes: no translation "
            f"between so many can be learnt from so few scenes. Bring a few dozen of different scenes."
        )
    return found


def remarks(target: Frames) -> list[str]:
    """What a person should know about the data before anything is computed."""
    lines = []
    still = np.flatnonzero(
        np.concatenate([block.min((1, 2)) == block.max((1, 2)) for block in blocks(target.codes)])
    )
    if len(still):
        names = abbreviate([target.names[i] for i in still])
        lines.append(
            f"`target`: {len(still)} of {len(target)} frames are one value all over and show nothing: {names}"
        )
    return lines
