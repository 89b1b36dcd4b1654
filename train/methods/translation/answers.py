"""From what the translations answer to the teacher: a class prior, balanced answers, self-training, neighbors."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.config import TranslationConfig
from tgkt_edge.train.methods.translation.class_prior import priors
from tgkt_edge.train.methods.translation.labelled import Labelled, corrected
from tgkt_edge.train.methods.translation.neighbors import Neighborhood
from tgkt_edge.train.methods.translation.prior import balance
from tgkt_edge.train.methods.translation.reverse import mean_opinion
from tgkt_edge.train.methods.translation.self_training import self_train

Reals = NDArray[np.float64]


@dataclass(frozen=True)
class Taught:
    """Soft labels for N frames: ``labels`` (N, K); ``first`` (N, K), the same before self-training; ``prior`` (K,)."""

    labels: Reals
    first: Reals
    prior: Reals


def teach(
    opinions: Sequence[Reals],
    components: Reals,
    shares: Reals | None,
    given_prior: Reals | None,
    cfg: TranslationConfig,
    labelled: Labelled | None = None,
) -> Taught:
    """Probabilities of the task's frames from the (N, K) logits of one translation or two.

    Args:
        components: (N, C) of the frames, for self-training and neighbors.
        shares: (K,) of the source's classes, None if unknown.
        given_prior: (K,) of a file; None: as ``cfg.prior`` names it.
        labelled: frames whose classes a person gave: they correct the first answers and take part as they are.
    """
    apart = [mean_opinion([one], cfg.scale) for one in opinions]
    logits = mean_opinion(opinions, cfg.scale, (1.0, cfg.reverse_weight))
    towards = priors(cfg.prior, shares, given_prior, logits.shape[1], apart)
    near = None
    if cfg.spread and min(cfg.neighbors, len(logits) - 1) >= 1:
        near = Neighborhood(components, cfg.neighbors)
    first, labels = np.zeros_like(logits), np.zeros_like(logits)
    for weight, prior in towards:
        started = logits
        if labelled is not None:
            logs = balance(logits, prior)[0]
            started = corrected(np.maximum(logs, LEAST), components, labelled)
        first += weight * np.exp(balance(started, prior)[0])
        trained = np.exp(
            self_train(
                components, started, prior, rounds=cfg.rounds, c=cfg.c / len(logits), keep=cfg.keep,
                labelled=labelled,
            )
        )  # fmt: skip
        if labelled is not None:
            trained = labelled.fixed(trained)
        if near is not None:
            trained = near.spread(trained, prior, cfg.spread, cfg.spread_power)
        labels += weight * trained
    prior = np.sum([weight * prior for weight, prior in towards], 0)
    return Taught(labels if labelled is None else labelled.fixed(labels), first, prior)


LEAST = -30.0
"""Of a log probability that labels may still correct."""
