"""The verdict, in worlds in which the truth is known."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.verdicts import CLASSES, make_world, softmax_of, wrong_at
from tgkt_edge.train.report.comparison import HANDICAP, PAIRS, Evidence, Item
from tgkt_edge.train.report.judgement import Verdict
from tgkt_edge.train.report.metrics import agreement_beyond_chance, neighbour_agreement, neighbours
from tgkt_edge.train.report.verdict import judge


def item(found: Verdict, name: str) -> Item:
    (one,) = [one for one in found.evidence if one.name.startswith(name)]
    return one


@pytest.fixture
def world() -> Evidence:
    return make_world()


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


def test_a_source_model_that_knows_no_frames_says_nothing_alone(world: Evidence) -> None:
    """Its feature space agrees with itself whatever the truth is; held-out pairs tell that it is blind."""
    assert world.rgb is not None
    worse = with_errors(world, 0.1, 0.4)
    assert judge(worse).verdict == "hurt"
    one_class = softmax_of(np.zeros(len(world.rgb), np.int64))
    blind = dataclasses.replace(worse, held_source=one_class, held_target=one_class)
    assert agreement_beyond_chance(one_class.argmax(1), world.rgb.argmax(1), 4) == pytest.approx([0])
    found = judge(blind)
    assert found.verdict == "no evidence"
    assert item(found, "Structure").high < 0  # shown all the same
    assert "hardly knows these frames" in found.sentence
    # Nor does it say helped, unless the pairs say so, too; they alone may. A collapse still hurts.
    better = with_errors(world, 0.4, 0.1)
    assert (
        judge(dataclasses.replace(better, held_source=one_class, held_target=one_class)).verdict
        == "no evidence"
    )
    assert (
        judge(dataclasses.replace(better, held_source=one_class, held_target=world.rgb)).verdict == "helped"
    )
    noise = np.random.default_rng(2).normal(size=(400, 16)).astype(np.float32)
    alone = dataclasses.replace(better, features=noise, held_source=one_class, held_target=world.rgb)
    assert item(judge(alone), "Correlation").low > 0
    assert judge(alone).verdict == "helped"
    collapsed = dataclasses.replace(blind, target=softmax_of(np.ones(400, np.int64)))
    assert judge(collapsed).verdict == "hurt"
    # Without pairs nobody knows, and the feature space is believed.
    assert judge(dataclasses.replace(worse, rgb=None, held_source=None, held_target=None)).verdict == "hurt"


def test_source_only_is_charged_a_share_of_its_agreement(world: Evidence) -> None:
    near = neighbours(world.features, 20)
    after, before = (
        float(neighbour_agreement(near, p.argmax(1), 4)[0]) for p in (world.target, world.source)
    )
    assert item(judge(world), "Structure").value == pytest.approx(after - (1 - HANDICAP) * before)


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
    assert "Only 8 of 400 answers changed (2.0%)" in found.sentence


def test_of_few_frames_fewer_than_ten_changed_answers_are_no_evidence(world: Evidence) -> None:
    """Nine errors of 60 mended fit the neighbourhoods, and so would nine errors made of frames that look alike."""
    few = dataclasses.replace(world, features=world.features[:60])
    truth = np.random.default_rng(0).integers(0, 4, 400)[:60]

    def verdict(changed: int) -> str:
        source = truth.copy()
        source[:changed] = (source[:changed] + 1) % 4
        return judge(dataclasses.replace(few, source=softmax_of(source), target=softmax_of(truth))).verdict

    assert (verdict(9), verdict(16)) == ("no evidence", "helped")


def test_where_few_answers_changed_source_only_is_charged_in_proportion(world: Evidence) -> None:
    target = world.source.copy()
    target[:40] = np.roll(target[:40], 1, axis=1)  # 10 %, half of WHOLLY_CHANGED
    near = neighbours(world.features, 20)
    after, before = (float(neighbour_agreement(near, p.argmax(1), 4)[0]) for p in (target, world.source))
    found = judge(dataclasses.replace(world, target=target))
    assert item(found, "Structure").value == pytest.approx(after - (1 - HANDICAP / 2) * before)


@pytest.mark.parametrize("second", [0, 12])
def test_a_collapsed_network_hurts(world: Evidence, second: int) -> None:
    named = np.repeat([1, 2], [400 - second, second])
    found = judge(dataclasses.replace(world, target=softmax_of(named)))
    assert found.verdict == "hurt"
    assert "collapsed" in found.sentence
    assert any("classified as b" in text for text in found.warnings)


def test_a_lost_class_forbids_helped(world: Evidence) -> None:
    """Two classes merged into one, all else right: smoother than before, and nobody should ship it unseen."""
    truth = np.random.default_rng(0).integers(0, 4, 400)
    better = with_errors(world, 0.4, 0.0)
    merged = dataclasses.replace(better, target=softmax_of(np.where(truth == 3, 2, truth)))
    assert judge(better).verdict == "helped"
    found = judge(merged)
    assert found.verdict == "no evidence"
    assert "no frame is classified as d any more" in found.sentence
    assert "No target frame is classified as d." in found.warnings


def halfway(rgb: NDArray[np.float32]) -> NDArray[np.float32]:
    """Answers that agree with ``rgb``'s on every other pair: beyond chance, and not well."""
    named = rgb.argmax(1)
    return softmax_of(np.where(np.arange(len(named)) % 2, named, (named + 1) % 4))


