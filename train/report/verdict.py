"""Did adaptation help? Judged without a single label, against source-only.

What decides, in this order:

1. *Nothing to judge*: the target network answers (almost) as source-only does. The change of accuracy cannot be larger
   than the share of frames whose answer changed.
2. *Collapse*: the target network uses far fewer classes than source-only. Hurt.
3. *Structure*: do neighbours get one class? Neighbours are taken in the feature space of the source model on the raw
   frames, which adaptation never touches. Source-only reads its classes off that very space, which flatters it: it
   is charged a share of its agreement, HANDICAP. See :func:`neighbour_agreement`.
4. *Held-out pairs*, from PAIRS of them on: do the target network's answers on frames that no stage trained on go more
   with the source model's on their RGB? What counts is the correlation, class by class, which offsets between classes
   do not move: the scenes are others, and so are their shares. They decide where structure says nothing; where they
   contradict it, there is no evidence: a network can sort frames neatly into the wrong classes. Where they show that
   the source model does not recognise frames at all (RECOGNISES), its space is no yardstick: then structure counts
   only if they say the same, and a network that does recognise them has helped.

Structure speaks of accuracy over frames, pairs of accuracy over classes; a sentence says which.

A verdict needs its 90 % interval (bootstrap) on one side of zero; else there is no evidence. A class that source-only
gives its fair share of frames and the target network none turns "helped" into "no evidence". What else the report
shows (KL on pairs, EnsV, agreement with T's path, entropies) decides nothing: it ordered runs badly, or the losses
optimise it.

HANDICAP and the number of neighbours were chosen on development runs at 64 pixels; see benchmarks/verdict.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from tgkt_edge.train.methods.translation.correlation import correlation
from tgkt_edge.train.report.metrics import (
    Floats,
    Ints,
    Reals,
    agreement_beyond_chance,
    block_counts,
    blocks_of,
    divergence,
    effective_classes,
    lost_classes,
    neighbour_agreement,
    neighbours,
)

Word = Literal["helped", "no evidence", "hurt"]

HANDICAP = 0.2
"""Share of source-only's neighbour agreement that the target network may fall short of; chosen on development runs."""

RECOGNISES = 0.2
"""Cohen's kappa of the source model's answers on held-out frames and on their RGB from which its feature space alone is
believed; below lies "slight" agreement (Landis and Koch, 1977)."""

NEIGHBOURS = 20
"""Neighbours of a frame, a quarter of all frames at most."""

PAIRS = 20
"""Held-out pairs from which on they are listened to: the bootstrap's intervals of fewer are too narrow."""

FRAMES = 4000
"""Frames that neighbours are sought among, at most, evenly spread over the list."""

SAME = 0.02
"""Share of changed answers up to which there is nothing to judge."""

COLLAPSED = 0.5
"""Hurt if the target network uses fewer than this share of source-only's effective number of classes."""


