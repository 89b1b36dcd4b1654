"""The verdict on translations of features: what speaks, and what does not."""

from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.verdicts import CLASSES, make_world, softmax_of, wrong_at
from tgkt_edge.train.report.comparison import Item
from tgkt_edge.train.report.judgement import Verdict
from tgkt_edge.train.report.reading import NEAR, Reading, modality_gap
from tgkt_edge.train.report.translation_verdict import judge_translation
from tgkt_edge.train.report.verdict import judge
from tgkt_edge.train.report.words import look_of_frames


def interval(low: float, high: float) -> Item:
    return Item("one", "", (low + high) / 2, low, high, 0.3, True)


@pytest.mark.parametrize(
    ("belong", "blind", "structure", "gain", "lost", "spread", "verdict", "over"),
    [
        # The source model knows frames: their neighbourhoods decide, whatever the ridge's answers on pairs.
        (True, False, (0.05, 0.2), (-0.2, -0.05), [], 1.0, "helped", "frames"),
        (True, False, (-0.2, -0.01), (0.1, 0.3), [], 1.0, "hurt", "frames"),
        (True, False, (-0.1, 0.1), (-0.2, -0.05), [], 1.0, "no evidence", ""),
        # It does not: its classes follow its space, so that this proves no loss; and a gain, or pairs left out do, only
        # if they belong together at all.
        (True, True, (0.05, 0.2), (-0.1, 0.1), [], 1.0, "helped", "classes"),
        (True, True, (0.05, 0.2), (-0.2, -0.1), [], 1.0, "no evidence", ""),
        (False, True, (0.05, 0.2), (-0.1, 0.1), [], 1.0, "no evidence", ""),
        (True, True, (-0.1, 0.1), (0.1, 0.3), [], 1.0, "helped", "classes"),
        (True, True, (-0.3, -0.1), (0.1, 0.3), [], 1.0, "helped", "classes"),
        (True, True, (-0.3, -0.1), (-0.1, 0.1), [], 1.0, "no evidence", ""),
        (False, True, (-0.1, 0.1), (0.1, 0.3), [], 1.0, "no evidence", ""),
        (False, True, (-0.3, -0.1), (0.1, 0.3), [], 1.0, "no evidence", ""),
        # A class that is gone.
        (True, False, (0.05, 0.2), (0.1, 0.3), [1], 0.9, "no evidence", ""),
        (True, False, (0.05, 0.2), (0.1, 0.3), [1], 0.55, "hurt", "classes"),
    ],
)
def test_a_translation_of_features_is_judged_by_what_can_speak(
    belong: bool,
    blind: bool,
    structure: tuple[float, float],
    gain: tuple[float, float],
    lost: list[int],
    spread: float,
    verdict: str,
    over: str,
) -> None:
    found = judge_translation(
        CLASSES, belong, Reading(blind), interval(*structure), interval(*gain), lost, spread
    )
    assert (found.verdict, found.over) == (verdict, over)
    assert ("This is about accuracy over" in found.sentence) == bool(over)
    assert over in found.sentence
    if lost:
        assert (
            "No frame is classified as b any more" in found.sentence
            or "no frame is classified as b any more" in found.sentence
        )


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "helped"),
        ({"named": (-0.02, 0.2)}, "no evidence"),
        ({"blind": False}, "no evidence"),  # structure speaks of frames that the source model recognizes
        ({"belong": False}, "no evidence"),
        ({"opposed": True}, "no evidence"),
        ({"gain": (-0.3, -0.01)}, "no evidence"),  # its probabilities go less with those on RGB
        ({"structure": (-0.2, -0.01)}, "helped"),  # its classes follow its space, whatever that shows
        ({"structure": (-0.2, -0.01), "blind": False}, "hurt"),
        ({"lost": [1]}, "no evidence"),
    ],
)
def test_classes_named_beyond_chance_speak_where_the_source_model_is_at_chance(
    changes: dict[str, Any], verdict: str
) -> None:
    given: dict[str, Any] = {
        "belong": True, "blind": True, "opposed": False, "structure": (-0.05, 0.07), "gain": (-0.16, 0.14),
        "named": (0.02, 0.3), "lost": [], **changes,
    }  # fmt: skip
    found = judge_translation(
        CLASSES, given["belong"], Reading(given["blind"], given["opposed"]), interval(*given["structure"]),
        interval(*given["gain"]), given["lost"], 1.0, named=interval(*given["named"]),
    )  # fmt: skip
    assert found.verdict == verdict
    if verdict == "helped":
        assert found.over == "classes"
        assert "beyond chance" in found.sentence
        assert "This is about accuracy over classes." in found.sentence


