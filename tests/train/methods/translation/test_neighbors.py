"""Answers that neighbors share: by hand, against the closed form, block by block, and what they are for."""

from __future__ import annotations

import numpy as np
import pytest

from tgkt_edge.config import TranslationConfig, build_config
from tgkt_edge.errors import ConfigError
from tgkt_edge.train.methods.translation import neighbors
from tgkt_edge.train.methods.translation import prior as prior_module
from tgkt_edge.train.methods.translation.answers import teach
from tgkt_edge.train.methods.translation.labelled import Labelled
from tgkt_edge.train.methods.translation.neighbors import Reals, nearest, spread_answers

HALF = np.array([0.5, 0.5])


def directions(*degrees: float) -> Reals:
    turned = np.deg2rad(degrees)
    return np.stack([np.cos(turned), np.sin(turned)], 1)


def clusters(rng: np.random.Generator, count: int = 60) -> tuple[Reals, np.ndarray]:
    """Two kinds of frames that lie apart, and their classes."""
    classes = np.arange(count) % 2
    return directions(*(90 * classes + rng.normal(0, 10, count))), classes


def test_two_pairs_by_hand() -> None:
    """Each frame has one neighbor, of weight exp(0) = 1: S swaps the two, Q1 = Q2 up to a third of their difference."""
    answers = np.array([[1.0, 0.0], [0.4, 0.6], [0.0, 1.0], [0.6, 0.4]])
    found = spread_answers(answers, directions(0, 0, 90, 90), HALF, 0.5, 1)
    # Q1 = (2 P1 + P2) / 3, Q2 = (P1 + 2 P2) / 3; the columns' means are 1/2 already.
    np.testing.assert_allclose(found, [[0.8, 0.2], [0.6, 0.4], [0.2, 0.8], [0.4, 0.6]], atol=1e-9)


def test_a_power_makes_answers_surer_and_keeps_the_shares() -> None:
    """By hand: 0.8 : 0.2 squared is 16 : 1, 0.6 : 0.4 is 9 : 4."""
    answers = np.array([[1.0, 0.0], [0.4, 0.6], [0.0, 1.0], [0.6, 0.4]])
    found = spread_answers(answers, directions(0, 0, 90, 90), HALF, 0.5, 1, 2.0)
    np.testing.assert_allclose(found[:, 0], [16 / 17, 9 / 13, 1 / 17, 4 / 13], atol=1e-9)


def test_a_share_of_0_changes_nothing(rng: np.random.Generator) -> None:
    answers = rng.dirichlet(np.ones(3), 8)
    assert spread_answers(answers, rng.normal(size=(8, 4)), np.ones(3) / 3, 0.0, 5) is answers
    one = answers[:1]
    assert spread_answers(one, np.ones((1, 4)), answers[0], 0.5, 5) is one  # a frame alone has no neighbor


def test_the_iteration_ends_in_the_closed_form(rng: np.random.Generator) -> None:
    """Zhou et al., equation 3: (1 - a) (I - a S)^-1 Y, before it is balanced."""
    components = rng.normal(size=(40, 6))
    answers = rng.dirichlet(np.ones(3), 40)
    units = components / np.linalg.norm(components, axis=1, keepdims=True)
    cosines = units @ units.T
    w = np.zeros((40, 40))
    for i in range(40):
        best = [j for j in np.argsort(-cosines[i]) if j != i][:4]
        w[i, best] = np.exp((cosines[i, best] - 1) / neighbors.SOFTNESS)
    w = np.maximum(w, w.T)
    s = w / np.sqrt(w.sum(1)[:, None] * w.sum(0)[None])
    expected = np.linalg.solve(np.eye(40) - 0.7 * s, 0.3 * answers)
    expected /= expected.sum(1, keepdims=True)
    prior = expected.mean(0)
    np.testing.assert_allclose(spread_answers(answers, components, prior, 0.7, 4), expected, atol=2e-2)
    graph = neighbors._graph(*nearest(units, units, 4, np.arange(40)))
    np.testing.assert_allclose(graph.toarray(), s, atol=1e-12)
    raw = neighbors._solve(graph, answers, 0.7)
    np.testing.assert_allclose(raw, np.linalg.solve(np.eye(40) - 0.7 * s, 0.3 * answers), atol=1e-8)


