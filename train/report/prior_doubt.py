"""Class shares that were given (``prior``) and that the frames speak against.

Answers are balanced towards the shares, so a network that was taught wrong ones puts frames into wrong classes as
neatly as another. Neither the neighborhoods of the frames nor pairs of other scenes show that; two translations that
err apart do, by the shares with which they agree best
(:mod:`tgkt_edge.train.methods.translation.estimated_prior`).

``prior_doubt`` in ``translation`` of report.json: ``estimate`` (shares by class), ``nats`` of mutual information that
the given shares lose against it, ``limit`` and ``differs``; null without a second translation, and where no shares
were given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def prior_warnings(translation: Mapping[str, Any] | None, classes: Sequence[str], name: str) -> list[str]:
    """Where the frames speak against the class shares that were given: for a person to read beside the verdict.

    Args:
        translation: of report.json. name: what ``prior`` was.
    """
    doubt = (translation or {}).get("prior_doubt")
    if translation is None or not doubt or not doubt["differs"]:
        return []
    both = zip(classes, translation["prior"], doubt["estimate"], strict=True)
    apart = sorted(both, key=lambda one: abs(one[1] - one[2]), reverse=True)
    listed = ", ".join(f"{one} {given:.0%} given, {found:.0%} estimated" for one, given, found in apart[:3])
    warning = (
        f"The class shares that were given (`prior={Path(name).name}`) differ from what the frames themselves say: "
        f"{listed}. The two translations agree better by {doubt['nats']:.2f} nats with the estimate (up to "
        f"{doubt['limit']:.2f} may be chance). The verdict does not see that. Where the shares are not known for "
        f"certain, leave `prior` out."
    )
    return [warning]
