"""A temperature from labelled frames to everything that a bundle answers."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tgkt_edge.bundle.bundle import MANIFEST, Bundle
from tgkt_edge.bundle.inspect_bundle import describe as inspected
from tgkt_edge.bundle.inspect_bundle import inspect
from tgkt_edge.errors import BundleError
from tgkt_edge.evaluation.accuracy_gate import ask
from tgkt_edge.evaluation.evaluate import evaluate
from tgkt_edge.evaluation.temperature import soften
from tgkt_edge.evaluation.verify import verify
from tgkt_edge.export import temperature
from tgkt_edge.export.export import describe, export
from tgkt_edge.runtime import open_engine, run


@pytest.fixture(scope="module")
def labelled(data: Path, bundle: Bundle, module_folder: Callable[[str], Path]) -> Path:
    """The twelve target frames three times; two thirds of the labels are those that the network gives."""
    folder = module_folder("labelled")
    evaluate(bundle.path, data / "target_labels.csv", predictions=folder / "predictions.jsonl")
    given = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    rows = []
    for number, entry in enumerate(given * 3):
        index = bundle.classes.index(entry["label"]) + (number % 3 == 0)
        rows.append((entry["frame"], bundle.classes[index % len(bundle.classes)]))
    path = folder / "labels.csv"
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("frame", "label"), *rows])
    return path


@pytest.fixture(scope="module")
def messages() -> list[str]:
    return []


@pytest.fixture(scope="module")
def calibrated(
    bundle: Bundle, labelled: Path, messages: list[str], module_folder: Callable[[str], Path]
) -> Bundle:
    """The bundle, with a temperature."""
    return export(bundle.path, module_folder("calibrated") / "bundle", labels=labelled, say=messages.append)


def test_labels_give_the_bundle_a_temperature_and_say_what_it_brings(
    calibrated: Bundle, messages: list[str]
) -> None:
    found = calibrated.calibration
    assert found["temperature"] == calibrated.temperature != 1
    assert found["frames"] == 36
    assert found["nll"]["after"] < found["nll"]["before"]
    assert Bundle.open(calibrated.path).temperature == calibrated.temperature
    assert any("calibration error" in line for line in describe(calibrated))
    assert any("(calibrated)" in line for line in inspected(inspect(calibrated.path), calibrated.path))


def test_every_engine_of_it_softens_and_labels_stay(bundle: Bundle, calibrated: Bundle, inputs: Any) -> None:
    plain, soft = open_engine(bundle), open_engine(calibrated)
    logits, probabilities = ask(plain, inputs)
    same, softened = ask(soft, inputs)
    plain.close()
    soft.close()
    assert np.array_equal(same, logits)
    assert np.array_equal(softened, soften(logits, calibrated.temperature))
    assert np.array_equal(softened.argmax(1), probabilities.argmax(1))
    assert not np.array_equal(softened, probabilities)


def test_run_evaluate_and_verify_agree_on_the_probabilities(
    calibrated: Bundle, labelled: Path, data: Path, tmp_path: Path
) -> None:
    out = io.StringIO()
    run(calibrated.path, str(data / "target"), out=out, log=io.StringIO())
    records = [json.loads(line) for line in out.getvalue().splitlines()]
    answers = {Path(one["source"]).name: one["probability"] for one in records if "event" not in one}
    predictions = tmp_path / "predictions.jsonl"
    result = evaluate(calibrated.path, labelled, predictions=predictions)["models"]["target"]["calibration"]
    for line in predictions.read_text().splitlines():
        entry = json.loads(line)
        assert entry["probability"] == answers[Path(entry["frame"]).name]
    assert len(answers) == 12
    # Fitted on these very frames: nothing is left to gain.
    assert result["fitted"]["temperature"] == pytest.approx(1, abs=0.01)
    checked = verify(calibrated.path, frames=data / "target")
    assert checked["passed"]
    assert checked["verification"]["fp32"]["max_probability_difference"] == 0


def test_min_confidence_means_the_calibrated_probability(
    calibrated: Bundle, bundle: Bundle, data: Path
) -> None:
    labels = {}
    for one in (bundle, calibrated):
        out = io.StringIO()
        run(one.path, str(data / "target"), out=out, log=io.StringIO(), min_confidence=0.5)
        for record in map(json.loads, out.getvalue().splitlines()):
            if "event" in record:
                continue
            unsure = record["top"][0]["probability"] < 0.5
            assert (record["label"] == "unknown") == unsure
            labels[one.path, record["source"]] = record["probability"]
    assert len(labels) == 24


def test_a_bundle_made_of_it_keeps_the_temperature(calibrated: Bundle, tmp_path: Path) -> None:
    assert export(calibrated.path, tmp_path / "again").calibration == calibrated.calibration


def test_few_labels_and_labels_that_bring_nothing_leave_probabilities_alone(
    bundle: Bundle, data: Path, labelled: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    messages: list[str] = []
    few = export(bundle.path, tmp_path / "few", labels=data / "target_labels.csv", say=messages.append)
    assert few.temperature == 1
    assert "calibration" not in json.loads((few.path / MANIFEST).read_text())
    assert "12 labelled frames: probabilities are not calibrated; expected at least 30" in messages
    monkeypatch.setattr(temperature, "helps", lambda found: False)
    messages.clear()
    assert export(bundle.path, tmp_path / "none", labels=labelled, say=messages.append).temperature == 1
    assert any("does not improve them" in line for line in messages)


@pytest.mark.parametrize("value", [0, -1, "2", None, True])
def test_a_manifest_with_an_impossible_temperature_is_refused(
    calibrated: Bundle, tmp_path: Path, value: object
) -> None:
    values = json.loads((calibrated.path / MANIFEST).read_text())
    values["calibration"]["temperature"] = value
    (tmp_path / MANIFEST).write_text(json.dumps(values))
    with pytest.raises(BundleError, match="expected a temperature above 0"):
        Bundle.open(tmp_path)
