"""Which head of the way back to listen to: the one that tells more of what the way forth answers.

The two ways err apart, so the way forth is a reference whose errors neither head shares, and a reference that errs
independently ranks two estimates as the truth does (after Lehtinen et al., Noise2Noise, ICML 2018). No label is needed.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.train.methods.translation.class_prior import answered_shares
from tgkt_edge.train.methods.translation.estimated_prior import FRAMES, information
from tgkt_edge.train.methods.translation.reverse import mean_opinion

Reals = NDArray[np.float64]
Name = TypeVar("Name", bound=str)


def favored(
    first: Reals, others: Mapping[Name, Reals], prior: Reals | None, scale: float
) -> tuple[Name, dict[Name, float]]:
    """The name of the best of ``others``, and of each the mutual information with ``first`` in nats.

    Args:
        first, others: (N, K) logits about the same frames. At least one of ``others``; of equals the first is best.
        prior: (K,) that the answers are balanced towards; None: the shares that ``first`` answers.
        scale: spread that all logits are brought to.
    """
    some = np.unique(np.linspace(0, len(first) - 1, min(len(first), FRAMES)).round().astype(np.int64))
    reference = mean_opinion([first], scale)[some]
    expected = answered_shares(reference) if prior is None else prior
    found = {
        name: information(reference, mean_opinion([logits], scale)[some], expected)
        for name, logits in others.items()
    }
    return max(found, key=found.__getitem__), found