def test_a_source_model_that_names_one_class_for_all_is_beaten_by_classes_on_pairs() -> None:
    """Its probability of that class still goes with the RGB's, as much as the translation's do; its classes do not."""
    world, rng = make_world(), np.random.default_rng(5)
    held = np.repeat(np.arange(4), 40)
    rgb = softmax_of(held)
    translated, other = (
        softmax_of(np.where(rng.random(160) < 0.7, held, rng.integers(0, 4, 160))) for _ in range(2)
    )
    one_class = 0.1 * other + 0.9 * softmax_of(np.zeros(160, int))
    noise = rng.normal(size=(400, 16)).astype(np.float32)  # neighborhoods say nothing
    evidence = dataclasses.replace(
        world, features=noise, source=softmax_of(rng.integers(0, 4, 400)), target=softmax_of(rng.integers(0, 4, 400)),
        rgb=rgb, held_source=one_class.astype(np.float32), held_target=translated, held_runs=[4] * 40, belong=True,
    )  # fmt: skip
    found = judge(evidence)
    by_name = {item.name: item for item in found.evidence}
    assert by_name["Correlation on held-out pairs"].low <= 0
    assert by_name["Agreement on held-out pairs"].low > 0.5
    assert by_name["Agreement on held-out pairs"].decides
    assert (found.verdict, found.over) == ("helped", "classes")
    # Of other methods it is only shown: a tenth of the pairs, and networks that were trained on the others.
    alone = judge(dataclasses.replace(evidence, belong=None))
    assert not {item.name: item for item in alone.evidence}["Agreement on held-out pairs"].decides


@pytest.mark.parametrize(
    ("blind", "scratch", "gain", "verdict"),
    [
        (True, True, (0.55, 0.7), "helped"),
        (True, True, (0.3, 0.7), "no evidence"),  # shuffled pairs of few scenes reach that
        (True, True, (-0.2, 0.1), "no evidence"),
        (True, False, (0.3, 0.7), "helped"),  # of generic features they are no yardstick at all
        (False, True, (0.55, 0.7), "hurt"),
    ],
)
def test_neighbours_in_features_trained_from_scratch_count_where_they_know_the_frames(
    blind: bool, scratch: bool, gain: tuple[float, float], verdict: str
) -> None:
    found = judge_translation(
        CLASSES, True, Reading(blind), interval(-0.2, -0.1), interval(*gain), (), 1.0, scratch=scratch
    )
    assert found.verdict == verdict