def test_what_agrees_by_chance_does_not_count(world: Evidence) -> None:
    """Source-only names the class that most RGB images have, and is right on 70 % of the pairs, knowing nothing."""
    rng = np.random.default_rng(3)
    named = np.where(rng.random(40) < 0.7, 0, rng.integers(1, 4, 40))
    rgb, always = softmax_of(named), softmax_of(np.zeros(40, np.int64))
    half = softmax_of(
        np.where(rng.random(40) < 0.6, named, (named + 1) % 4)
    )  # right on fewer, and not by chance
    assert (half.argmax(1) == named).sum() < (always.argmax(1) == named).sum()
    found = judge(dataclasses.replace(world, rgb=rgb, held_source=always, held_target=half))
    assert item(found, "Agreement").value == pytest.approx(
        agreement_beyond_chance(half.argmax(1), named, 4)[0]  # minus 0
    )
    assert item(found, "Agreement").value > 0.15
    assert item(found, "Correlation").value > 0.15  # that of an answer that never varies is 0


def test_held_out_pairs_decide_where_neighbours_do_not(world: Evidence) -> None:
    rng = np.random.default_rng(2)
    blind = dataclasses.replace(
        with_errors(world, 0.3, 0.3), features=rng.normal(size=(400, 16)).astype(np.float32)
    )
    assert world.rgb is not None
    far = halfway(world.rgb)
    # In features that show nothing neither network's classes have neighbours.
    structure = item(judge(blind), "Structure")
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
    far = halfway(world.rgb)
    neat, untidy = with_errors(world, 0.4, 0.1), with_errors(world, 0.1, 0.4)
    for found, source, target in ((neat, world.rgb, far), (untidy, far, world.rgb)):
        logged = judge(dataclasses.replace(found, held_source=source, held_target=target))
        assert logged.verdict == "no evidence"
        assert "contradict each other" in logged.sentence
        agreed = judge(dataclasses.replace(found, held_source=target, held_target=source))
        assert agreed.verdict == judge(found).verdict != "no evidence"


@pytest.mark.parametrize("count", [PAIRS - 1, PAIRS])
def test_a_few_held_out_pairs_are_not_listened_to(world: Evidence, count: int) -> None:
    rng = np.random.default_rng(2)
    features = rng.normal(size=(400, 16)).astype(np.float32)  # show nothing
    assert world.rgb is not None
    rgb = world.rgb[:count]
    far = halfway(rgb)
    found = judge(
        dataclasses.replace(
            with_errors(world, 0.3, 0.3), features=features, rgb=rgb, held_source=far, held_target=rgb,
            held_runs=[1] * count,
        )
    )  # fmt: skip
    assert [one.name for one in found.evidence][:2] == ["Correlation on held-out pairs", "Structure"]
    gain = found.evidence[0]
    assert gain.low > 0
    assert gain.decides == (count == PAIRS)
    assert found.verdict == ("helped" if count == PAIRS else "no evidence")
    assert any(f"Only {count} pairs were held out" in text for text in found.warnings) == (count < PAIRS)


def test_a_verdict_is_repeatable_and_json(world: Evidence) -> None:
    found = judge(with_errors(world, 0.4, 0.1))
    assert found == judge(with_errors(world, 0.4, 0.1))
    plain = found.to_dict()
    assert set(plain) == {"verdict", "sentence", "evidence", "warnings", "over", "modality_gap"}
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
