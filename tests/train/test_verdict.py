"""The verdict and its measures: hand-checked values, then worlds in which the truth is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from tgkt_edge.train.measures import (
    agreement_beyond_chance,
    block_counts,
    blocks_of,
    divergence,
    effective_classes,
    lost_classes,
    neighbour_agreement,
    neighbours,
    overlap,
)
from tgkt_edge.train.verdict import HANDICAP, PAIRS, Evidence, judge

CLASSES = ("a", "b", "c", "d")


# Measures by hand


def test_nearest_by_angle_around_the_mean() -> None:
    # Mean (0, 0). Seen from there: 0 degrees, 10 degrees, 180 and 190; lengths do not matter.
    angles = np.deg2rad([0, 10, 180, 190])
    features = np.stack([np.cos(angles), np.sin(angles)], 1) * np.array([[1], [5], [1], [5]])
    features -= features.mean(0)
    assert neighbours(features.astype(np.float32), 1)[:, 0].tolist() == [1, 0, 3, 2]


def test_neighbours_in_blocks_are_those_of_one_matrix() -> None:
    features = np.random.default_rng(0).normal(size=(1500, 8)).astype(np.float32)
    f = (features - features.mean(0)).astype(np.float64)
    f /= np.linalg.norm(f, axis=1, keepdims=True)
    likeness = f @ f.T
    np.fill_diagonal(likeness, -np.inf)
    np.testing.assert_array_equal(neighbours(features, 3), np.argsort(-likeness, axis=1)[:, :3])


def test_neighbour_agreement_by_hand() -> None:
    # Two neighbours each; shares of the own class 1, 1/2, 1/2, 0: mean 1/2. Classes 3/4 and 1/4: chance 10/16.
    near = np.array([[1, 2], [0, 3], [1, 3], [0, 1]])
    named = np.array([0, 0, 0, 1])
    assert neighbour_agreement(near, named, 2) == pytest.approx((0.5 - 0.625) / 0.375)
    # Drawn 1, 2, 0 and 1 times: pairs (0,1) (1,0) (0,2) (1,3) (2,.) (3,0) (3,1) weigh 2 2 0 2 0 1 2, of which the
    # first two are of one class. Classes are drawn 3 and 1 times, as before.
    counts = np.array([[1.0, 2, 0, 1]])
    assert neighbour_agreement(near, named, 2, counts) == pytest.approx((4 / 9 - 0.625) / 0.375)


def test_one_class_for_everything_agrees_with_nobody_by_merit() -> None:
    near = np.array([[1], [2], [0]])
    assert neighbour_agreement(near, np.zeros(3, np.int64), 4) == 0
    assert neighbour_agreement(near, np.array([0, 1, 2]), 4) < 0


def test_overlap_and_divergence_by_hand() -> None:
    p = np.array([[0.5, 0.5, 0.0], [1.0, 0.0, 0.0]], np.float32)
    q = np.array([[0.25, 0.25, 0.5], [1.0, 0.0, 0.0]], np.float32)
    np.testing.assert_allclose(overlap(p, q), [0.5, 1.0])
    np.testing.assert_allclose(divergence(p, q), [np.log(2), 0.0], atol=1e-9)


def test_effective_and_lost_classes_by_hand() -> None:
    assert effective_classes(np.array([0, 1, 2, 3]), 4) == pytest.approx(4)
    assert effective_classes(np.array([2, 2, 2]), 4) == pytest.approx(1)
    source = np.repeat([0, 1, 2, 3], [10, 6, 2, 2])  # a fair share is 5, half of it 2.5
    target = np.repeat([0, 3], [18, 2])
    assert lost_classes(source, target, 4) == [1]


def test_agreement_beyond_chance_by_hand() -> None:
    """Cohen's kappa: 3 of 4 alike; a is 3/4 and 1/4, b 1/2 and 1/2: chance 1/2, kappa (3/4 - 1/2) / (1/2)."""
    a, b = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 1])
    assert agreement_beyond_chance(a, b, 2) == pytest.approx(0.5)
    assert agreement_beyond_chance(a, a, 3) == pytest.approx(1)
    assert agreement_beyond_chance(np.array([0, 1, 0, 1]), b, 2) == pytest.approx(0)
    assert agreement_beyond_chance(a * 0, a * 0, 2) == 0


def test_bootstrap_draws_whole_blocks() -> None:
    block = blocks_of(27)
    assert block.tolist() == sorted([*range(9)] * 3)
    counts = block_counts(block, 0)
    assert np.all(counts.reshape(len(counts), 9, 3) == counts.reshape(len(counts), 9, 3)[:, :, :1])
    assert np.all(counts.sum(1) == 27)
    assert counts.mean() == pytest.approx(1)
    np.testing.assert_array_equal(counts, block_counts(block, 0))


