"""benchmarks/students.py on data of seconds: what a cell leaves, and that it is not computed again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import students
import torch

from tests.support.training import Tiny, write_prepared
from tgkt_edge.bundle import Bundle
from tgkt_edge.errors import TgktEdgeError
from tgkt_edge.evaluation.evaluate import evaluate
from tgkt_edge.train.nn.checkpoint import load_tensors

pytestmark = pytest.mark.slow

ARCH = "shufflenet_v2_x0_5"


def test_cells_are_trained_exported_scored_and_kept(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rooms = write_prepared(tiny.data, tmp_path / "rooms")
    words = [
        "students.py", "--data", rooms, "--seeds", 0, "--size", 32, "--batch", 4, "--weights", tiny.weights,
        "--device", "cpu", "--student", "resnet50", "--student", f"{ARCH},distill.epochs=1", "-o", tmp_path / "work",
        "--precision", "fp32",
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
    assert small["draw"] == large["draw"]
    assert small["tried"] == large["tried"] == ["fp32"]
    # One translation for both: the reference is its network, and the other one learnt from it.
    (kept,) = cells.glob("translation-*.safetensors")
    weights = load_tensors(kept)[0]
    bundled = load_tensors(cells / "resnet50-s0" / "run" / "checkpoints" / "target.safetensors")[0]
    assert all(torch.equal(weights[name], value) for name, value in bundled.items())
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
    (line,) = [line for line in page.splitlines() if line.startswith(f"| {ARCH} | random weights | 1 |")]
    assert line.endswith(" |  |  |  |")  # INT8 was not asked for
    monkeypatch.setattr(sys, "argv", [str(word) for word in words if word not in ("--precision", "fp32")])
    with pytest.raises(AssertionError, match="computed again"):  # INT8 is still to be tried
        students.main()
    other = [str(word).replace("epochs=1", "epochs=2") for word in words]
    monkeypatch.setattr(sys, "argv", other)
    with pytest.raises(TgktEdgeError, match=r"was made from .*epochs=1.*epochs=2.* is asked for"):
        students.main()
    monkeypatch.setattr(sys, "argv", [*other, "--student", "resnet50"])
    with pytest.raises(SystemExit):
        students.main()
    assert "--student resnet50: given twice" in capsys.readouterr().err
