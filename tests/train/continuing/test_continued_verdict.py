"""The verdict against a shipped network: whose feature space it is does not matter, both read their classes off it."""

from __future__ import annotations

import numpy as np
import pytest

from tgkt_edge.train.report.comparison import Evidence
from tgkt_edge.train.report.retention import OWN_SPACE
from tgkt_edge.train.report.verdict import judge

CLASSES = ("a", "b", "c", "d")


def compared(shipped: float, target: float) -> Evidence:
    """400 frames in a feature space that shows their classes, and the shares of them that each network gets wrong."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 400)
    features = np.eye(4, 16)[truth] * 2 + rng.normal(scale=0.7, size=(400, 16))

    def answers(share: float) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
        wrong = rng.random(400) < share
        named = np.where(wrong, (truth + rng.integers(1, 4, 400)) % 4, truth)
        return (np.eye(4)[named] * 0.8 + 0.05).astype(np.float32)

    return Evidence(
        CLASSES, features.astype(np.float32), answers(shipped), answers(target),
        baseline="the shipped network", handicap=OWN_SPACE,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("shipped", "target", "word"), [(0.3, 0.15, "helped"), (0.15, 0.3, "hurt"), (0.2, 0.2, "no evidence")]
)
def test_neither_network_is_ahead_before_it_answers(shipped: float, target: float, word: str) -> None:
    found = judge(compared(shipped, target))
    assert found.verdict == word
    (structure,) = found.evidence
    assert structure.about.endswith("in the feature space of the shipped network, for both.")
    if word != "no evidence":
        assert "than the shipped network's" in found.sentence
    assert found.warnings == []  # that there are no pairs is no lack here


def test_what_source_only_is_charged_would_flatter_the_new_network_here() -> None:
    same = compared(0.2, 0.2)
    (flattered,) = judge(Evidence(same.classes, same.features, same.source, same.target)).evidence
    (fair,) = judge(same).evidence
    assert abs(fair.value) < 0.05
    assert flattered.value > fair.value + 0.05


def test_a_network_that_answers_alike_leaves_nothing_to_judge() -> None:
    one = compared(0.2, 0.2)
    same = Evidence(one.classes, one.features, one.source, one.source, baseline="the shipped network")
    assert judge(same).sentence.startswith(
        "The target network answers every target frame as the shipped network does"
    )
