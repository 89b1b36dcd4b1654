"""benchmarks/students.py on data of seconds: what a cell leaves, and that it is not computed again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import student_cells
import students

from tests.support.training import Tiny, write_prepared
from tgkt_edge.bundle import Bundle
from tgkt_edge.evaluation.evaluate import evaluate

pytestmark = pytest.mark.slow

ARCH = "shufflenet_v2_x0_5"


def test_cells_are_trained_exported_scored_and_kept(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rooms = write_prepared(tiny.data, tmp_path / "rooms")
    monkeypatch.setattr(student_cells, "PRECISIONS", ("fp32",))  # the gate of INT8 has tests of its own
    words = [
        "students.py", "--data", rooms, "--seeds", 0, "--size", 32, "--batch", 4, "--weights", tiny.weights,
        "--device", "cpu", "--student", "resnet50", "--student", f"{ARCH},distill.epochs=1", "-o", tmp_path / "work",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", [str(word) for word in words])
    assert students.main() == 0
    cells = tmp_path / "work" / "students" / "rooms"
    for name, network in (("resnet50-s0", "resnet50"), (f"{ARCH}-s0", ARCH)):
        cell = json.loads((cells / name / "cell.json").read_text())
        bundle = Bundle.open(cells / name / "bundle")
        assert bundle.provenance["network"] == network
        found = evaluate(bundle.path, rooms / "labels.csv")["models"]["target"]
        assert cell["scores"] == {"fp32": {key: found[key] for key in ("accuracy", "balanced_accuracy")}}
        assert (cell["seed"], cell["float_layers"]) == (0, 0)
    small, large = (
        json.loads((cells / f"{name}-s0" / "cell.json").read_text()) for name in (ARCH, "resnet50")
    )
    assert small["draw"] == large["draw"]  # one translation for both
    assert (
        0.3e6 < small["parameters"] < 0.4e6
    )  # torchvision's 0.34 million without the classifier of 1000 classes
    assert 23e6 < large["parameters"] < 25e6
    assert (small["start"], small["sets"]) == ("random weights", ["distill.epochs=1"])

    def never(*_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(students, "compute_cell", never)
    page = (tmp_path / "work" / "students.md").read_text()
    assert students.main() == 0
    assert (tmp_path / "work" / "students.md").read_text().splitlines()[3:] == page.splitlines()[3:]
    assert f"| {ARCH} | random weights | 1 |" in page