def test_pairs_whose_classes_changed_places_praise_nothing() -> None:
    """All frames of a's RGB are b's and so on: a translation learns that, and pairs left out agree with it."""
    world = make_world()
    truth = np.random.default_rng(0).integers(0, 4, 400)
    held = np.random.default_rng(3).integers(0, 4, 40)
    rgb, on_frames = softmax_of(held), softmax_of((held + 1) % 4)

    def found(before: NDArray[np.float32]) -> Verdict:
        noise = (
            np.random.default_rng(2).normal(size=(400, 16)).astype(np.float32)
        )  # neighbourhoods say nothing
        return judge(
            dataclasses.replace(
                world, features=noise, source=softmax_of(truth), target=softmax_of((truth - 1) % 4),
                rgb=rgb, held_source=before, held_target=rgb, belong=True,
            )
        )  # fmt: skip

    assert found(on_frames).verdict == "no evidence"
    assert "exchanged among the pairs" in found(on_frames).sentence
    # A source model that is merely blind is another case: there the pairs speak.
    blind = softmax_of(np.where(np.arange(40) < 30, 0, held))
    assert found(blind).verdict == "helped"


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({}, "helped"),
        (
            {"rgb_like": None},
            "no evidence",
        ),  # nothing but the pairs says that the source model reads no frames
        ({"gain": (-0.1, 0.3)}, "helped"),
        ({"gain": (-0.3, 0.1), "named": (-0.2, 0.1)}, "no evidence"),  # both rather less
        ({"named": (-0.2, -0.01)}, "no evidence"),
        ({"belong": False}, "no evidence"),
        ({"blind": False}, "hurt"),
        ({"opposed": True}, "no evidence"),
        ({"lost": [1]}, "no evidence"),
    ],
)
def test_pairs_that_match_speak_for_a_translation_of_frames_that_look_nothing_like_rgb(
    changes: dict[str, Any], verdict: str
) -> None:
    given: dict[str, Any] = {
        "belong": True, "blind": True, "structure": (-0.2, -0.1), "gain": (-0.1, 0.05), "named": (-0.05, 0.2),
        "lost": [], "opposed": False, "rgb_like": False, **changes,
    }  # fmt: skip
    found = judge_translation(
        CLASSES, given["belong"], Reading(given["blind"], given["opposed"], given["rgb_like"]),
        interval(*given["structure"]), interval(*given["gain"]), given["lost"], 1.0, named=interval(*given["named"]),
    )  # fmt: skip
    assert found.verdict == verdict
    if verdict == "helped":
        assert found.over == "classes"
        assert "nothing like RGB" in found.sentence


@pytest.mark.parametrize(
    ("rgb_like", "opposed", "spread", "structure", "verdict"),
    [
        (True, False, 0.55, (-0.1, 0.1), "hurt"),
        (True, False, 0.55, (0.02, 0.2), "helped"),  # frames of few classes, sorted neatly
        (True, False, 0.65, (-0.1, 0.1), "no evidence"),
        (True, True, 0.55, (-0.1, 0.1), "no evidence"),  # the source model may be what is wrong
        (
            False,
            False,
            0.55,
            (-0.1, 0.1),
            "no evidence",
        ),  # its own answers may be spread over classes at random
        (None, False, 0.55, (-0.1, 0.1), "no evidence"),
    ],
)
def test_answers_that_narrow_hurt_where_the_source_model_reads_frames(
    rgb_like: bool | None, opposed: bool, spread: float, structure: tuple[float, float], verdict: str
) -> None:
    found = judge_translation(
        CLASSES,
        True,
        Reading(False, opposed, rgb_like),
        interval(*structure),
        interval(-0.1, 0.1),
        (),
        spread,
    )
    assert found.verdict == verdict
    if verdict == "hurt":
        assert found.over == "classes"
        assert "55% of the classes" in found.sentence


@pytest.mark.parametrize(("shift", "gap"), [(0.0, 0.0), (0.5, 0.25), (-2.0, 4.0)])
def test_the_modality_gap_is_the_median_squared_shift_in_standard_deviations(
    shift: float, gap: float
) -> None:
    features = np.array([[-1, 3, 100], [1, -3, 100]], np.float32) + np.float32(shift)
    features[:, 2] += 1000  # a feature whose spread on RGB nobody knew
    world = dataclasses.replace(make_world(), features=features)
    assert modality_gap(world) is None  # nobody knows where RGB lies
    assert modality_gap(dataclasses.replace(world, standardized=True)) == pytest.approx(gap)


