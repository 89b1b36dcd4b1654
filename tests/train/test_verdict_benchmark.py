"""benchmarks/verdict.py: what is right, the evidence of a run asked again, and runs that are broken on purpose."""

from __future__ import annotations

import csv
import dataclasses
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import verdict as bench
from cells import Workshop
from datasets import DataSet

from tests.support.training import Tiny
from tgkt_edge.data.discovery import matched, read_csv_columns
from tgkt_edge.evaluation.evaluate import evaluate
from tgkt_edge.train.report.judgement import Verdict
from tgkt_edge.train.report.verdict import judge
from tgkt_edge.train.run_folder.folder import Run


@pytest.fixture(scope="module")
def work(finished: Run, tiny: Tiny, module_folder: Callable[[str], Path]) -> Path:
    """A work folder as tables.py leaves it: one finished cell, one of source-only, and one that is not finished."""
    root = module_folder("work")
    models = evaluate(finished.path, tiny.data / "target_labels.csv", device="cpu")["models"]
    for method, digest in (("tgkt", "abcdef012345"), ("source-only", "012345abcdef")):
        folder = root / "cells" / "rooms" / f"{method}-s0-{digest}"
        shutil.copytree(finished.path, folder / "run", copy_function=os.link)  # 200 MB
        cell = {"data": "rooms", "method": method, "seed": 0, "digest": digest, "models": models}
        (folder / "cell.json").write_text(json.dumps(cell))
    (root / "cells" / "rooms" / "tgkt-s1-fedcba543210" / "run").mkdir(parents=True)
    return root


# What is right


@pytest.mark.parametrize(
    ("change", "truth"),
    [(0.03, "helped"), (0.02, "no evidence"), (-0.02, "no evidence"), (-0.021, "hurt"), (0.0, "no evidence")],
)
def test_the_truth_is_the_change_beyond_the_margin(change: float, truth: str) -> None:
    assert bench.truth_of(change, 0.02) == truth


@pytest.mark.parametrize(
    ("verdict", "truth", "rate"),
    [("helped", "helped", "right"), ("hurt", "hurt", "right"), ("no evidence", "no evidence", "right"),
     ("no evidence", "hurt", "silent"), ("no evidence", "helped", "silent"), ("helped", "hurt", "wrong"),
     ("hurt", "no evidence", "wrong")],
)  # fmt: skip
def test_a_verdict_is_right_silent_or_wrong(verdict: str, truth: str, rate: str) -> None:
    assert bench.rate(verdict, truth) == rate


def test_totals_by_hand() -> None:
    rates = ["right", "right", "right", "silent", "wrong"]
    rows: list[dict[str, Any]] = [
        {
            "accuracy": {"rate": rate},
            "balanced_accuracy": {"rate": "right"},
            "own": {"rate": rate},
            "verdict": "no evidence" if rate == "silent" else "helped",
        }
        for rate in rates
    ]
    found = bench.summarise(rows)
    assert found["accuracy"] == {
        "right": 3, "silent": 1, "wrong": 1, "runs": 5, "spoke": 0.8, "right_of_all": 0.6,
        "right_where_it_spoke": 0.75,
    }  # fmt: skip
    assert found["own"] == found["accuracy"]
    assert found["balanced_accuracy"]["right_of_all"] == 1


