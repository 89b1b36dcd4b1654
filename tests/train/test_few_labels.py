"""``labels`` of ``adapt``: what is learnt from a few labelled frames, what is refused, and who leaves them out then."""

from __future__ import annotations

import csv
import dataclasses
import json
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from tests.support.training import Tiny
from tgkt_edge.cli.main import app
from tgkt_edge.data.discovery import read_csv_columns
from tgkt_edge.data.loading import load_frames
from tgkt_edge.errors import ConfigError, DataError, UsageError
from tgkt_edge.evaluation.evaluate import evaluate
from tgkt_edge.export.export import export
from tgkt_edge.io.atomic import sha256_of
from tgkt_edge.notes import forget_notes
from tgkt_edge.preprocess import resize_side
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.adapt import adapt
from tgkt_edge.train.audit.audit import describe, pick, score
from tgkt_edge.train.audit.frames import target_frames
from tgkt_edge.train.audit.labels import frame_name
from tgkt_edge.train.few_labels import label_remarks, load_labels, write_labels
from tgkt_edge.train.methods.translation.labelled import TRUST, Labelled, corrected
from tgkt_edge.train.methods.translation.prior import log_softmax
from tgkt_edge.train.methods.translation.self_training import self_train
from tgkt_edge.train.nn.checkpoint import load_classifier
from tgkt_edge.train.run_folder.folder import Run

CLASSES = ("hall", "kitchen")
DEPTH = load_sensor("depth")
TRANSLATE = ("method=translate", "translator=features")


def table(file: Path, *rows: tuple[object, str]) -> Path:
    with file.open("w", newline="", encoding="utf-8") as stream:
        csv.writer(stream).writerows([("frame", "label"), *rows])
    return file


# The table


def test_rows_with_a_class_are_read_whatever_their_order(tmp_path: Path) -> None:
    names = [str(tmp_path / f"{i}.png") for i in range(4)]
    file = table(
        tmp_path / "labels.csv", ("3.png", "Hall "), (names[0], "kitchen"), ("1.png", ""), ("2.png", "?")
    )
    found = load_labels(file, names, CLASSES)
    assert (found.rows.tolist(), found.classes.tolist()) == ([0, 3], [1, 0])
    write_labels(tmp_path / "kept.csv", found, names, CLASSES)
    kept = load_labels(tmp_path / "kept.csv", names, CLASSES)
    assert (kept.rows.tolist(), kept.classes.tolist()) == ([0, 3], [1, 0])


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [("0.png", "kichen")],
            r"line 2: label 'kichen' \(did you mean 'kitchen'\?\).*Labels are hall, kitchen",
        ),
        ([("9.png", "hall")], r"line 2: '9\.png' is not one of the run's target frames"),
        (
            [("0.png", "hall"), ("0.png", "kitchen")],
            r"line 3: 0\.png is listed twice, as 'hall' and as 'kitchen'",
        ),
        ([("0.png", "hall"), ("0.png", "hall")], r"line 3: 0\.png is listed twice[.;]"),
        ([("0.png", ""), ("1.png", "?")], r"no row has a label yet\. Classes: hall, kitchen"),
    ],
)
def test_a_bad_table_is_named_with_what_is_wrong(
    rows: list[tuple[str, str]], message: str, tmp_path: Path
) -> None:
    file = table(tmp_path / "labels.csv", *rows)
    with pytest.raises(DataError, match=message) as caught:
        load_labels(file, [str(tmp_path / "0.png"), str(tmp_path / "1.png")], CLASSES)
    assert str(caught.value).startswith(f"`labels={file}`")


def test_a_class_without_a_label_is_said() -> None:
    labelled = Labelled(np.array([0, 3]), np.array([1, 1]))
    first, second = label_remarks(labelled, CLASSES)
    assert "2 frames (hall 0, kitchen 2); audit and evaluate leave them out" in first
    assert "no frame of hall: nothing corrects" in second
    assert label_remarks(None, CLASSES) == []


# What they change


