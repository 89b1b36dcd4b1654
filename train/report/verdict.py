"""Did adaptation help? Judged without a single label, against source-only.

What decides, in this order:

1. *Nothing to judge*: the target network answers (almost) as source-only does, or only a few frames changed their
   answer. The change of accuracy cannot be larger than the share of frames whose answer changed.
2. *Collapse*: the target network uses far fewer classes than source-only. Hurt.
3. *Structure*: do neighbours get one class? Neighbours are taken in the feature space of the source model on the raw
   frames, which adaptation never touches. Source-only reads its classes off that very space, which flatters it: it
   is charged a share of its agreement, HANDICAP, in proportion where few answers changed. See
   :func:`neighbour_agreement`.
4. *Held-out pairs*, from PAIRS of them on: do the target network's answers on frames that no stage trained on go more
   with the source model's on their RGB? What counts is the correlation, class by class, which offsets between classes
   do not move: the scenes are others, and so are their shares. They decide where structure says nothing; where they
   contradict it, there is no evidence: a network can sort frames neatly into the wrong classes. Where they show that
   the source model does not recognise frames at all (RECOGNISES), its space is no yardstick: then structure counts
   only if they say the same, and a network that does recognise them has helped.
   There a translation whose classes on pairs left out are more often those of their RGB, beyond chance (Cohen's kappa),
   has helped as well, unless the correlation contradicts.

Structure is about accuracy over frames, pairs about accuracy over classes; a sentence says which.

A verdict needs its 90 % interval (bootstrap) on one side of zero; else there is no evidence. A class that source-only
gives its fair share of frames and the target network none turns "helped" into "no evidence". What else the report
shows (KL on pairs, agreement with T's path, entropies) decides nothing: it ordered runs badly, or the losses
optimise it.

HANDICAP and the number of neighbours were chosen on development runs at 64 pixels; see benchmarks/verdict.py.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from tgkt_edge.train.methods.translation.correlation import correlation
from tgkt_edge.train.report.comparison import PAIRS, Evidence, Item, compare
from tgkt_edge.train.report.metrics import (
    Ints,
    agreement_beyond_chance,
    effective_classes,
    lost_classes,
)

Word = Literal["helped", "no evidence", "hurt"]

RECOGNISES = 0.2
"""Cohen's kappa of the source model's answers on held-out frames and on their RGB from which its feature space alone is
believed; below lies "slight" agreement (Landis and Koch, 1977)."""

SAME = 0.02
"""Share of changed answers up to which there is nothing to judge."""

FEWEST = 10
"""Changed answers from which on they are judged. Fewer can all fit their neighbourhoods better and be wrong: frames of
one class that look like another's (three scenes of RGB-NIR Scene in runs of benchmarks/verdict.py)."""

SURE = 0.5
"""Gain of the correlation on pairs left out that outweighs neighbourhoods in features trained from scratch: shuffled
pairs of few scenes, which can be learnt, reached 0.47 (lower end of the interval) in runs of benchmarks/verdict.py."""

COLLAPSED = 0.5
"""Hurt if the target network uses fewer than this share of source-only's effective number of classes."""

NARROWED = 0.6
"""The same for a translation of features that also lost a class; chosen on development runs with a wrong prior."""