@pytest.mark.parametrize(
    ("over", "changes", "rate"),
    [
        ("frames", (0.1, -0.1), "right"),
        ("classes", (0.1, -0.1), "wrong"),
        ("classes", (-0.1, 0.1), "right"),
        ("", (0.01, 0.0), "right"),  # nothing changed, and it says so
        ("", (0.01, 0.1), "silent"),
    ],
)
def test_a_verdict_is_measured_by_what_it_speaks_of(
    over: str, changes: tuple[float, float], rate: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    logged = Verdict("helped" if over else "no evidence", "", over=over)  # type: ignore[arg-type]
    monkeypatch.setattr(bench, "judge", lambda _: logged)
    measures = ("accuracy", "balanced_accuracy")
    before = dict.fromkeys(measures, 0.5)
    after = {name: 0.5 + change for name, change in zip(measures, changes, strict=True)}
    nothing: Any = None
    row = bench.row_of("one", nothing, {"source-only": before, "target": after}, 0.02)
    assert row["own"]["rate"] == rate


# Runs


def test_evidence_asked_again_gives_the_verdict_of_the_report(
    finished: Run, work: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    report = json.loads((finished.path / "report.json").read_text())
    found = bench.kept_evidence(finished.path, tmp_path)
    verdict = judge(found)
    assert (verdict.verdict, verdict.warnings) == (
        report["verdict"]["verdict"],
        report["verdict"]["warnings"],
    )
    assert [item.name for item in verdict.evidence] == [
        item["name"] for item in report["verdict"]["evidence"]
    ]
    for item, reported in zip(verdict.evidence, report["verdict"]["evidence"], strict=True):
        numbers = (reported["value"], reported["low"], reported["high"])
        assert (item.value, item.low, item.high) == pytest.approx(numbers, abs=1e-5)

    def fail(_: Run) -> None:
        raise AssertionError("asked again")

    monkeypatch.setattr(bench, "evidence_of", fail)
    again = bench.kept_evidence(finished.path, tmp_path)
    for part in dataclasses.fields(found):
        np.testing.assert_array_equal(getattr(again, part.name), getattr(found, part.name), part.name)


def test_the_program_judges_finished_cells_but_source_only(
    work: Path, finished: Run, tiny: Tiny, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tiny.data / "target_labels.csv"
    words = ["--cells", str(work), "--run", f"{finished.path}={labels}", "-o", str(tmp_path), "--goal", "0"]
    assert bench.main(words) == 0
    logged = json.loads((tmp_path / "verdict.json").read_text())
    cell, run = logged["runs"]
    assert cell["run"] == "rooms tgkt s0 abcdef"
    # The same run by both ways, so the same row except for its name.
    assert {**cell, "run": ""} == {**run, "run": ""}
    models = evaluate(finished.path, labels, device="cpu")["models"]
    change = models["target"]["accuracy"] - models["source-only"]["accuracy"]
    assert cell["accuracy"]["change"] == pytest.approx(change)
    assert logged["totals"]["accuracy"]["runs"] == 2
    assert "| rooms tgkt s0 abcdef |" in capsys.readouterr().out
    # A goal that is not reached is exit code 1.
    assert bench.main([*words[:-1], "1.1"]) == 1


def test_nothing_to_judge_is_said(tmp_path: Path) -> None:
    with pytest.raises(SystemExit, match="no finished run"):
        bench.main(["--cells", str(tmp_path), "-o", str(tmp_path / "out")])


# Broken on purpose


@pytest.mark.slow
def test_shuffled_pairs_match_nowhere(tiny: Tiny, tmp_path: Path) -> None:
    rgb, frames = matched(tiny.data / "paired")
    with (tmp_path / "paired.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("rgb", "frame"), *zip(rgb, frames, strict=True)])
    data = bench.shuffled(DataSet("rooms", tmp_path), tmp_path / "out.csv")
    rows = read_csv_columns(data.paired, "--paired", ("rgb", "frame"))
    truth = {one.resolve(): other.resolve() for one, other in zip(rgb, frames, strict=True)}
    assert data.target == tmp_path / "target.csv"  # all else is as it was
    assert sorted(rows["frame"]) == sorted(truth.values())
    assert [one for one, other in zip(rows["rgb"], rows["frame"], strict=True) if truth[one] == other] == []


def test_what_is_broken_is_a_configuration(tmp_path: Path) -> None:
    bench_rows = (*bench.BROKEN, bench.SHUFFLED)
    configs = [Workshop(tmp_path).options(row, 0) for row in bench_rows]
    assert [config.method for config in configs] == ["tgkt", "shot", "tgkt", "shot", "socket"]
    assert len({repr(config) for config in configs}) == 5
    assert configs[3].shot.im == 0  # nothing but a few pseudo-labels
