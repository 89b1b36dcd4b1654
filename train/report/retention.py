"""What a continued network still knows: its answers on old frames that it did not learn from, beside the shipped one's.

Without labels it is not known which of two answers is correct, so that agreement below 1 is not all loss; where the
shipped network was confident, it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from tgkt_edge.train.report.material import Answers

SHIPPED = "shipped"
"""Name of the shipped network among the models of a continued run."""

OWN_SPACE = 0.0
"""Handicap (see :mod:`tgkt_edge.train.report.comparison`) of a comparison with the shipped network: both read their
classes off the same features, so neither is flattered."""

CONFIDENT = 0.9
"""Probability from which an answer of the shipped network counts as confident."""

KEEPS = 0.8
"""Agreement on old frames below which a person is warned; continuing nyuv2-5 to other scenes left 0.85 to 0.92 with
old frames and 0.78 to 0.88 without them (benchmarks/results/continue.md)."""


def retention(answers: Mapping[str, Answers]) -> dict[str, Any] | None:
    """``old_frames`` of report.json: ``frames``; ``agreement``, share with the shipped network's class; ``confident``,
    how many it was confident of, and ``confident_agreement`` on these, null where there are none. None without
    answers."""
    if not answers:
        return None
    before, after = answers[SHIPPED], answers["target"]
    same = before.named == after.named
    confident = before.probabilities.max(1) >= CONFIDENT
    return {
        "frames": len(same),
        "agreement": float(same.mean()),
        "confident": int(confident.sum()),
        "confident_agreement": float(same[confident].mean()) if confident.any() else None,
    }


def retention_warnings(found: Mapping[str, Any] | None) -> list[str]:
    """What a person should know of it before the new network goes out."""
    if found is None or found["agreement"] >= KEEPS:
        return []
    return [
        (
            f"On {found['frames']} old frames that were left out the new network gives the shipped network's class on "
            f"{found['agreement']:.0%} only: label some of them to know what was lost."
        )
    ]


def retention_lines(report: Mapping[str, Any]) -> list[str]:
    """For the person who waited."""
    found = report.get("old_frames")
    if found is None:
        return []
    sure = found["confident_agreement"]
    more = "" if sure is None else f" ({sure:.0%} of the {found['confident']} it was confident of)"
    return [
        (
            f"on {found['frames']} old frames that were left out it answers as the shipped network on "
            f"{found['agreement']:.0%}{more}"
        )
    ]