@dataclass(frozen=True)
class Verdict:
    """``verdict``, one ``sentence`` saying why, the ``evidence``, and ``warnings`` that a person should read.

    ``over``: whether it is about accuracy over frames or over classes (balanced); empty where there is no evidence.
    """

    verdict: Word
    sentence: str
    evidence: list[Item] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    over: Literal["frames", "classes", ""] = ""

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
            f"The target network answers every target frame as {e.baseline} does: nothing was gained or lost."
        )
        return Verdict("no evidence", sentence, [], warnings)
    structure, pairs, shown = compare(e, seed)
    items = [*pairs[:1], structure, *pairs[1:], *shown]
    count = int((source != target).sum())
    if changed <= SAME or count < FEWEST:
        sentence = (
            f"Only {count} of {len(source)} answers changed ({changed:.1%}), so accuracy cannot have changed by more "
            f"than that; so few do not show whether it rose."
        )
        return Verdict("no evidence", sentence, items, warnings)
    before, after = effective_classes(source, classes), effective_classes(target, classes)
    if after < COLLAPSED * before:
        sentence = (
            f"The target network collapsed: it spreads its answers over {after:.1f} classes, {e.baseline} over "
            f"{before:.1f} (exponential of the entropy of the class counts)."
        )
        return Verdict("hurt", sentence, items, warnings, "classes")
    lost = lost_classes(source, target, classes)
    gain = next((item for item in pairs if item.decides), None)
    better, worse = gain is not None and gain.low > 0, gain is not None and gain.high < 0
    blind = _blind(e)
    if e.belong is not None:
        named = next((item for item in pairs if item.decides and item is not gain), None)
        found = judge_translation(
            e.classes, e.belong, blind, structure, gain, lost, after / before, e.scratch, _opposed(e), named
        )
        return dataclasses.replace(found, evidence=items, warnings=warnings)
    if (structure.low > 0 and worse) or (structure.high < 0 and better):
        assert gain is not None
        sentence = (
            f"Neighbouring frames and held-out pairs contradict each other (structure {_figures(structure)}; pairs "
            f"{_figures(gain)}); label some frames to know."
        )
        return Verdict("no evidence", sentence, items, warnings)
    if structure.low > 0 and not lost and (better or not blind):
        return Verdict(
            "helped", _sentence(structure, f"better than {e.baseline}'s"), items, warnings, "frames"
        )
    if structure.high < 0 and (worse or not blind):
        return Verdict("hurt", _sentence(structure, f"worse than {e.baseline}'s"), items, warnings, "frames")
    if structure.low <= 0 <= structure.high and gain is not None and (better or not blind):
        words = f"Neighbouring frames decide nothing, but on held-out pairs {_figures(gain)}: answers on frames are"
        over = "This is about accuracy over classes."
        if worse:
            return Verdict(
                "hurt", f"{words} less like those on their RGB. {over}", items, warnings, "classes"
            )
        if better and not lost:
            return Verdict(
                "helped", f"{words} more like those on their RGB. {over}", items, warnings, "classes"
            )
    if lost:
        names = ", ".join(e.classes[k] for k in lost)
        sentence = (
            f"Whatever else improved, no frame is classified as {names} any more; label some frames to know."
        )
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


def judge_translation(
    classes: Sequence[str],
    belong: bool,
    blind: bool,
    structure: Item,
    gain: Item | None,
    lost: Sequence[int],
    spread: float,
    scratch: bool = False,
    opposed: bool = False,
    named: Item | None = None,
) -> Verdict:
    """The verdict on a translation of features, whose pairs were all left out once (the evidence is added later).

    A ridge that is fitted on other pairs answers less sharply than the source model on frames that it knows, whatever
    it does for the task, so a lower correlation says nothing; and pairs of the wrong frames can be learnt, too, where
    the mistake is the same throughout. So structure comes first here, unless the source model does not recognize
    frames. Then its classes follow its features, whatever these show, and a target network that is right cannot follow
    them as closely: structure says nothing against it, and something for it only where pairs belong together. Features
    that learnt nothing but the task's RGB tell its own classes apart and not the scenes: there only answers that go
    with those on RGB far more than source-only's (SURE) outweigh structure. Pairs on whose frames the source model
    answers against its answers on their RGB prove nothing: where whole kinds of scenes changed places between the
    halves, a translation learns to exchange them, and pairs left out rate that as good.

    Args:
        belong: whether pairs left out go together. blind: whether the source model does not recognize frames.
        lost: classes that no frame is classified as any more. spread: the target network's effective number of classes
            over source-only's. scratch: whether the features come from a network trained on the task's RGB alone.
        opposed: whether source-only's answers on the pairs' frames go against those on their RGB.
        named: gain of the agreement beyond chance between the classes on pairs left out and those on their RGB.
    """
    better = belong and not opposed and gain is not None and gain.low > 0
    if structure.high < 0 and not blind:
        return Verdict("hurt", _sentence(structure, "worse than source-only's"), over="frames")
    if lost and spread < NARROWED:
        names = ", ".join(classes[k] for k in lost)
        sentence = (
            f"No frame is classified as {names} any more, and the answers spread over {spread:.0%} of the classes that "
            f"source-only's do: the class shares (`prior`) may be wrong. This is about accuracy over classes."
        )
        return Verdict("hurt", sentence, over="classes")
    if lost:
        names = ", ".join(classes[k] for k in lost)
        sentence = (
            f"Whatever else improved, no frame is classified as {names} any more; label some frames to know."
        )
        return Verdict("no evidence", sentence)
    if structure.low > 0 and not blind:
        return Verdict("helped", _sentence(structure, "better than source-only's"), over="frames")
    contradicted = scratch and structure.high < 0
    if better and (not contradicted or (gain is not None and gain.low > SURE)):
        assert gain is not None
        sentence = (
            f"On pairs left out the translation's answers are more like those on their RGB than source-only's "
            f"({_figures(gain)}). This is about accuracy over classes."
        )
        return Verdict("helped", sentence, over="classes")
    fair = belong and blind and not opposed and (gain is None or gain.high >= 0)
    if fair and not contradicted and named is not None and named.low > 0:
        sentence = (
            f"The source model hardly recognizes the frames of the pairs; on pairs left out the translation names the "
            f"classes of their RGB more often, beyond chance ({_figures(named)}). This is about accuracy over classes."
        )
        return Verdict("helped", sentence, over="classes")
    if fair and not scratch and structure.low > 0:
        sentence = (
            f"The source model hardly recognizes the frames of the pairs, which belong to their RGB; the translation's "
            f"classes fit the neighborhoods of the frames better than source-only's ({_figures(structure)}). This is "
            f"about accuracy over classes."
        )
        return Verdict("helped", sentence, over="classes")
    if opposed:
        sentence = (
            "On the frames of the pairs the source model answers the opposite of what it answers on their RGB, as if "
            "the halves had been exchanged among the pairs; check that they belong together, or label some frames to "
            "know."
        )
        return Verdict("no evidence", sentence)
    sentence = (
        f"Neither the neighbourhoods of the frames ({_figures(structure)}) nor the pairs left out decide it; label "
        f"some frames to know."
    )
    return Verdict("no evidence", sentence)