def test_the_correction_is_the_minimum_of_its_loss(rng: np.random.Generator) -> None:
    logs, components = log_softmax(rng.normal(size=(9, 3))), rng.normal(size=(9, 2))
    labelled = Labelled(np.array([1, 4, 5]), np.array([0, 2, 2]))
    found = corrected(logs, components, labelled)
    table_, *_ = np.linalg.lstsq(np.column_stack([components, np.ones(9)]), found - logs, rcond=None)
    answers = np.exp(log_softmax(found))[labelled.rows]
    apart = TRUST * (answers - np.eye(3)[labelled.classes])
    x = np.column_stack([components, np.ones(9)])[labelled.rows]
    np.testing.assert_allclose(x.T @ apart + table_, 0, atol=1e-5)  # its gradient
    # Each labelled frame is likelier of its class than before.
    then, now = (np.exp(log_softmax(z))[labelled.rows, labelled.classes] for z in (logs, found))
    assert (now > then).all()


def test_labelled_frames_keep_their_class_in_self_training(rng: np.random.Generator) -> None:
    """Two clusters of which nothing is known but one label each."""
    centres = np.repeat([[1.0], [-1.0]], 20, 0) + 0.2 * rng.normal(size=(40, 1))
    first = np.zeros((40, 2))
    options = {"rounds": 6, "c": 0.5, "keep": 0.5}
    labelled = Labelled(np.array([0, 39]), np.array([0, 1]))
    free = self_train(centres, first, np.array([0.5, 0.5]), **options)  # type: ignore[arg-type]
    told = self_train(centres, first, np.array([0.5, 0.5]), **options, labelled=labelled)  # type: ignore[arg-type]
    np.testing.assert_allclose(np.exp(free), 0.5, atol=1e-6)  # nothing says which is which
    assert (told.argmax(1) == np.repeat([0, 1], 20)).all()


# A run


@pytest.fixture(scope="module")
def labels(tiny: Tiny, module_folder: Callable[[str], Path]) -> Path:
    """Seven of the twelve target frames with their labels, as audit writes them."""
    truth = read_csv_columns(tiny.data / "target_labels.csv", "--data", ("frame",), ("label",))
    rows = list(zip(truth["frame"], truth["label"], strict=True))[:7]
    return table(module_folder("labels") / "audit.csv", *((file, str(label)) for file, label in rows))


@pytest.fixture(scope="module")
def taught(tiny: Tiny, translated: Run, labels: Path, module_folder: Callable[[str], Path]) -> Run:
    out = module_folder("taught") / "run"
    inputs = dataclasses.replace(
        tiny.inputs, source=None, source_model=str(translated.source), labels=str(labels)
    )
    adapt(inputs, DEPTH, out, tiny.config(*TRANSLATE))
    return Run(out)


def test_the_teacher_has_the_labels_and_the_report_says_how_many(taught: Run, labels: Path) -> None:
    kept = read_csv_columns(taught.labels, "--data", ("frame",), ("label",))
    assert len(kept["frame"]) == 7
    inputs, _, _ = taught.read_config()
    assert inputs.labels == str(labels)
    assert "labels" in taught.contents()
    report = json.loads((taught.path / "report.json").read_text())
    assert report["translation"]["labelled"] == 7
    _, header = load_classifier(taught.target, "target")
    teacher = header.beside["labels"].numpy()
    _, sensor, config = taught.read_config()
    frames, _ = load_frames(Path(inputs.target), sensor, resize_side(config.image_size))
    learnt = load_labels(labels, frames.names, header.classes)
    assert (teacher[learnt.rows].argmax(1) == learnt.classes).all()
    assert (teacher[learnt.rows].max(1) == 1).all()


