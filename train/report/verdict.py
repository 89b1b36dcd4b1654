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
   the source model does not recognize frames at all, its space is no yardstick: then structure counts
   only if they say the same, and a network that does recognise them has helped. But if frames look like RGB to the
   source model, it is the pairs that are wrong, and not the model.

Whether it recognizes frames: :mod:`tgkt_edge.train.report.reading`. A translation of features is judged by its pairs
differently: :mod:`tgkt_edge.train.report.translation_verdict`.

Structure is about accuracy over frames, pairs about accuracy over classes; a sentence says which.

A verdict needs its 90 % interval (bootstrap) on one side of zero; else there is no evidence. A class that source-only
gives its fair share of frames and the target network none turns "helped" into "no evidence". What else the report
shows (KL on pairs, agreement with T's path, entropies) decides nothing: it ordered runs badly, or the losses
optimise it.

HANDICAP and the number of neighbours were chosen on development runs at 64 pixels; see benchmarks/verdict.py.
"""

from __future__ import annotations

import dataclasses

import numpy as np

from tgkt_edge.train.report.comparison import PAIRS, Evidence, compare
from tgkt_edge.train.report.judgement import EXCHANGED, Verdict, figures, structure_sentence
from tgkt_edge.train.report.metrics import Ints, effective_classes, lost_classes
from tgkt_edge.train.report.reading import Reading
from tgkt_edge.train.report.translation_verdict import judge_translation

SAME = 0.02
"""Share of changed answers up to which there is nothing to judge."""

FEWEST = 10
"""Changed answers from which on they are judged. Fewer can all fit their neighbourhoods better and be wrong: frames of
one class that look like another's (three scenes of RGB-NIR Scene in runs of benchmarks/verdict.py)."""

COLLAPSED = 0.5
"""Hurt if the target network uses fewer than this share of source-only's effective number of classes."""


def judge(e: Evidence, seed: int = 0) -> Verdict:
    """The verdict; the same evidence and seed give the same one."""
    reading = Reading.of(e)
    return dataclasses.replace(_judge(e, reading, seed), modality_gap=reading.modality_gap)


def _judge(e: Evidence, reading: Reading, seed: int) -> Verdict:
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
    blind = reading.blind
    if e.belong is not None:
        named = next((item for item in pairs if item.decides and item is not gain), None)
        found = judge_translation(
            e.classes,
            e.belong,
            reading,
            structure,
            gain,
            lost,
            after / before,
            named=named,
            scratch=e.scratch,
        )
        return dataclasses.replace(found, evidence=items, warnings=warnings)
    exchanged = reading.rgb_like is True and reading.opposed  # it is the pairs that are wrong
    if exchanged:
        gain, better, worse = None, False, False
    if (structure.low > 0 and worse) or (structure.high < 0 and better):
        assert gain is not None
        sentence = (
            f"Neighbouring frames and held-out pairs contradict each other (structure {figures(structure)}; pairs "
            f"{figures(gain)}); label some frames to know."
        )
        return Verdict("no evidence", sentence, items, warnings)
    if structure.low > 0 and not lost and (better or not blind):
        return Verdict(
            "helped", structure_sentence(structure, f"better than {e.baseline}'s"), items, warnings, "frames"
        )
    if structure.high < 0 and (worse or not blind):
        return Verdict(
            "hurt", structure_sentence(structure, f"worse than {e.baseline}'s"), items, warnings, "frames"
        )
    if structure.low <= 0 <= structure.high and gain is not None and (better or not blind):
        words = f"Neighbouring frames decide nothing, but on held-out pairs {figures(gain)}: answers on frames are"
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
    elif exchanged:
        sentence = EXCHANGED
    elif blind:
        sentence = (
            "The source model hardly knows these frames (on held-out pairs it answers as on their RGB no more than by "
            "chance), so its feature space alone cannot judge the target network; label some frames to know."
        )
    else:
        sentence = (
            f"The evidence points both ways (structure {figures(structure)}); label some frames to know."
        )
    return Verdict("no evidence", sentence, items, warnings)


# Words


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
