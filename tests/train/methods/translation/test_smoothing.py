"""Whether self-training and neighbors take part: what two translations show without a label."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tgkt_edge.config import TranslationConfig
from tgkt_edge.train.feature_stages import notes
from tgkt_edge.train.methods.translation import smoothing
from tgkt_edge.train.methods.translation.answers import teach
from tgkt_edge.train.methods.translation.labelled import Labelled
from tgkt_edge.train.methods.translation.reverse import mean_opinion
from tgkt_edge.train.methods.translation.smoothing import Smoother, Trial, trial

Reals = NDArray[np.float64]
Ints = NDArray[np.int64]

EVEN = np.full(3, 1 / 3)
CLASSES = np.arange(90) % 3


def opinions(rng: np.random.Generator, noise: float) -> list[Reals]:
    """(90, 3) logits of two translations whose errors are independent: correct on most frames, on few with noise."""
    return [np.eye(3)[CLASSES] + noise * rng.normal(size=(90, 3)) for _ in range(2)]


def directions(looks: Ints, rng: np.random.Generator) -> Reals:
    """(90, 3) main directions along which each class that a frame looks like has its place."""
    found = 2 * np.eye(3)[looks] + 0.3 * rng.normal(size=(90, 3))
    centered: Reals = found - found.mean(0)
    return centered


def apart(rng: np.random.Generator) -> Reals:
    """Each frame looks like its class."""
    return directions(CLASSES, rng)


def alike(rng: np.random.Generator) -> Reals:
    """One frame of five looks like another class."""
    return directions(np.where(np.arange(90) % 5 == 0, (CLASSES + 1) % 3, CLASSES), rng)


def accuracy(answers: Reals) -> float:
    return float((answers.argmax(1) == CLASSES).mean())


def test_frames_whose_classes_lie_apart_correct_noisy_answers(rng: np.random.Generator) -> None:
    cfg = TranslationConfig(prior="uniform")
    found = teach(opinions(rng, 0.8), apart(rng), EVEN, None, cfg)
    assert found.trial is not None
    assert found.trial.agreement < 0.7
    assert found.trial.change > 0.1
    assert not found.trial.harms
    assert accuracy(found.first) < 0.85
    assert accuracy(found.labels) > 0.95


def test_frames_that_do_not_show_their_classes_leave_good_answers_alone(rng: np.random.Generator) -> None:
    cfg = TranslationConfig(prior="uniform")
    both, components = opinions(rng, 0.2), alike(rng)
    found = teach(both, components, EVEN, None, cfg)
    assert accuracy(found.first) > 0.97
    assert accuracy(Smoother(components, cfg)(mean_opinion(both, cfg.scale), EVEN)) < 0.9
    assert found.trial is not None
    assert found.trial.harms
    np.testing.assert_array_equal(found.labels, found.first)


@pytest.mark.parametrize(
    ("agreement", "change", "error", "harms"),
    [
        (1.00, -0.05, 0.026, True),  # 3 frames of 60 that both agreed on
        (0.98, -0.06, 0.030, True),
        (0.98, -0.04, 0.030, False),  # twice as many as before, and what chance adds
        (0.95, -0.03, 0.017, False),  # shared errors that are corrected explain it
        (0.57, -0.02, 0.010, False),  # weak translations share many
        (1.00, 0.0, 0.0, False),
        (0.80, 0.05, 0.001, False),
    ],
)
def test_what_shared_errors_or_chance_explain_is_no_harm(
    agreement: float, change: float, error: float, harms: bool
) -> None:
    assert Trial(agreement, change, error).harms is harms


def test_the_trial_compares_each_smoothed_with_the_other_as_it_was(rng: np.random.Generator) -> None:
    cfg = TranslationConfig(rounds=2)
    (one, other), components = opinions(rng, 0.6), alike(rng)
    found = trial(one, other, components, EVEN, cfg)
    smooth, plain = Smoother(components, cfg), Smoother(components, TranslationConfig(rounds=0, spread=0))
    a, b = (plain(each, EVEN).argmax(1) for each in (one, other))
    smoothed = [smooth(each, EVEN).argmax(1) for each in (one, other)]
    expected = ((smoothed[0] == b).mean() + (smoothed[1] == a).mean()) / 2 - (a == b).mean()
    assert found.agreement == pytest.approx((a == b).mean())
    assert found.change == pytest.approx(expected)
    mirrored = trial(other, one, components, EVEN, cfg)
    assert (mirrored.change, mirrored.error) == pytest.approx((found.change, found.error))


def test_of_many_frames_some_are_tried(rng: np.random.Generator, monkeypatch: pytest.MonkeyPatch) -> None:
    (one, other), components, cfg = opinions(rng, 0.6), apart(rng), TranslationConfig(rounds=2)
    monkeypatch.setattr(smoothing, "FRAMES", 30)
    rows = np.linspace(0, 89, 30).round().astype(np.int64)
    assert trial(one, other, components, EVEN, cfg) == trial(
        one[rows], other[rows], components[rows], EVEN, cfg
    )


def test_one_translation_or_nothing_to_leave_out_needs_no_trial(rng: np.random.Generator) -> None:
    both, components = opinions(rng, 0.2), alike(rng)
    alone = teach(both[:1], components, EVEN, None, TranslationConfig(prior="uniform"))
    assert alone.trial is None
    assert not np.allclose(alone.labels, alone.first)
    idle = teach(both, components, EVEN, None, TranslationConfig(prior="uniform", rounds=0, spread=0))
    assert idle.trial is None
    np.testing.assert_allclose(idle.labels, idle.first)


def test_labels_of_a_person_hold_where_nothing_is_smoothed(rng: np.random.Generator) -> None:
    wrong = (CLASSES[:2] + 1) % 3
    labelled = Labelled(np.array([0, 1]), wrong)
    cfg = TranslationConfig(prior="uniform")
    found = teach(opinions(rng, 0.2), alike(rng), EVEN, None, cfg, labelled)
    assert found.trial is not None
    assert found.trial.harms
    assert found.labels[:2].argmax(1).tolist() == wrong.tolist()
    assert accuracy(found.labels) > 0.9


def test_a_run_says_that_both_steps_were_left_out() -> None:
    about: dict[str, Any] = {
        "chosen": {"encodings": ["plain"], "strength": 7500.0, "identity": True}, "pairs": 137, "correlation": 0.78,
        "own_spread": True, "known_shares": True, "own_backbone": False, "generic": True, "imported": False,
        "unanswered": [],
    }  # fmt: skip
    left_out = {"agreement": 0.98, "change": -0.06, "error": 0.03, "harms": True}
    *_, last = notes({**about, "smoothing": left_out}, ("a", "b"))
    assert "self-training and neighbors are left out" in last
    assert "agree on 98% of the frames, and on 92% if either is mixed" in last
    # Nothing to say where they take part, of one translation alone, and of a run that an older version began.
    for told in ({"smoothing": {**left_out, "harms": False}}, {"smoothing": None}, {}):
        assert len(notes({**about, **told}, ("a", "b"))) == 1