def test_interval_of_a_mean_is_that_of_the_bootstrap_distribution() -> None:
    """Of 100 independent values with mean 0 and deviation 1: -0.164 to 0.164."""
    values = np.random.default_rng(0).normal(size=100)
    values = (values - values.mean()) / values.std()
    means = block_counts(np.arange(100), 1) @ values / 100
    assert np.quantile(means, [0.05, 0.95]) == pytest.approx([-0.164, 0.164], abs=0.02)


# Worlds with a known truth


def softmax_of(named: NDArray[np.int64], k: int = 4) -> NDArray[np.float32]:
    return (np.eye(k)[named] * 0.8 + 0.2 / k).astype(np.float32)


def wrong_at(truth: NDArray[np.int64], share: float, rng: np.random.Generator) -> NDArray[np.int64]:
    return np.where(rng.random(len(truth)) < share, (truth + rng.integers(1, 4, len(truth))) % 4, truth)


@pytest.fixture
def world() -> Evidence:
    """400 frames of four classes in a feature space that shows them; source-only errs on 30 %, the target on 30 %."""
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, 400)
    centres = np.eye(4, 16) * 2
    features = (centres[truth] + rng.normal(scale=0.7, size=(400, 16))).astype(np.float32)
    source, target = (softmax_of(wrong_at(truth, 0.3, rng)) for _ in range(2))
    held = rng.integers(0, 4, 40)
    unsure = softmax_of(wrong_at(held, 0.4, rng))  # of both networks: pairs take no side
    return Evidence(
        CLASSES, features, source, target, None,
        softmax_of(held), unsure, unsure, [4] * 10, 0.02,
    )  # fmt: skip


def with_errors(world: Evidence, source: float, target: float) -> Evidence:
    rng = np.random.default_rng(1)
    truth = np.random.default_rng(0).integers(0, 4, 400)
    return dataclasses.replace(
        world,
        source=softmax_of(wrong_at(truth, source, rng)),
        target=softmax_of(wrong_at(truth, target, rng)),
    )


@pytest.mark.parametrize(
    ("source", "target", "word"), [(0.4, 0.1, "helped"), (0.3, 0.15, "helped"), (0.1, 0.4, "hurt"), (0.3, 0.7, "hurt")]
)  # fmt: skip
def test_fewer_errors_help_and_more_hurt(world: Evidence, source: float, target: float, word: str) -> None:
    assert judge(with_errors(world, source, target)).verdict == word


def test_a_source_model_that_knows_no_frames_cannot_say_hurt(world: Evidence) -> None:
    """Its feature space agrees with itself whatever the truth is; held-out pairs tell that it is blind."""
    assert world.rgb is not None
    worse = with_errors(world, 0.1, 0.4)
    assert judge(worse).verdict == "hurt"
    one_class = softmax_of(np.zeros(len(world.rgb), np.int64))
    blind = dataclasses.replace(worse, held_source=one_class, held_target=one_class)
    assert agreement_beyond_chance(one_class.argmax(1), world.rgb.argmax(1), 4) == pytest.approx(0)
    found = judge(blind)
    assert found.verdict == "no evidence"
    assert found.evidence[0].high < 0  # shown all the same
    assert "hardly knows these frames" in found.sentence
    # It may still say helped, and a collapse still hurts.
    better = with_errors(world, 0.4, 0.1)
    assert (
        judge(dataclasses.replace(better, held_source=one_class, held_target=one_class)).verdict == "helped"
    )
    collapsed = dataclasses.replace(blind, target=softmax_of(np.ones(400, np.int64)))
    assert judge(collapsed).verdict == "hurt"
    # Without pairs nobody knows, and the feature space is believed.
    assert judge(dataclasses.replace(worse, rgb=None, held_source=None, held_target=None)).verdict == "hurt"


def test_source_only_is_charged_a_share_of_its_agreement(world: Evidence) -> None:
    near = neighbours(world.features, 20)
    after, before = (
        float(neighbour_agreement(near, p.argmax(1), 4)[0]) for p in (world.target, world.source)
    )
    assert judge(world).evidence[0].value == pytest.approx(after - (1 - HANDICAP) * before)


def test_the_same_answers_are_no_evidence(world: Evidence) -> None:
    found = judge(dataclasses.replace(world, target=world.source))
    assert found.verdict == "no evidence"
    assert found.evidence == []
    assert "as source-only does" in found.sentence


def test_few_changed_answers_are_no_evidence(world: Evidence) -> None:
    target = world.source.copy()
    target[:8] = np.roll(target[:8], 1, axis=1)  # 2 %
    found = judge(dataclasses.replace(world, target=target))
    assert found.verdict == "no evidence"
    assert "Only 2.0% of the answers changed" in found.sentence


