"""Whether the halves of the pairs belong together, in worlds where that is known."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from tgkt_edge.train.methods.translation.correlation import correlation
from tgkt_edge.train.methods.translation.evidence import belong_together
from tgkt_edge.train.methods.translation.translate import Translation
from tgkt_edge.train.nn.model import SceneClassifier


def world(noise: float, count: int, untrained: SceneClassifier) -> Translation:
    """Answers about ``count`` pairs: on the RGB, and on their frames with so much noise."""
    rng = np.random.default_rng(1)
    logits = rng.normal(size=(count, 3))
    rgb, frames = (
        np.exp(x) / np.exp(x).sum(1, keepdims=True)
        for x in (logits, logits + noise * rng.normal(size=(count, 3)))
    )
    nothing = np.zeros((2, 3))
    return Translation(untrained, nothing, nothing, nothing[0], rgb, frames, frames, np.arange(count), {})


@pytest.mark.parametrize(("noise", "together"), [(0.0, True), (1.0, True), (30.0, False)])
def test_answers_that_go_together_belong_together(
    noise: float, together: bool, untrained: SceneClassifier
) -> None:
    doubt = belong_together(world(noise, 200, untrained))
    assert (doubt is None) == together
    if doubt:
        assert doubt.startswith("`paired`: of 200 pairs left out")
        assert "Check that each frame shows the scene of its RGB at the same moment" in doubt


@pytest.mark.slow
def test_a_correlation_that_shuffled_pairs_reach_is_none(untrained: SceneClassifier) -> None:
    """Six pairs: half of the correlation that is plenty for two hundred proves nothing."""
    few = world(3.0, 6, untrained)
    assert belong_together(world(3.0, 400, untrained)) is None
    assert belong_together(few) is not None


@pytest.mark.slow
def test_features_that_match_say_it_of_few_pairs_whose_answers_do_not(untrained: SceneClassifier) -> None:
    few = world(3.0, 6, untrained)
    assert belong_together(replace(few, about={"match_p_value": 0.011})) is not None
    assert belong_together(replace(few, about={"match_p_value": 0.01})) is None


@pytest.mark.slow
def test_answers_that_hardly_correlate_teach_nothing_whatever_matches(untrained: SceneClassifier) -> None:
    doubt = belong_together(replace(world(30.0, 400, untrained), about={"match_p_value": 0.001}))
    assert doubt is not None
    assert "which is too little to learn from, though frames and RGB do match" in doubt
    assert "at the same moment" not in doubt


@pytest.mark.slow
def test_the_best_of_many_unrelated_candidates_is_still_unrelated(untrained: SceneClassifier) -> None:
    """Sixty pairs whose halves have nothing to do with each other, and nine candidates, of which the best is taken."""
    believed = 0
    for seed in range(60):
        rng = np.random.default_rng(seed)
        rgb, *candidates = rng.dirichlet(np.ones(4), size=(10, 60))
        best = max(candidates, key=lambda one: float(correlation(rgb, one)[0]))
        nothing = np.zeros((2, 4))
        about: dict[str, Any] = {"tried": [{}] * len(candidates)}
        found = Translation(untrained, nothing, nothing, nothing[0], rgb, best, best, np.arange(60), about)
        believed += belong_together(found) is None
    assert believed <= 9  # 23 where the number of candidates does not count
