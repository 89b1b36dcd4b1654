"""The report in the words of a person who deploys a camera: the finding first, then what it rests on.

``report.json`` keeps the short names of the measures; pages and terminals show these.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tgkt_edge.train.report.reading import NEAR

HEADLINES = {
    "helped": (
        "Adapting helped",
        "The adapted network is very likely more accurate on these frames than the source model used as it is.",
    ),
    "hurt": (
        "Adapting made it worse",
        (
            "The adapted network is very likely less accurate on these frames than the source model as it is. Do not "
            "deploy it before a look at the pictures and the warnings below."
        ),
    ),
    "no evidence": (
        "Cannot tell without labels",
        (
            "The adapted network may be better or worse: the checks that need no labels do not settle it. About 60 "
            "frames that you label yourself do."
        ),
    ),
}
"""Of each verdict: a headline, and what it means."""

_MEASURES = {
    "Structure": (
        "Do frames that look alike get one class?",
        (
            "The source model's own features decide which frames look alike. That favors it, so a fifth of its result "
            "is taken off. (In a continued run the shipped network's features do, and nothing is taken off.) 0: "
            "classes at random; 1: the same class for all that look alike."
        ),
    ),
    "Correlation on held-out pairs": (
        "Does it answer as on the photo of the same place?",
        (
            "On pairs that no training saw: how much the answers to a frame rise and fall with the source "
            "model's answers to its photo, class by class."
        ),
    ),
    "Agreement on held-out pairs": (
        "Does it name the class that it names on the photo?",
        "On pairs that no training saw; what agreement by chance would give is taken off.",
    ),
    "KL on held-out pairs": (
        "Are its probabilities like those on the photo?",
        (
            "On pairs that no training saw, as a difference of information (Kullback-Leibler). Shown only: it "
            "decides nothing."
        ),
    ),
    "Agreement with T's path": (
        "Does it agree with the translated frames?",
        (
            "Share of frames with the class that the source model gives to the translated frame. Shown only: the "
            "network was trained on those answers."
        ),
    ),
}


CONTINUED = {
    "helped": (
        "Continuing helped",
        "The new network is very likely more accurate on the new frames than the one that was shipped.",
    ),
    "hurt": (
        "Continuing made it worse",
        (
            "The new network is very likely less accurate on the new frames than the one that was shipped: keep that "
            "one."
        ),
    ),
    "no evidence": (
        "Cannot tell without labels",
        (
            "Whether the new network is better than the one that was shipped, the checks that need no labels do not "
            "settle. About 60 new frames that you label yourself do."
        ),
    ),
}
"""The same of a run that went on from a shipped network."""


def headline(verdict: str, method: str = "") -> tuple[str, str]:
    """Headline of a verdict, and a sentence that says what it means."""
    return (CONTINUED if method == "continue" else HEADLINES)[verdict]


def compared_with(method: str) -> str:
    """What the target network of a run is compared with, in words."""
    if method == "continue":
        return "the shipped network on the new frames"
    return 'the source model used as it is ("source-only")'


def measure(item: Mapping[str, Any]) -> tuple[str, str]:
    """Question that a piece of evidence answers, and what it is; its own words where there are no others."""
    return _MEASURES.get(item["name"], (item["name"], item["about"]))


def look_of_frames(gap: float | None) -> str:
    """How RGB-like frames look to the source model, as a sentence; nothing where that is not known."""
    if gap is None:
        return ""
    alike = "much like RGB" if gap < NEAR else "little like RGB"
    return (
        f"To the source model these frames look {alike}: their mean features lie {gap**0.5:.3f} standard deviations "
        f"from those of its RGB (like RGB: under {NEAR**0.5:.3f}). Pairs take no part in this figure."
    )


def spread(entropy: float) -> float:
    """An entropy in nats as a number of equally likely classes: 1 is one class for sure."""
    return float(2.718281828459045**entropy)
