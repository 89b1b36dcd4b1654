"""Does the source model recognize frames, and do pairs belong together? What a verdict believes depends on that."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from tgkt_edge.train.methods.translation.correlation import correlation
from tgkt_edge.train.report.comparison import PAIRS, Evidence
from tgkt_edge.train.report.metrics import agreement_beyond_chance

RECOGNIZES = 0.2
"""Cohen's kappa of the source model's answers on held-out frames and on their RGB from which its feature space alone is
believed; below lies "slight" agreement (Landis and Koch, 1977). Of their correlation, where kappa may be small because
one class has nearly all answers."""

NEAR = 0.1
"""Modality gap below which frames look like RGB to a source model on generic features. At 112 pixels near infrared has
0.03 to 0.04 (0.07 at most where the source had 12 images alone), depth 0.15 to 0.20 (0.27): benchmarks/verdict.py."""


@dataclass(frozen=True)
class Reading:
    """How a source model reads frames.

    Attributes:
        blind: it does not recognize them: its answers on frames of pairs go with those on their RGB little beyond
            chance, and frames are not known to look like RGB to it.
        opposed: pairs prove nothing. Its answers on their frames correlate negatively with those on their RGB, as where
            classes changed places; or hardly, although frames look like RGB to it. One that does not recognize frames
            is at 0 or somewhat above, and so are pairs that were shuffled at random.
        rgb_like: whether frames look like RGB to it (NEAR); None: not known.
        modality_gap: see :func:`modality_gap`.
    """

    blind: bool
    opposed: bool = False
    rgb_like: bool | None = None
    modality_gap: float | None = None

    @classmethod
    def of(cls, e: Evidence) -> Reading:
        """From features of the task's frames, and where there are PAIRS from answers on held-out pairs."""
        gap = modality_gap(e)
        rgb_like = None if gap is None else gap < NEAR
        if e.rgb is None or e.held_source is None or len(e.rgb) < PAIRS:
            return cls(False, False, rgb_like, gap)
        kappa = agreement_beyond_chance(e.held_source.argmax(1), e.rgb.argmax(1), len(e.classes))
        at_chance = float(kappa[0]) < RECOGNIZES
        together = float(correlation(e.rgb.astype(np.float64), e.held_source.astype(np.float64))[0])
        opposed = together < 0 or (rgb_like is True and at_chance and together < RECOGNIZES)
        return cls(at_chance and not rgb_like, opposed, rgb_like, gap)


def modality_gap(e: Evidence) -> float | None:
    """How far frames lie from RGB in the source model's features: median over features of the squared distance of their
    means, in variances of the source's RGB; None where these features are not standardized so.

    Pairs have no part in it, so it tells frames that a source model can read from pairs that do not belong together.
    The median, because a feature that is seldom active has a spread that few images do not tell.
    """
    if not e.standardized:
        return None
    return float(np.median(np.square(e.features.mean(0, dtype=np.float64))))
