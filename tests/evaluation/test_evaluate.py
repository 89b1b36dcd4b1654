"""The measures of ``evaluate``, by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tgkt_edge.errors import IncompatibleError
from tgkt_edge.evaluation.evaluate import answer, calibrated, describe, measure
from tgkt_edge.evaluation.temperature import nll, soften

CLASSES = ("kitchen", "office", "attic")


def test_measures_by_hand() -> None:
    # kitchen: 3 of 4 right; office: 0 of 1; attic does not occur, but is answered once
    truth = np.array([0, 0, 0, 0, 1])
    predicted = np.array([0, 0, 0, 2, 0])
    assert measure(truth, predicted, CLASSES) == {
        "accuracy": 3 / 5,
        "balanced_accuracy": (3 / 4 + 0) / 2,
        "recall": {"kitchen": 0.75, "office": 0.0, "attic": None},
        "support": {"kitchen": 4, "office": 1, "attic": 0},
        "confusion_matrix": [[3, 0, 1], [1, 0, 0], [0, 0, 0]],  # rows are the truth
    }


def test_balanced_accuracy_is_not_moved_by_how_many_frames_a_class_has() -> None:
    truth = np.array([0] * 98 + [1, 2])
    always_kitchen = np.zeros(100, np.int64)
    found = measure(truth, always_kitchen, CLASSES)
    assert found["accuracy"] == 0.98
    assert found["balanced_accuracy"] == pytest.approx(1 / 3)


def test_a_perfect_and_a_hopeless_answer() -> None:
    truth = np.array([0, 1, 2, 1])
    perfect, wrong = measure(truth, truth, CLASSES), measure(truth, (truth + 1) % 3, CLASSES)
    assert (perfect["accuracy"], perfect["balanced_accuracy"]) == (1, 1)
    assert (wrong["accuracy"], wrong["balanced_accuracy"]) == (0, 0)
    assert np.trace(perfect["confusion_matrix"]) == 4


def test_an_answer_names_the_largest_probability() -> None:
    found = answer(CLASSES, np.array([0.25, 0.125, 0.625], np.float32))
    assert found == {
        "label": "attic",
        "probability": 0.625,
        "probabilities": {"kitchen": 0.25, "office": 0.125, "attic": 0.625},
    }


def test_what_is_neither_a_run_nor_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(IncompatibleError, match="neither a run folder"):
        from tgkt_edge.evaluation.evaluate import evaluate

        evaluate(tmp_path, tmp_path)


def test_what_a_temperature_would_bring_is_said_only_where_it_brings_something() -> None:
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 2, (400, 3)).astype(np.float32)
    truth = (rng.random((400, 1)) > soften(logits, 1.0).cumsum(1)).sum(1).clip(0, 2)
    lines = {}
    for what, factor in (("honest", 1), ("overconfident", 4)):
        probabilities = soften(logits * factor, 1.0)
        found = calibrated(probabilities, truth)
        assert found["nll"] == pytest.approx(nll(logits * factor, truth), rel=1e-3)
        measured = {**measure(truth, probabilities.argmax(1), "abc"), "calibration": found}
        lines[what] = describe({"frames": 400, "classes": list("abc"), "models": {"target": measured}})
    assert any(line.startswith("target: calibration error 0.") for line in lines["honest"])
    assert not any("temperature 4" in line for line in lines["honest"])
    (line,) = [line for line in lines["overconfident"] if "export with `labels`" in line]
    assert "temperature 4" in line or "temperature 3.9" in line
    assert calibrated(probabilities[:20], truth[:20])["fitted"] is None
