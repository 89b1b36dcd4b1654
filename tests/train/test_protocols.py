"""benchmarks/tables.py --protocols: what a seed draws, and that rows from features are what networks answer."""

from __future__ import annotations

import csv
import dataclasses
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import protocol_tables
import pytest
import tables
from datasets import DataSet
from feature_bench import Bench, Draw, scores
from protocols import as_data_set, closed_rows, resampled, reverse, variants
from verdict_closed import evidence_of, kept_in, made
from verdict_store import load_evidence, save_evidence

from tests.support.training import Tiny, write_prepared
from tgkt_edge.data.discovery import read_csv_columns
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.nn.model import frozen
from tgkt_edge.train.nn.predict import predict_target
from tgkt_edge.train.report.verdict import judge


@pytest.fixture(scope="module")
def data(tiny: Tiny, module_folder: Callable[[str], Path]) -> DataSet:
    """The tiny set as ``data prepare`` writes it; the files lie beside a labels.csv that has a split."""
    return DataSet("rooms", write_prepared(tiny.data, module_folder("prepared") / "rooms"))


@pytest.fixture(scope="module")
def bench(data: DataSet, tiny: Tiny, module_folder: Callable[[str], Path]) -> Bench:
    config = tiny.config("translator=features", "student.epochs=1")
    return Bench(data, config, module_folder("features"), RunLog(None))


def test_a_seed_draws_other_images_and_the_same_again(data: DataSet, bench: Bench) -> None:
    lines = {line.name: line for line in variants(data, bench, "acd")}
    assert list(lines) == ["a", "c uniform", "c reversed"]  # ten pairs: none of 20, 60, 200
    first, again = lines["a"].draw(0), lines["a"].draw(0)
    others = [lines["a"].draw(seed) for seed in range(5)]
    assert len(first.source) == 11
    assert len(first.pairs) == 9
    for name in ("source", "pairs"):
        assert np.array_equal(getattr(first, name), getattr(again, name))
        assert len({tuple(getattr(other, name)) for other in others}) > 2
    assert np.array_equal(first.frames, np.arange(12))
    assert np.array_equal(first.pairs, first.paired_frames)


def test_resampled_frames_have_the_shares_that_are_asked_for() -> None:
    labels = np.repeat([0, 1, 2], [60, 30, 10])
    shares = np.array([0.6, 0.3, 0.1])
    assert reverse(shares).tolist() == [0.1, 0.3, 0.6]
    for expected, counts in ((np.full(3, 1 / 3), [10, 10, 10]), (reverse(shares), [1, 5, 10])):
        found = resampled(labels, expected, np.random.default_rng(0))
        assert np.bincount(labels[found]).tolist() == counts
        assert len(np.unique(found)) == len(found)


@pytest.mark.slow
def test_labelled_frames_correct_the_translation_and_are_not_scored(data: DataSet, bench: Bench) -> None:
    (line,) = variants(data, bench, "e")  # two frames a class: one may be given
    draw = line.draw(0)
    assert line.name == "e 1"
    assert sorted(bench.labels[draw.labelled]) == list(range(6))
    assert sorted({*draw.labelled} | {*draw.scored}) == list(range(12))
    assert not {*draw.labelled} & {*draw.scored}
    source, beside = bench.source(draw.source)
    known = bench.translate(source, beside, draw)
    assert (known.labels[draw.labelled].argmax(1) == bench.labels[draw.labelled]).all()
    without = bench.translate(source, beside, replace(draw, labelled=draw.labelled[:0]))
    assert not np.allclose(known.labels, without.labels, atol=1e-3)
    found = dict(closed_rows(bench, draw, 0, ("labels", "translate")))
    assert found["labels"].shape == found["translate"].shape == (6, 6)