@dataclass(frozen=True)
class Evidence:
    """What a verdict is made from. Probabilities are (N, K) on target frames and (M, K) on held-out pairs.

    Attributes:
        features: (N, D) of the source model on the raw target frames.
        tgmb: through T, or None. rgb, held_source, held_target: on held-out pairs, or None if there are none.
        held_runs: lengths of the runs of neighbouring pairs, summing to M. last_churn: share of the answers that the
            last epoch changed, or None.
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


@dataclass(frozen=True)
class Item:
    """One comparison of target network and source-only; above 0 speaks for the target network.

    ``low`` and ``high``: 90 % interval. ``scale``: where an axis should end. ``decides``: whether the verdict uses it.
    """

    name: str
    about: str
    value: float
    low: float
    high: float
    scale: float
    decides: bool


@dataclass(frozen=True)
class Verdict:
    """``verdict``, one ``sentence`` saying why, the ``evidence``, and ``warnings`` that a person should read."""

    verdict: Word
    sentence: str
    evidence: list[Item] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)

    def to_dict(self) -> dict[str, Any]:
        """As report.json has it."""
        return dataclasses.asdict(self)


def judge(e: Evidence, seed: int = 0) -> Verdict:
    """The verdict; the same evidence and seed give the same one."""
    source, target = e.source.argmax(1), e.target.argmax(1)
    classes = len(e.classes)
    changed = float((source != target).mean())
    warnings = _warnings(e, source, target)
    if changed == 0:
        sentence = (
            "The target network answers every target frame as source-only does: nothing was gained or lost."
        )
        return Verdict("no evidence", sentence, [], warnings)
    structure, pairs, shown = compare(e, seed)
    items = [*pairs[:1], structure, *pairs[1:], *shown]
    if changed <= SAME:
        sentence = (
            f"Only {changed:.1%} of the answers changed, so accuracy cannot have changed by more than that."
        )
        return Verdict("no evidence", sentence, items, warnings)
    before, after = effective_classes(source, classes), effective_classes(target, classes)
    if after < COLLAPSED * before:
        sentence = (
            f"The target network collapsed: it spreads its answers over {after:.1f} classes, source-only over "
            f"{before:.1f} (exponential of the entropy of the class counts)."
        )
        return Verdict("hurt", sentence, items, warnings)
    lost = lost_classes(source, target, classes)
    gain = next((item for item in pairs if item.decides), None)
    better, worse = gain is not None and gain.low > 0, gain is not None and gain.high < 0
    blind = _blind(e)
    if (structure.low > 0 and worse) or (structure.high < 0 and better):
        assert gain is not None
        sentence = (
            f"Neighbouring frames and held-out pairs contradict each other (structure {_figures(structure)}; pairs "
            f"{_figures(gain)}); label some frames to know."
        )
        return Verdict("no evidence", sentence, items, warnings)
    if structure.low > 0 and not lost and (better or not blind):
        return Verdict("helped", _sentence(structure, "better than source-only's"), items, warnings)
    if structure.high < 0 and (worse or not blind):
        return Verdict("hurt", _sentence(structure, "worse than source-only's"), items, warnings)
    if structure.low <= 0 <= structure.high and gain is not None and (better or not blind):
        words = f"Neighbouring frames do not say, but on held-out pairs {_figures(gain)}: the answers on frames are"
        over = "This speaks of accuracy over classes."
        if worse:
            return Verdict("hurt", f"{words} less like those on their RGB. {over}", items, warnings)
        if better and not lost:
            return Verdict("helped", f"{words} more like those on their RGB. {over}", items, warnings)
    if lost:
        names = ", ".join(e.classes[k] for k in lost)
        sentence = f"Whatever else improved, nothing is called {names} any more; label some frames to know."
    elif blind:
        sentence = (
            "The source model hardly knows these frames (on held-out pairs it answers as on their RGB no more than by "
            "chance), so its feature space alone cannot judge the target network; label some frames to know."
        )
    else:
        sentence = (
            f"The evidence points both ways (structure {_figures(structure)}); label some frames to know."
        )
    return Verdict("no evidence", sentence, items, warnings)


def _blind(e: Evidence) -> bool:
    """Whether held-out pairs show that the source model does not recognise frames (see RECOGNISES)."""
    if e.rgb is None or e.held_source is None or len(e.rgb) < PAIRS:
        return False
    kappa = agreement_beyond_chance(e.held_source.argmax(1), e.rgb.argmax(1), len(e.classes))
    return float(kappa[0]) < RECOGNISES


def compare(e: Evidence, seed: int = 0) -> tuple[Item, list[Item], list[Item]]:
    """Structure; items of the held-out pairs, correlation first; items that are only shown."""
    source, target = e.source.argmax(1), e.target.argmax(1)
    # Enough to know, and few enough to compare each with each.
    some = np.unique(np.linspace(0, len(source) - 1, min(len(source), FRAMES)).round().astype(np.int64))
    near = neighbours(e.features[some], min(NEIGHBOURS, max(1, len(some) // 4)))
    draws = block_counts(blocks_of(len(some)), seed)
    classes = len(e.classes)

    def structure(counts: Reals) -> Reals:
        after, before = (neighbour_agreement(near, n[some], classes, counts) for n in (target, source))
        return after - (1 - HANDICAP) * before

    first = _item(
        "Structure",
        f"Do the {near.shape[1]} nearest frames get one class? Chance-corrected, in the source model's feature space, "
        f"which flatters source-only: {HANDICAP:.0%} of its agreement is taken off.",
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
                f"{about}, chance-corrected. Shown only.",
                beyond_chance,
                held,
                0.3,
                False,
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


# Words


def _figures(item: Item) -> str:
    return f"{item.value:+.3f}, 90 % interval {item.low:+.3f} to {item.high:+.3f}"


def _sentence(structure: Item, than: str) -> str:
    return (
        f"The target network's classes fit the neighbourhoods of the frames {than} ({_figures(structure)}). This "
        f"speaks of accuracy over frames."
    )


def _warnings(e: Evidence, source: Ints, target: Ints) -> list[str]:
    counts = np.bincount(target, minlength=len(e.classes))
    dead = [name for name, n in zip(e.classes, counts, strict=True) if not n]
    largest = int(counts.argmax())
    texts = []
    if dead:
        texts.append(f"No target frame is called {', '.join(dead)}.")
    if counts[largest] > 0.5 * len(target) and counts[largest] > 1.5 * (source == largest).sum():
        texts.append(
            f"{counts[largest] / len(target):.0%} of the target frames are called {e.classes[largest]}, "
            f"{(source == largest).mean():.0%} by source-only."
        )
    if e.last_churn is not None and e.last_churn > 0.2:
        texts.append(f"The last epoch still changed {e.last_churn:.0%} of the answers: more epochs may help.")
    if e.rgb is not None and len(e.rgb) < PAIRS:
        texts.append(f"Only {len(e.rgb)} pairs were held out: the verdict rests on the target frames alone.")
    if e.rgb is None:
        texts.append("No pair was held out (holdout = 0): the verdict rests on the target frames alone.")
    return texts
