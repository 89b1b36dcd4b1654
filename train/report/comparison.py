"""Target network against source-only or what was shipped, without labels: each comparison with its 90 % interval."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from tgkt_edge.train.methods.translation.correlation import correlation
from tgkt_edge.train.nn.predict import compared
from tgkt_edge.train.report.metrics import (
    Floats,
    Reals,
    agreement_beyond_chance,
    block_counts,
    blocks_of,
    divergence,
    neighbour_agreement,
    neighbours,
)

HANDICAP = 0.2
"""Share of source-only's neighbour agreement that the target network may fall short of; chosen on development runs."""

WHOLLY_CHANGED = 0.2
"""Share of changed answers from which on the whole HANDICAP is granted; below, in proportion. Where few answers
changed, a network that is as bad as source-only would else be ahead by the handicap alone."""

NEIGHBOURS = 20
"""Neighbours of a frame, a quarter of all frames at most."""

PAIRS = 20
"""Held-out pairs from which on they are listened to: the bootstrap's intervals of fewer are too narrow."""


@dataclass(frozen=True)
class Evidence:
    """What a verdict is made from. Probabilities are (N, K) on target frames and (M, K) on held-out pairs.

    Attributes:
        features: (N, D) of the source model on the raw target frames, or (n, D) on those that are compared.
        tgmb: through T, or None. rgb, held_source, held_target: on held-out pairs, or None if there are none.
        held_runs: lengths of the runs of neighbouring pairs, summing to M. last_churn: share of the answers that the
            last epoch changed, or None. belong: of a translation of features, whether pairs left out go together more
            than shuffled ones; held_target is then the translation's, fitted and chosen without the pair.
        scratch: whether ``features`` are of a network that was trained on the task's RGB alone, without pretrained
            weights.
        standardized: whether ``features`` have mean 0 and spread 1 over the source's RGB, and are of a pretrained
            network.
        baseline: name of the network that ``features``, ``source`` and ``held_source`` are of. handicap: share of its
            neighbour agreement that the target network may fall short of.
    """

    classes: tuple[str, ...]
    features: Floats
    source: Floats
    target: Floats
    tgmb: Floats | None = None
    rgb: Floats | None = None
    held_source: Floats | None = None
    held_target: Floats | None = None
    held_runs: Sequence[int] = ()
    last_churn: float | None = None
    belong: bool | None = None
    scratch: bool = False
    standardized: bool = False
    baseline: str = "source-only"
    handicap: float = HANDICAP


@dataclass(frozen=True)
class Item:
    """One comparison of target network and source-only; above 0 the target network is better.

    ``low`` and ``high``: 90 % interval. ``scale``: where an axis should end. ``decides``: whether the verdict uses it.
    """

    name: str
    about: str
    value: float
    low: float
    high: float
    scale: float
    decides: bool


def compare(e: Evidence, seed: int = 0) -> tuple[Item, list[Item], list[Item]]:
    """Structure; items of the held-out pairs, correlation first; items that are only shown."""
    source, target = e.source.argmax(1), e.target.argmax(1)
    # Enough to know, and few enough to compare each with each.
    some = compared(len(source))
    features = e.features if len(e.features) == len(some) else e.features[some]
    near = neighbours(features, min(NEIGHBOURS, max(1, len(some) // 4)))
    draws = block_counts(blocks_of(len(some)), seed)
    classes = len(e.classes)

    changed = float((source[some] != target[some]).mean())
    handicap = e.handicap * min(1.0, changed / WHOLLY_CHANGED)

    def structure(counts: Reals) -> Reals:
        after, before = (neighbour_agreement(near, n[some], classes, counts) for n in (target, source))
        return after - (1 - handicap) * before

    flattery = (
        "for both." if handicap == 0 else f"which flatters it: {handicap:.0%} of its agreement is taken off."
    )
    first = _item(
        "Structure",
        f"Do the {near.shape[1]} nearest frames get one class? Chance-corrected, in the feature space of "
        f"{'the source model' if e.baseline == 'source-only' else 'the shipped network'}, {flattery}",
        structure, draws, 0.3, True,
    )  # fmt: skip
    pairs: list[Item] = []
    if e.rgb is not None and e.held_source is not None and e.held_target is not None and len(e.rgb):
        held = block_counts(np.repeat(np.arange(len(e.held_runs)), e.held_runs), seed)
        rgb, before, after = (p.argmax(1) for p in (e.rgb, e.held_source, e.held_target))

        answers = [p.astype(np.float64) for p in (e.rgb, e.held_source, e.held_target)]

        def correlated(counts: Reals) -> Reals:
            then, now = (correlation(answers[0], p, counts) for p in answers[1:])
            return now - then

        def beyond_chance(counts: Reals) -> Reals:
            then, now = (agreement_beyond_chance(named, rgb, classes, counts) for named in (before, after))
            return now - then

        kl_gain = divergence(e.rgb, e.held_source) - divergence(e.rgb, e.held_target)
        about = (
            f"{len(e.rgb)} frames that no stage trained on, against the source model's answer on their RGB"
        )
        enough = len(e.rgb) >= PAIRS
        few = "" if enough else f" Shown only: under {PAIRS} pairs."
        named = enough and e.belong is not None  # of a translation of features, whose pairs were all left out
        pairs = [
            _item(
                "Correlation on held-out pairs",
                f"{about}: correlation of the probabilities, mean over classes.{few}",
                correlated,
                held,
                0.3,
                enough,
            ),
            _item(
                "Agreement on held-out pairs",
                f"{about}, chance-corrected. "
                + ("It counts where source-only is at chance." if named else "Shown only."),
                beyond_chance,
                held,
                0.3,
                named,
            ),
            _item("KL on held-out pairs", f"{about}; nats. Shown only.", _mean_of(kl_gain), held, 2.0, False),
        ]
    shown: list[Item] = []
    if e.tgmb is not None:
        through = e.tgmb.argmax(1)
        gain = ((target == through).astype(np.float64) - (source == through))[some]
        about = (
            "Share of frames on which T's path gives the same class. Shown only: T's path taught the network."
        )
        shown.append(_item("Agreement with T's path", about, _mean_of(gain), draws, 0.5, False))
    return first, pairs, shown


def _mean_of(values: Reals) -> Callable[[Reals], Reals]:
    def mean(counts: Reals) -> Reals:
        result: Reals = counts @ values / counts.sum(1)
        return result

    return mean


def _item(
    name: str, about: str, measure: Callable[[Reals], Reals], draws: Reals, scale: float, decides: bool
) -> Item:
    value = float(measure(np.ones((1, draws.shape[1])))[0])
    low, high = np.quantile(measure(draws), (0.05, 0.95))
    return Item(name, about, value, float(low), float(high), scale, decides)
