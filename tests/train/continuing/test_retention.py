"""What a continued network still knows, from its answers on old frames."""

from __future__ import annotations

import numpy as np
import pytest

from tgkt_edge.train.report.material import Answers
from tgkt_edge.train.report.retention import retention, retention_lines, retention_warnings

NONE = np.empty((0, 2), np.float32)


def answers(*probabilities: list[float]) -> Answers:
    return Answers(NONE, np.array(probabilities, np.float32))


def test_agreement_of_all_and_of_those_the_shipped_network_was_confident_of() -> None:
    shipped = answers([0.95, 0.05], [0.6, 0.4], [0.1, 0.9], [0.45, 0.55])
    target = answers([0.8, 0.2], [0.3, 0.7], [0.7, 0.3], [0.2, 0.8])
    found = retention({"shipped": shipped, "target": target})
    assert found == {"frames": 4, "agreement": 0.5, "confident": 2, "confident_agreement": 0.5}
    assert retention_lines({"old_frames": found}) == [
        "on 4 old frames that were left out it answers as the shipped network on 50% (50% of the 2 it was confident of)"
    ]


def test_of_no_confident_answer_nothing_is_claimed() -> None:
    found = retention({"shipped": answers([0.6, 0.4]), "target": answers([0.9, 0.1])})
    assert found is not None
    assert found["confident_agreement"] is None
    assert retention_lines({"old_frames": found})[0].endswith("on 100%")


def test_without_old_frames_there_is_none() -> None:
    assert retention({}) is None
    assert retention_lines({"verdict": {}}) == []
    assert retention_warnings(None) == []


@pytest.mark.parametrize(("agreement", "warned"), [(0.79, True), (0.8, False)])
def test_little_agreement_is_a_warning(agreement: float, warned: bool) -> None:
    found = {"frames": 100, "agreement": agreement, "confident": 0, "confident_agreement": None}
    assert bool(retention_warnings(found)) == warned