def test_pairs_contradict_a_source_model_in_vain_whose_frames_look_like_rgb() -> None:
    """Scenes that changed places on near infrared: the source model is right about frames, and the pairs are wrong."""
    world = make_world()
    truth = np.random.default_rng(0).integers(0, 4, 400)
    rng = np.random.default_rng(4)
    held = rng.integers(0, 4, 60)
    on_frames = softmax_of(wrong_at(rng.integers(0, 4, 60), 0.1, rng))  # kappa 0, correlation a little above
    on_frames = (0.9 * on_frames + 0.1 * softmax_of(held)).astype(np.float32)
    exchanged = dataclasses.replace(
        world, source=softmax_of(wrong_at(truth, 0.2, rng)), target=softmax_of(wrong_at(truth, 0.7, rng)),
        rgb=softmax_of(held), held_source=on_frames, held_target=softmax_of(held), held_runs=[4] * 15, belong=True,
    )  # fmt: skip
    assert (judge(exchanged).verdict, judge(exchanged).over) == (
        "helped",
        "classes",
    )  # pairs alone are believed
    near = judge(dataclasses.replace(exchanged, standardized=True))
    assert (near.verdict, near.over) == ("hurt", "frames")
    assert near.modality_gap is not None
    assert near.modality_gap < NEAR
    assert near.to_dict()["modality_gap"] == near.modality_gap
    noise = rng.normal(size=(400, 16)).astype(np.float32)  # neighborhoods say nothing
    silent = judge(dataclasses.replace(exchanged, standardized=True, features=noise))
    assert silent.verdict == "no evidence"
    assert "exchanged among the pairs" in silent.sentence
    far = judge(dataclasses.replace(exchanged, standardized=True, features=noise + 1))
    assert (far.verdict, far.over) == ("helped", "classes")


def test_wrong_pairs_do_not_decide_about_other_methods_whose_frames_look_like_rgb() -> None:
    world, rng = make_world(), np.random.default_rng(7)
    held = rng.integers(0, 4, 60)
    noise = rng.normal(size=(400, 16)).astype(np.float32)  # neighborhoods say nothing
    wrong = dataclasses.replace(
        world, features=noise, rgb=softmax_of(held), held_source=softmax_of((held + 1) % 4),
        held_target=softmax_of(held), held_runs=[4] * 15,
    )  # fmt: skip
    assert judge(wrong).verdict == "helped"  # a source model at chance, as far as anybody knows
    near = judge(dataclasses.replace(wrong, standardized=True))
    assert near.verdict == "no evidence"
    assert "exchanged among the pairs" in near.sentence
    # The target network's answers on wrong pairs are not held against it either.
    less = dataclasses.replace(wrong, held_source=softmax_of(rng.integers(0, 4, 60)), standardized=True)
    worse = dataclasses.replace(less, held_target=softmax_of((held + 1) % 4))
    assert judge(worse).verdict == "no evidence"


def test_one_class_for_all_pairs_is_not_another_answer_than_on_their_rgb() -> None:
    """Kappa is 0 where one class has nearly all answers, however many of them agree; the correlation is not."""
    world, rng = make_world(), np.random.default_rng(8)
    sure = 0.9 - 0.2 * rng.random(60)
    rgb = np.stack([sure, *[(1 - sure) / 3] * 3], 1).astype(np.float32)
    noise = rng.normal(size=(400, 16)).astype(np.float32)
    e = dataclasses.replace(
        world, features=noise, rgb=rgb, held_source=rgb, held_target=rgb, held_runs=[4] * 15, belong=True,
        standardized=True,
    )  # fmt: skip
    assert "exchanged among the pairs" not in judge(e).sentence


def test_the_page_says_how_rgb_like_frames_look() -> None:
    assert look_of_frames(None) == ""
    near, far = look_of_frames(0.04), look_of_frames(0.16)
    assert "much like RGB: their mean features lie 0.200 standard deviations" in near
    assert "little like RGB: their mean features lie 0.400 standard deviations" in far
    assert "little like RGB: their mean features lie 0.316" in look_of_frames(NEAR)
    assert "much like RGB: their mean features lie 0.315" in look_of_frames(0.0995)