def test_blocks_find_the_same_neighbors(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    units = rng.normal(size=(30, 5))
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    whole = nearest(units, units, 3, np.arange(30))
    monkeypatch.setattr(neighbors, "BLOCK", 7)
    blocks = nearest(units, units, 3, np.arange(30))
    for i in range(30):
        assert set(whole[0][i]) == set(blocks[0][i])
        assert i not in blocks[0][i]
    np.testing.assert_allclose(np.sort(whole[1]), np.sort(blocks[1]), rtol=1e-12)


def test_few_cosines_at_a_time_find_the_same_neighbors(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    units = neighbors._unit(rng.normal(size=(50, 8)))
    near, weights = nearest(units, units, 4, np.arange(50))
    monkeypatch.setattr(neighbors, "COSINES", 50 * 7)
    again, weights_again = nearest(units, units, 4, np.arange(50))
    assert [set(row) for row in again] == [set(row) for row in near]
    np.testing.assert_allclose(np.sort(weights_again), np.sort(weights), atol=1e-12)
    # By the definition: none that is left out is nearer, and none is its own neighbor.
    cosines = units @ units.T - 2 * np.eye(50)
    np.testing.assert_allclose(
        np.sort(cosines)[:, -4:], np.sort(1 + np.log(weights) * neighbors.SOFTNESS), atol=1e-12
    )


@pytest.mark.slow
@pytest.mark.parametrize("references", [20_000, 40])
def test_a_teacher_of_stretches_is_the_teacher_of_all_at_once(
    references: int, rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Balance, self-training and neighbors work on stretches of many frames; only the order of sums changes."""
    classes = np.arange(150) % 3
    components = rng.normal(size=(3, 6))[classes] + rng.normal(size=(150, 6))
    opinions = [2 * np.eye(3)[classes] + rng.normal(size=(150, 3)) for _ in range(2)]
    monkeypatch.setattr(neighbors, "REFERENCES", references)
    whole = teach(opinions, components, np.array([0.5, 0.3, 0.2]), None, TranslationConfig(rounds=3))
    monkeypatch.setattr(prior_module, "BLOCK", 32)
    monkeypatch.setattr(neighbors, "BLOCK", 16)
    monkeypatch.setattr(neighbors, "COSINES", 9 * references)
    parts = teach(opinions, components, np.array([0.5, 0.3, 0.2]), None, TranslationConfig(rounds=3))
    np.testing.assert_allclose(parts.labels, whole.labels, atol=1e-9)
    np.testing.assert_allclose(parts.first, whole.first, atol=1e-12)


def test_frames_beyond_the_references_take_part(
    rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch
) -> None:
    components, classes = clusters(rng)
    answers = np.where(np.eye(2)[classes] > 0, 0.9, 0.1)
    wrong = np.array([3, 16, 33, 46])  # of both kinds; a frame is wrong, its neighbors are not
    answers[wrong] = answers[wrong][:, ::-1]
    monkeypatch.setattr(neighbors, "REFERENCES", 30)
    found = spread_answers(answers, components, HALF, 0.8, 5)
    assert (found.argmax(1) == classes).all()
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-9)
    np.testing.assert_allclose(found.mean(0), HALF, atol=1e-6)


def test_a_frame_that_errs_alone_is_outvoted(rng: np.random.Generator) -> None:
    components, classes = clusters(rng)
    answers = np.where(np.eye(2)[classes] > 0, 0.9, 0.1)
    answers[10], answers[21] = [0.45, 0.55], [0.55, 0.45]
    assert (answers.argmax(1) != classes).sum() == 2
    assert (spread_answers(answers, components, HALF, 0.5, 5).argmax(1) == classes).all()


def test_frames_without_a_direction_keep_finite_answers() -> None:
    answers = np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]])
    found = spread_answers(answers, np.zeros((3, 4)), HALF, 0.5, 5)
    assert np.isfinite(found).all()


@pytest.mark.parametrize("share", [0.0, 0.5])
def test_a_label_reaches_the_frames_beside_it(rng: np.random.Generator, share: float) -> None:
    """Opinions that know nothing; one labelled frame a kind."""
    components, classes = clusters(rng)
    opinions = [np.zeros((60, 2))]
    cfg = TranslationConfig(spread=share, prior="uniform", rounds=0)
    taught = teach(opinions, 0.01 * components, HALF, None, cfg, Labelled(np.array([4, 7]), classes[[4, 7]]))
    sure = np.any(np.abs(taught.labels - 0.5) > 0.01, axis=1)
    assert sure[[4, 7]].all()
    assert (sure.sum() > 6) == (share > 0)
    assert (taught.labels.argmax(1)[sure] == classes[sure]).all()


def test_bad_options_are_named() -> None:
    with pytest.raises(ConfigError, match=r"translation\.spread = 1\.0: expected 0 to below 1"):
        build_config(None, ["translation.spread=1"], {})
    with pytest.raises(ConfigError, match=r"translation\.spread_power = 0\.0: expected more than 0"):
        build_config(None, ["translation.spread_power=0"], {})
    with pytest.raises(ConfigError, match=r"translation\.neighbors = 0: expected more than 0"):
        build_config(None, ["translation.neighbors=0"], {})
