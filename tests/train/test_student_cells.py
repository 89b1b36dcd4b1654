"""benchmarks/students.py on data of seconds: what a cell leaves, and that it is not computed again."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest
import student_cells
import students
import students_unseen
import torch
from datasets import DataSet

from tests.support.training import Tiny, write_prepared
from tgkt_edge.bundle import Bundle
from tgkt_edge.data.discovery import read_csv_columns
from tgkt_edge.data.loading import load_frames
from tgkt_edge.errors import TgktEdgeError
from tgkt_edge.evaluation.evaluate import evaluate
from tgkt_edge.preprocess import resize_side
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.batches import Store
from tgkt_edge.train.methods.distill import Frames, distill
from tgkt_edge.train.nn.checkpoint import load_classifier, load_tensors
from tgkt_edge.train.nn.device import Compute
from tgkt_edge.train.nn.model import Classifier
from tgkt_edge.train.nn.predict import predict_target

pytestmark = pytest.mark.slow

ARCH = "shufflenet_v2_x0_5"

CPU = Compute(torch.device("cpu"), "fp32")


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


def test_a_fifth_of_the_frames_is_scored_and_not_learnt_from(
    tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    rooms, given = DataSet("rooms", write_prepared(tiny.data, tmp_path / "rooms")), list[Frames]()

    def noted(teacher: Classifier, own: Frames, *rest: object) -> Classifier:
        given.append(own)
        return distill(teacher, own, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(student_cells, "distill", noted)
    words = [
        "students_unseen.py", "--data", rooms.folder, "--seeds", 3, "--size", 32, "--batch", 4,
        "--weights", tiny.weights, "--device", "cpu", "--student", f"{ARCH},distill.epochs=1", "-o", tmp_path / "work",
    ]  # fmt: skip
    monkeypatch.setattr(sys, "argv", [str(word) for word in words])
    assert students_unseen.main() == 0
    frames = Store(load_frames(rooms.target, load_sensor(rooms.sensor), resize_side(32))[0].codes, CPU.device)
    learnt, unseen = students_unseen.split_frames(len(frames), 3)
    assert sorted([*learnt, *unseen]) == list(range(len(frames)))
    assert len(unseen) == -(-len(frames) // students_unseen.PARTS)
    digests = [frames.digest(n, n + 1) for n in range(len(frames))]
    (own,) = given
    assert [own.store.digest(n, n + 1) for n in range(len(own.store))] == [digests[n] for n in learnt]
    assert not {digests[n] for n in learnt} & {digests[n] for n in unseen}

    (file,) = (tmp_path / "work" / "unseen").rglob("cell.json")
    cell = json.loads(file.read_text())
    told = read_csv_columns(rooms.labelled, "--data", ("frame",), ("label",))
    label = dict(zip(map(str, told["frame"]), told["label"], strict=True))
    truth = [label[str(one)] for one in read_csv_columns(rooms.target, "--data", ("frame",))["frame"]]
    (kept,) = (tmp_path / "work" / "students" / "rooms").glob("translation-*.safetensors")
    teacher, header = load_classifier(kept, "target")
    answers = predict_target(teacher, frames, 32, 4, CPU)[1].argmax(1).tolist()
    right = np.array([header.classes[k] == name for k, name in zip(answers, truth, strict=True)])
    for name, rows in (("learnt", learnt), ("unseen", unseen)):
        assert cell["teacher"][name][0] == pytest.approx(right[rows].mean())
        assert 0 <= cell["network"][name][0] <= 1
    (line,) = [
        line for line in capsys.readouterr().out.splitlines() if line.startswith(f"| rooms | {ARCH} |")
    ]
    assert f"| {100 * right[unseen].mean():.1f} / " in line

    assert students_unseen.main() == 0
    assert len(given) == 1  # it was not computed again
    monkeypatch.setattr(sys, "argv", [str(word).replace("epochs=1", "epochs=2") for word in words])
    with pytest.raises(TgktEdgeError, match=r"was made from .*epochs=1.*epochs=2.* is asked for"):
        students_unseen.main()