@pytest.mark.parametrize("second", [0, 12])
def test_a_collapsed_network_hurts(world: Evidence, second: int) -> None:
    named = np.repeat([1, 2], [400 - second, second])
    found = judge(dataclasses.replace(world, target=softmax_of(named)))
    assert found.verdict == "hurt"
    assert "collapsed" in found.sentence
    assert any("called b" in text for text in found.warnings)


def test_a_lost_class_forbids_helped(world: Evidence) -> None:
    """Two classes merged into one, all else right: smoother than before, and nobody should ship it unseen."""
    truth = np.random.default_rng(0).integers(0, 4, 400)
    better = with_errors(world, 0.4, 0.0)
    merged = dataclasses.replace(better, target=softmax_of(np.where(truth == 3, 2, truth)))
    assert judge(better).verdict == "helped"
    found = judge(merged)
    assert found.verdict == "no evidence"
    assert "nothing is called d any more" in found.sentence
    assert "No target frame is called d." in found.warnings


def test_held_out_pairs_decide_where_neighbours_do_not(world: Evidence) -> None:
    rng = np.random.default_rng(2)
    blind = dataclasses.replace(
        with_errors(world, 0.3, 0.3), features=rng.normal(size=(400, 16)).astype(np.float32)
    )
    assert world.rgb is not None
    far = softmax_of((world.rgb.argmax(1) + 1) % 4)
    # In features that show nothing neither network's classes have neighbours.
    structure = judge(blind).evidence[0]
    assert structure.low < 0 < structure.high
    assert structure.value == pytest.approx(0, abs=0.05)
    good = dataclasses.replace(blind, held_source=far, held_target=world.rgb)
    bad = dataclasses.replace(blind, held_source=world.rgb, held_target=far)
    assert judge(good).verdict == "helped"
    assert judge(bad).verdict == "hurt"
    assert "more like those on their RGB" in judge(good).sentence
    undecided = dataclasses.replace(blind, rgb=None, held_source=None, held_target=None, held_runs=())
    assert judge(undecided).verdict == "no evidence"
    assert any("holdout = 0" in text for text in judge(undecided).warnings)


def test_neighbours_and_held_out_pairs_that_contradict_each_other_are_no_evidence(world: Evidence) -> None:
    """A network can sort frames neatly into the wrong classes; pairs of other scenes may mislead as well."""
    assert world.rgb is not None
    far = softmax_of((world.rgb.argmax(1) + 1) % 4)
    neat, untidy = with_errors(world, 0.4, 0.1), with_errors(world, 0.1, 0.4)
    for found, source, target in ((neat, world.rgb, far), (untidy, far, world.rgb)):
        told = judge(dataclasses.replace(found, held_source=source, held_target=target))
        assert told.verdict == "no evidence"
        assert "contradict each other" in told.sentence
        agreed = judge(dataclasses.replace(found, held_source=target, held_target=source))
        assert agreed.verdict == judge(found).verdict != "no evidence"


@pytest.mark.parametrize("count", [PAIRS - 1, PAIRS])
def test_a_few_held_out_pairs_are_not_listened_to(world: Evidence, count: int) -> None:
    rng = np.random.default_rng(2)
    features = rng.normal(size=(400, 16)).astype(np.float32)  # show nothing
    assert world.rgb is not None
    rgb = world.rgb[:count]
    far = softmax_of((rgb.argmax(1) + 1) % 4)
    found = judge(
        dataclasses.replace(
            with_errors(world, 0.3, 0.3), features=features, rgb=rgb, held_source=far, held_target=rgb,
            held_runs=[1] * count,
        )
    )  # fmt: skip
    overlap = found.evidence[1]
    assert overlap.low > 0
    assert overlap.decides == (count == PAIRS)
    assert found.verdict == ("helped" if count == PAIRS else "no evidence")
    assert any(f"Only {count} pairs were held out" in text for text in found.warnings) == (count < PAIRS)


def test_a_verdict_is_repeatable_and_json(world: Evidence) -> None:
    found = judge(with_errors(world, 0.4, 0.1))
    assert found == judge(with_errors(world, 0.4, 0.1))
    plain = found.to_dict()
    assert set(plain) == {"verdict", "sentence", "evidence", "warnings"}
    for item in plain["evidence"]:
        assert item["low"] <= item["value"] <= item["high"]


def test_answers_that_do_not_settle_are_warned_about(world: Evidence) -> None:
    found = judge(dataclasses.replace(world, last_churn=0.35))
    assert any("still changed 35%" in text for text in found.warnings)


def test_a_handful_of_frames_is_enough_to_compute() -> None:
    rng = np.random.default_rng(0)
    p = rng.dirichlet(np.ones(4), size=(2, 5)).astype(np.float32)
    found = judge(Evidence(CLASSES, rng.normal(size=(5, 3)).astype(np.float32), p[0], p[1]))
    assert found.verdict in ("helped", "no evidence", "hurt")
