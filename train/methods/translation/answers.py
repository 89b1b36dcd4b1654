"""From what the translations answer to the teacher: a class prior, balanced answers, self-training, neighbors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.config import TranslationConfig
from tgkt_edge.train.methods.translation.class_prior import answered_shares, priors
from tgkt_edge.train.methods.translation.estimated_prior import TRUSTED, Doubt, doubt
from tgkt_edge.train.methods.translation.labelled import Labelled, corrected
from tgkt_edge.train.methods.translation.prior import balance
from tgkt_edge.train.methods.translation.reverse import mean_opinion
from tgkt_edge.train.methods.translation.smoothing import Smoother, Trial, trial

Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Taught:
    """The teacher of N frames.

    Attributes:
        labels: (N, K). first: (N, K), before self-training and neighbors. prior: (K,).
        doubt: what two translations say of a prior that was given, or named; None of one alone, or where the prior is
            their estimate.
        trial: what these two do to the agreement of two translations; None of one alone, or where the options leave
            both out.
    """

    labels: Reals
    first: Reals
    prior: Reals
    trial: Trial | None = None
    doubt: Doubt | None = None


def teach(
    opinions: Sequence[Reals],
    components: Reals,
    shares: Reals | None,
    given_prior: Reals | None,
    cfg: TranslationConfig,
    labelled: Labelled | None = None,
    trusted: tuple[float, float] = TRUSTED,
) -> Taught:
    """Probabilities of the task's frames from the (N, K) logits of one translation or two.

    Self-training and neighbors are left out where they would harm: see :mod:`smoothing`.

    Args:
        components: (N, C) of the frames, for self-training and neighbors.
        shares: (K,) of the source's classes, None if unknown.
        given_prior: (K,) of a file; None: as ``cfg.prior`` names it.
        labelled: frames whose classes a person gave: they correct the first answers and take part as they are.
        trusted: of an estimated prior, see :func:`priors`.
    """
    apart = [mean_opinion([one], cfg.scale) for one in opinions]
    logits = mean_opinion(opinions, cfg.scale, (1.0, cfg.reverse_weight))
    towards = priors(cfg.prior, shares, given_prior, logits.shape[1], apart, trusted)
    prior = np.sum([weight * prior for weight, prior in towards], 0)
    said = None
    if len(apart) == 2 and (given_prior is not None or cfg.prior != "estimated"):
        known = answered_shares(apart[0]) if shares is None else shares
        said = doubt(apart[0], apart[1], known, prior, trusted[1])
    smooth, seen = Smoother(components, cfg), None
    if len(apart) == 2 and not smooth.idle:
        seen = trial(apart[0], apart[1], components, prior, cfg)
    first, labels = np.zeros_like(logits), np.zeros_like(logits)
    for weight, expected in towards:
        started = logits
        if labelled is not None:
            logs = balance(logits, expected)[0]
            started = corrected(np.maximum(logs, LEAST), components, labelled)
        begun = np.exp(balance(started, expected)[0])
        first += weight * begun
        kept = seen is not None and seen.harms
        labels += weight * (begun if kept else smooth(started, expected, labelled))
    return Taught(labels if labelled is None else labelled.fixed(labels), first, prior, seen, said)


LEAST = -30.0
"""Of a log probability that labels may still correct."""
