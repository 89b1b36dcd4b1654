"""Did a translation of features help? Judged by its answers on pairs left out, and by what these tell of the source."""

from __future__ import annotations

from collections.abc import Sequence

from tgkt_edge.train.report.comparison import Item
from tgkt_edge.train.report.judgement import EXCHANGED, Verdict, figures, structure_sentence
from tgkt_edge.train.report.reading import Reading

SURE = 0.5
"""Gain of the correlation on pairs left out that outweighs neighbourhoods in features trained from scratch: shuffled
pairs of few scenes, which can be learnt, reached 0.47 (lower end of the interval) in runs of benchmarks/verdict.py."""

NARROWED = 0.6
"""Hurt if a target network that lost a class, or whose frames look like RGB to the source model, uses fewer than this
share of source-only's effective number of classes; chosen on development runs with a wrong prior."""


def judge_translation(
    classes: Sequence[str],
    belong: bool,
    source: Reading,
    structure: Item,
    gain: Item | None,
    lost: Sequence[int],
    spread: float,
    *,
    named: Item | None = None,
    scratch: bool = False,
) -> Verdict:
    """The verdict on a translation of features, whose pairs were all left out once (the evidence is added later).

    A ridge that is fitted on other pairs answers less sharply than the source model on frames that it knows, whatever
    it does for the task, so a lower correlation says nothing; and pairs of the wrong frames can be learnt, too, where
    the mistake is the same throughout. So structure comes first here, unless the source model does not recognize
    frames. Then its classes follow its features, whatever these show, and a target network that is right cannot follow
    them as closely: structure says nothing against it, and something for it only where pairs belong together. There a
    source model at chance is beaten by whatever reads the frames, which pairs left out prove if they match their RGB,
    unless the answers contradict it. Frames that look like RGB to it a source model does recognize; where pairs say
    that it does not, they are wrong. Features that learnt nothing but the task's RGB tell its own classes apart and not
    the scenes: there only answers that go with those on RGB far more than source-only's (SURE) outweigh structure.
    Pairs on whose frames the source model answers against its answers on their RGB prove nothing:
    where whole kinds of scenes changed places between the halves, a translation learns to exchange them, and pairs left
    out rate that as good.

    Args:
        belong: whether pairs left out go together. source: how the source model reads frames.
        structure, gain, named: of neighborhoods, of the correlation on pairs left out, and of the agreement beyond
            chance between the classes on these and those on their RGB; above 0 the target network is better.
        lost: classes that no frame is classified as any more. spread: the target network's effective number of classes
            over source-only's. scratch: whether the features come from a network trained on the task's RGB alone.
    """
    better = belong and not source.opposed and gain is not None and gain.low > 0
    if structure.high < 0 and not source.blind:
        return Verdict("hurt", structure_sentence(structure, "worse than source-only's"), over="frames")
    if lost and spread < NARROWED:
        names = ", ".join(classes[k] for k in lost)
        sentence = (
            f"No frame is classified as {names} any more, and the answers spread over {spread:.0%} of the classes that "
            f"source-only's do: the class shares (`prior`) may be wrong. This is about accuracy over classes."
        )
        return Verdict("hurt", sentence, over="classes")
    if source.rgb_like and not source.opposed and spread < NARROWED and structure.low <= 0:
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
    if structure.low > 0 and not source.blind:
        return Verdict("helped", structure_sentence(structure, "better than source-only's"), over="frames")
    contradicted = scratch and structure.high < 0
    if better and (not contradicted or (gain is not None and gain.low > SURE)):
        assert gain is not None
        sentence = (
            f"On pairs left out the translation's answers are more like those on their RGB than source-only's "
            f"({figures(gain)}). This is about accuracy over classes."
        )
        return Verdict("helped", sentence, over="classes")
    fair = belong and source.blind and not source.opposed and (gain is None or gain.high >= 0)
    if fair and not contradicted and named is not None and named.low > 0:
        sentence = (
            f"The source model hardly recognizes the frames of the pairs; on pairs left out the translation names the "
            f"classes of their RGB more often, beyond chance ({figures(named)}). This is about accuracy over classes."
        )
        return Verdict("helped", sentence, over="classes")
    agrees = gain is not None and named is not None and named.high >= 0 and max(gain.value, named.value) > 0
    if fair and source.rgb_like is False and agrees:
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
    if source.opposed:
        return Verdict("no evidence", EXCHANGED)
    sentence = (
        f"Neither the neighbourhoods of the frames ({figures(structure)}) nor the pairs left out decide it; label "
        f"some frames to know."
    )
    return Verdict("no evidence", sentence)