def test_other_scenes_share_nothing(data: DataSet, bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def stems(file: Path, column: str) -> list[str]:
        return [Path(str(path)).stem for path in read_csv_columns(file, "--data", (column,))[column]]

    names = {*stems(data.source, "image"), *stems(data.paired, "rgb"), *stems(data.target, "frame")}
    split = {name: "train" if i % 2 else "test" for i, name in enumerate(sorted(names))}
    monkeypatch.setattr("protocols.official_split", lambda _: split)
    train, test = variants(data, bench, "b")
    draw, other = train.draw(0), test.draw(0)
    assert not {*draw.frames} & {*draw.scored}
    assert np.array_equal(draw.frames, other.scored)
    for rows, file, column in (
        (draw.source, data.source, "image"),
        (draw.pairs, data.paired, "rgb"),
        (draw.frames, data.target, "frame"),
    ):
        assert {split[stems(file, column)[i]] for i in rows} == {"train"}


@pytest.mark.slow
def test_rows_from_features_are_what_the_networks_answer(bench: Bench, data: DataSet) -> None:
    draw = variants(data, bench, "a")[0].draw(0)
    found = dict(
        closed_rows(
            bench,
            draw,
            0,
            ("source-only", "BN statistics", "translate", "known shares", "default", "labels"),
        )
    )
    assert all(rows.shape == (12, 6) and np.allclose(rows.sum(1), 1) for rows in found.values())
    source, beside = bench.source(draw.source)
    translation = bench.translate(source, beside, draw)
    for name, network in (("source-only", source), ("translate", translation.network)):
        logits = predict_target(frozen(network), bench.stores["target"], 32, 4, bench.compute)[1]
        np.testing.assert_allclose(
            found[name], logits.softmax(1).numpy(), atol=2e-3
        )  # features are in half precision
    assert not np.allclose(found["BN statistics"], found["source-only"], atol=0.01)
    # Two frames of each class: the shares are the source's, and nothing is left to estimate.
    known = bench.translate(source, beside, draw, prior=np.full(6, 1 / 6))
    np.testing.assert_allclose(known.labels.mean(0), 1 / 6, atol=0.02)
    np.testing.assert_array_equal(found["known shares"], bench.answers(known.network, draw.scored))
    accuracy, balanced = scores(found["labels"], bench.labels)
    assert accuracy == pytest.approx(balanced)  # two frames a class


def test_drawn_rows_are_a_data_set(data: DataSet, tmp_path: Path) -> None:
    draw = Draw(*(np.array(rows) for rows in ([0, 5], [1, 2], [1, 2], [3, 4, 7], [8])))
    drawn = as_data_set(data, draw, tmp_path / "drawn")

    def lines(file: Path) -> list[list[str]]:
        return [*csv.reader(file.read_text(encoding="utf-8").splitlines())]

    for rows, before, after in (
        ([0, 5], data.source, drawn.source),
        ([1, 2], data.paired, drawn.paired),
        ([3, 4, 7], data.target, drawn.target),
        ([8], data.labelled, drawn.labelled),
    ):
        header, *all_ = lines(before)
        assert lines(after) == [header, *(all_[i] for i in rows)]


@pytest.mark.slow
def test_finished_rows_are_not_computed_again(
    data: DataSet, tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run_tables: Callable[..., str]
) -> None:
    text = run_tables(tmp_path)
    assert "| (a) transductive | 12 | 0 1 |" in text
    assert "±" in text
    results = json.loads((tmp_path / "out.json").read_text())["results"]
    assert {(one["row"], one["seed"]) for one in results} == {
        (row, seed) for row in ("source-only", "translate") for seed in (0, 1)
    }

    def never(*_: object) -> None:
        raise AssertionError("computed again")

    monkeypatch.setattr(protocol_tables, "closed_rows", never)
    assert run_tables(tmp_path).splitlines()[4:] == text.splitlines()[4:]


@pytest.fixture
def run_tables(
    data: DataSet, tiny: Tiny, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    def run(work: Path) -> str:
        words = ["tables.py", "--protocols", "a", "--data", str(data.folder), "--seeds", "0", "1", "--size", "32",
                 "--weights", str(tiny.weights), "--precision", "fp32", "--batch", "4", "-o", str(work),
                 "--closed", "source-only", "translate", "--out", str(work / "out.md")]  # fmt: skip
        monkeypatch.setattr("sys.argv", words)
        assert tables.main() == 0
        return capsys.readouterr().out

    return run


def test_runs_to_judge_are_kept_apart_where_options_differ(tiny: Tiny, tmp_path: Path) -> None:
    folder = kept_in(tmp_path, tiny.config())
    assert kept_in(tmp_path, tiny.config()) == folder
    assert kept_in(tmp_path, tiny.config("translation.rounds=3")) != folder
    assert kept_in(tmp_path, tiny.config("image_size=64")) != folder


@pytest.mark.slow
def test_runs_to_judge_are_made_and_kept(data: DataSet, bench: Bench, tmp_path: Path) -> None:
    lines = variants(data, bench, "a")
    draw = lines[0].draw(0)
    few = dataclasses.replace(lines[0], name="d 20")
    runs = {one.name: one for one in made(bench, [*lines, few], 0)}
    assert {"a", "shuffled pairs", "wrong prior"} < {*runs}
    shuffled = runs["shuffled pairs"].draw
    assert np.array_equal(shuffled.pairs, draw.pairs)
    assert not (shuffled.paired_frames == shuffled.pairs).any()
    evidence, models = evidence_of(bench, runs["shuffled pairs"])
    assert set(models) == {"source-only", "target"}
    save_evidence(tmp_path / "one.npz", evidence)
    kept = load_evidence(tmp_path / "one.npz")
    assert (kept.belong, kept.classes) == (evidence.belong, evidence.classes)
    assert judge(kept) == judge(evidence)
