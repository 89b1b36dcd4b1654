"""Did a translation of features help? Judged by its answers on pairs left out, and by what these tell of the source."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from tgkt_edge.train.methods.translation.correlation import correlation
from tgkt_edge.train.report.comparison import PAIRS, Evidence, Item
from tgkt_edge.train.report.judgement import EXCHANGED, Verdict, figures, structure_sentence
from tgkt_edge.train.report.metrics import agreement_beyond_chance

RECOGNISES = 0.2
"""Cohen's kappa of the source model's answers on held-out frames and on their RGB from which its feature space alone is
believed; below lies "slight" agreement (Landis and Koch, 1977). Of their correlation, where kappa may be small because
one class has nearly all answers."""

NEAR = 0.1
"""Modality gap below which frames look like RGB to a source model on generic features. At 112 pixels near infrared has
0.03 to 0.04 (0.07 at most where the source had 12 images alone), depth 0.15 to 0.20 (0.27): benchmarks/verdict.py."""

SURE = 0.5
"""Gain of the correlation on pairs left out that outweighs neighbourhoods in features trained from scratch: shuffled
pairs of few scenes, which can be learnt, reached 0.47 (lower end of the interval) in runs of benchmarks/verdict.py."""

NARROWED = 0.6
"""Hurt if a target network that lost a class, or whose frames look like RGB to the source model, uses fewer than this
share of source-only's effective number of classes; chosen on development runs with a wrong prior."""


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
    near: bool | None = None,
) -> Verdict:
    """The verdict on a translation of features, whose pairs were all left out once (the evidence is added later).

    A ridge that is fitted on other pairs answers less sharply than the source model on frames that it knows, whatever
    it does for the task, so a lower correlation says nothing; and pairs of the wrong frames can be learnt, too, where
    the mistake is the same throughout. So structure comes first here, unless the source model does not recognize
    frames. Then its classes follow its features, whatever these show, and a target network that is right cannot follow
    them as closely: structure says nothing against it, and something for it only where pairs belong together. There a
    source model at chance is beaten by whatever reads the frames, which pairs left out prove if they match their RGB,
    unless the answers contradict it. Frames that look like RGB to the source model (NEAR) it does recognize, whatever
    pairs say; where they say that it does not, they are wrong. Features
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
        near: whether frames look like RGB to the source model (:func:`is_near`); None: not known.
    """
    better = belong and not opposed and gain is not None and gain.low > 0
    if structure.high < 0 and not blind:
        return Verdict("hurt", structure_sentence(structure, "worse than source-only's"), over="frames")
    if lost and spread < NARROWED:
        names = ", ".join(classes[k] for k in lost)
        sentence = (
            f"No frame is classified as {names} any more, and the answers spread over {spread:.0%} of the classes that "
            f"source-only's do: the class shares (`prior`) may be wrong. This is about accuracy over classes."
        )
        return Verdict("hurt", sentence, over="classes")
    if near and not opposed and spread < NARROWED and structure.low <= 0:
        sentence = (
            f"Frames look like RGB to the source model, but the target network's answers spread over {spread:.0%} of "
            f"the classes that its own do: the class shares (`prior`) may be wrong. This is about accuracy over "
            f"classes."
        )
        return Verdict("hurt", sentence, over="classes")
    if lost:
        names = ", ".join(classes[k] for k in lost)
        sentence = (
            f"Whatever else improved, no frame is classified as {names} any more; label some frames to know."
        )
        return Verdict("no evidence", sentence)
    if structure.low > 0 and not blind:
        return Verdict("helped", structure_sentence(structure, "better than source-only's"), over="frames")
    contradicted = scratch and structure.high < 0
    if better and (not contradicted or (gain is not None and gain.low > SURE)):
        assert gain is not None
        sentence = (
            f"On pairs left out the translation's answers are more like those on their RGB than source-only's "
            f"({figures(gain)}). This is about accuracy over classes."
        )
        return Verdict("helped", sentence, over="classes")
    fair = belong and blind and not opposed and (gain is None or gain.high >= 0)
    if fair and not contradicted and named is not None and named.low > 0:
        sentence = (
            f"The source model hardly recognizes the frames of the pairs; on pairs left out the translation names the "
            f"classes of their RGB more often, beyond chance ({figures(named)}). This is about accuracy over classes."
        )
        return Verdict("helped", sentence, over="classes")
    agrees = gain is not None and named is not None and named.high >= 0 and max(gain.value, named.value) > 0
    if fair and near is False and agrees:
        assert gain is not None
        assert named is not None
        sentence = (
            f"Frames look nothing like RGB to the source model, which is at chance on those of the pairs; the "
            f"translation matches pairs left out with their RGB, and its answers there go with those on RGB no less "
            f"(correlation {figures(gain)}; classes {figures(named)}). This is about accuracy over classes."
        )
        return Verdict("helped", sentence, over="classes")
    if fair and not scratch and structure.low > 0:
        sentence = (
            f"The source model hardly recognizes the frames of the pairs, which belong to their RGB; the translation's "
            f"classes fit the neighborhoods of the frames better than source-only's ({figures(structure)}). This is "
            f"about accuracy over classes."
        )
        return Verdict("helped", sentence, over="classes")
    if opposed:
        return Verdict("no evidence", EXCHANGED)
    sentence = (
        f"Neither the neighbourhoods of the frames ({figures(structure)}) nor the pairs left out decide it; label "
        f"some frames to know."
    )
    return Verdict("no evidence", sentence)


def modality_gap(e: Evidence) -> float | None:
    """How far frames lie from RGB in the source model's features: median over features of the squared distance of their
    means, in variances of the source's RGB; None where these features are not standardized so.

    Pairs have no part in it, so it tells frames that a source model can read from pairs that do not belong together.
    The median, because a feature that is seldom active has a spread that few images do not tell.
    """
    if not e.standardized:
        return None
    return float(np.median(np.square(e.features.mean(0, dtype=np.float64))))


def is_near(e: Evidence) -> bool | None:
    """Whether frames look like RGB to the source model (see NEAR); None: not known."""
    gap = modality_gap(e)
    return None if gap is None else gap < NEAR


def at_chance(e: Evidence) -> bool:
    """Whether the source model's answers on frames of pairs go with those on their RGB little beyond chance
    (see RECOGNISES): it does not recognize frames, or the pairs do not belong together."""
    if e.rgb is None or e.held_source is None or len(e.rgb) < PAIRS:
        return False
    kappa = agreement_beyond_chance(e.held_source.argmax(1), e.rgb.argmax(1), len(e.classes))
    return float(kappa[0]) < RECOGNISES


def is_blind(e: Evidence) -> bool:
    """Whether the source model does not recognize frames."""
    return at_chance(e) and not is_near(e)


def is_opposed(e: Evidence) -> bool:
    """Whether pairs prove nothing: source-only's answers on their frames correlate negatively with those on their RGB,
    or hardly and are at chance although frames look like RGB to it.

    A source model that does not recognize frames is at 0 or somewhat above, and so are pairs that were shuffled at
    random; classes that changed places are below.
    """
    if e.rgb is None or e.held_source is None or len(e.rgb) < PAIRS:
        return False
    rgb, frames = (p.astype(np.float64) for p in (e.rgb, e.held_source))
    together = float(correlation(rgb, frames)[0])
    return together < 0 or (together < RECOGNISES and at_chance(e) and is_near(e) is True)