def test_audit_draws_none_of_them_and_scores_none_of_them(taught: Run, labels: Path, tmp_path: Path) -> None:
    picked = pick(taught.path, 5, tmp_path / "next.csv")
    assert (picked.frames, picked.of, picked.trained_on) == (5, 5, 7)
    drawn = {frame_name(str(file)) for file in read_csv_columns(picked.table, "--data", ("frame",))["frame"]}
    known = {frame_name(str(file)) for file in read_csv_columns(labels, "--data", ("frame",))["frame"]}
    assert not drawn & known
    with pytest.raises(
        UsageError, match="expected 1 to 5, the target frames of the run beside the 7 that it was trained on"
    ):
        pick(taught.path, 6, tmp_path / "more.csv")
    with pytest.raises(DataError, match="no row has a label but those that the run was trained with"):
        score(taught.path, labels, "cpu")
    rows = [*csv.reader(labels.read_text("utf-8").splitlines())][1:]
    other = next(iter(drawn))
    both = table(tmp_path / "both.csv", *((a, b) for a, b in rows), (other, rows[0][1]))
    found = score(taught.path, both, "cpu")
    assert (found["labelled"], found["trained_on"]) == (1, 7)
    assert "left out, the run was trained with their labels: 7 frames" in describe(found)


def test_audit_says_where_no_frame_is_left_to_draw(
    taught: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = {frame.name for frame in target_frames(taught.path)}
    monkeypatch.setattr("tgkt_edge.train.audit.audit.trained_on", lambda _: every)
    with pytest.raises(UsageError, match="labels of all its 12 target frames, so none is left to draw"):
        pick(taught.path, 5, tmp_path / "none.csv")


def test_audit_says_how_many_it_does_not_draw_from(taught: Run, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["audit", str(taught.path), "--frames", "5", "-o", str(tmp_path / "drawn.csv")]
    )
    assert done.exit_code == 0
    assert done.stderr.splitlines()[:2] == [
        "left out, the run was trained with their labels: 7 frames",
        f"5 of 5 frames, drawn at random: {tmp_path / 'drawn.csv'}",
    ]


def test_evaluate_leaves_them_out_and_says_so(
    taught: Run, tiny: Tiny, labels: Path, caplog: pytest.LogCaptureFixture
) -> None:
    forget_notes()
    with caplog.at_level(logging.WARNING):
        found = evaluate(taught.path, tiny.data / "target_labels.csv", device="cpu")
    assert found["frames"] == 5
    assert "7 frames left out: the run was trained with their labels" in caplog.text
    with pytest.raises(DataError, match="the run was trained with the labels of all 7 frames"):
        evaluate(taught.path, labels, device="cpu")


def test_other_labels_are_not_resumed(taught: Run, tiny: Tiny, labels: Path, tmp_path: Path) -> None:
    inputs, sensor, config = taught.read_config()
    with pytest.raises(ConfigError, match=r"inputs\.labels: then"):
        adapt(dataclasses.replace(inputs, labels=None), sensor, taught.path, config, resume=True)
    before = labels.read_bytes()
    labels.write_bytes(b"\n".join(before.splitlines()[:-1]) + b"\n")
    try:
        with pytest.raises(ConfigError, match="labels`: then sha256"):
            adapt(inputs, sensor, taught.path, config, resume=True)
    finally:
        labels.write_bytes(before)


@pytest.mark.parametrize("sets", [("method=shot",), ("method=tgkt", "translator=pixels")])
def test_methods_that_cannot_use_them_refuse_them(
    tiny: Tiny, labels: Path, sets: tuple[str, ...], tmp_path: Path
) -> None:
    """Before the frames are read, which may take long: here there are none."""
    inputs = dataclasses.replace(tiny.inputs, labels=str(labels), target=str(tmp_path / "none"))
    with pytest.raises(UsageError, match="only a translation of features learns from them"):
        adapt(inputs, DEPTH, tmp_path / "run", tiny.config(*sets))
    assert not (tmp_path / "run").exists()


def test_a_bundle_says_that_labels_were_learnt_and_none_of_them_calibrates_it(
    taught: Run, tiny: Tiny, tmp_path: Path
) -> None:
    said: list[str] = []
    every = tiny.data / "target_labels.csv"
    export(taught.path, tmp_path / "bundle", labels=every, verify=False, say=said.append)
    manifest = json.loads((tmp_path / "bundle" / "manifest.json").read_text())
    assert manifest["provenance"]["labels"] == {"frames": 7, "sha256": sha256_of(taught.labels)}
    assert any(text.startswith("5 labelled frames: probabilities are not calibrated") for text in said)
