"""Choosing among candidate networks without labels: which agrees most with the average of all (EnsV)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]


def ensemble_agreement(candidates: Mapping[str, Floats]) -> dict[str, float]:
    """How often each candidate names the class that the average of all candidates' softmax names.

    The average is at least as good as a candidate drawn at random, and tends to be better than most; so the
    candidate nearest to it is a safe choice (Hu et al., "EnsV", 2023). It is blind where most candidates share a
    mistake: epochs of one student are such a majority.

    Args:
        candidates: name to (N, K) probabilities, the same frames in the same order.

    Returns:
        Shares 0 to 1, in the order given. Ties of the average go to the first class.
    """
    average = np.mean([p.astype(np.float64) for p in candidates.values()], axis=0)
    named = average.argmax(1)
    return {name: float((p.argmax(1) == named).mean()) for name, p in candidates.items()}


def chosen(agreement: Mapping[str, float]) -> str:
    """The name with the largest agreement; the first of equals."""
    return max(agreement, key=lambda name: agreement[name])