def _blind(e: Evidence) -> bool:
    """Whether held-out pairs show that the source model does not recognise frames (see RECOGNISES)."""
    if e.rgb is None or e.held_source is None or len(e.rgb) < PAIRS:
        return False
    kappa = agreement_beyond_chance(e.held_source.argmax(1), e.rgb.argmax(1), len(e.classes))
    return float(kappa[0]) < RECOGNISES


def _opposed(e: Evidence) -> bool:
    """Whether source-only's answers on the frames of the pairs correlate negatively with those on their RGB.

    A source model that does not recognize frames is at 0 or somewhat above, and so are pairs that were shuffled at
    random; classes that changed places are below.
    """
    if e.rgb is None or e.held_source is None or len(e.rgb) < PAIRS:
        return False
    rgb, frames = (p.astype(np.float64) for p in (e.rgb, e.held_source))
    return float(correlation(rgb, frames)[0]) < 0


# Words


def _figures(item: Item) -> str:
    return f"{item.value:+.3f}, 90 % interval {item.low:+.3f} to {item.high:+.3f}"


def _sentence(structure: Item, than: str) -> str:
    return (
        f"The target network's classes fit the neighbourhoods of the frames {than} ({_figures(structure)}). This "
        f"is about accuracy over frames."
    )


def _warnings(e: Evidence, source: Ints, target: Ints) -> list[str]:
    counts = np.bincount(target, minlength=len(e.classes))
    dead = [name for name, n in zip(e.classes, counts, strict=True) if not n]
    largest = int(counts.argmax())
    texts = []
    if dead:
        texts.append(f"No target frame is classified as {', '.join(dead)}.")
    if counts[largest] > 0.5 * len(target) and counts[largest] > 1.5 * (source == largest).sum():
        texts.append(
            f"{counts[largest] / len(target):.0%} of the target frames are classified as {e.classes[largest]}, "
            f"{(source == largest).mean():.0%} by {e.baseline}."
        )
    if e.last_churn is not None and e.last_churn > 0.2:
        texts.append(f"The last epoch still changed {e.last_churn:.0%} of the answers: more epochs may help.")
    if e.rgb is not None and len(e.rgb) < PAIRS:
        texts.append(f"Only {len(e.rgb)} pairs were held out: the verdict rests on the target frames alone.")
    if e.rgb is None and e.baseline == "source-only":
        texts.append("No pair was held out (holdout = 0): the verdict rests on the target frames alone.")
    return texts
