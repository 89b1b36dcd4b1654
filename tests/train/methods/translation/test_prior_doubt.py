"""Class shares that a person gave, against what two translations say of them: a warning beside the verdict."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tgkt_edge.config import TranslationConfig
from tgkt_edge.train.methods.translation.answers import teach
from tgkt_edge.train.methods.translation.estimated_prior import TRUSTED, Doubt, doubt
from tgkt_edge.train.report.prior_doubt import prior_warnings

Reals = NDArray[np.float64]

TRUE = np.array([0.5, 0.3, 0.2])
WRONG = np.array([0.1, 0.2, 0.7])


@pytest.fixture
def opinions(rng: np.random.Generator) -> list[Reals]:
    """(300, 3) logits of two translations that err apart, about classes of the shares TRUE."""
    truth = np.repeat([0, 1, 2], (300 * TRUE).astype(int))
    return [3 * np.eye(3)[truth] + 1.5 * rng.normal(size=(300, 3)) for _ in range(2)]


@pytest.mark.slow
@pytest.mark.parametrize(("given", "differs"), [(TRUE, False), (WRONG, True)])
def test_frames_speak_against_shares_that_are_not_theirs(
    opinions: list[Reals], given: Reals, differs: bool
) -> None:
    found = doubt(opinions[0], opinions[1], np.full(3, 1 / 3), given, TRUSTED[1])
    assert found.differs == differs
    assert np.abs(found.estimate - TRUE).max() < 0.1


@pytest.mark.slow
def test_a_teacher_reports_what_speaks_against_its_shares_whether_a_file_or_a_name_gave_them(
    opinions: list[Reals], rng: np.random.Generator
) -> None:
    components = rng.normal(size=(300, 4))

    def said(prior: str, given: Reals | None, count: int = 2) -> Doubt | None:
        cfg = TranslationConfig(prior=prior, rounds=1)
        return teach(opinions[:count], components, TRUE, given, cfg).doubt

    by_file, by_name = said("shares.csv", WRONG), said("uniform", None)
    assert by_file is not None
    assert by_name is not None
    assert by_file.differs
    assert by_file.nats > by_name.nats
    assert said("estimated", None) is None
    assert said("shares.csv", WRONG, 1) is None


def test_the_warning_names_the_classes_that_are_furthest_apart() -> None:
    seen = Doubt(np.array([0.45, 0.35, 0.2, 0.0]), 0.2345, 0.06)
    doubted = {**asdict(seen), "differs": seen.differs}
    about: dict[str, Any] = {"prior": [0.1, 0.2, 0.2, 0.5], "prior_doubt": doubted}
    (line,) = prior_warnings(about, ("bedroom", "kitchen", "office", "attic"), "shares.csv")
    assert line.startswith(
        "The class shares that were given (`prior=shares.csv`) differ from what the frames themselves say: "
        "attic 50% given, 0% estimated, bedroom 10% given, 45% estimated, kitchen 20% given, 35% estimated. "
    )
    assert "0.23 nats" in line
    near = {**about, "prior_doubt": {**doubted, "differs": False}}
    runs_before = {"prior": about["prior"]}
    for other in (near, {**about, "prior_doubt": None}, runs_before, None):
        assert prior_warnings(other, ("bedroom", "kitchen", "office", "attic"), "shares.csv") == []
