"""``tgkt-edge benchmark`` as a process: what is measured, the table, the JSON."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from tests.support.bundles import save_bundle
from tests.support.cli import run_cli
from tests.support.images import make_frames, save_frames
from tgkt_edge.benchmark.command import speed
from tgkt_edge.bundle.bundle import MODEL_FILES, Bundle
from tgkt_edge.sensor import PRESETS

pytestmark = pytest.mark.slow

Measure = Callable[..., Any]
Without = Callable[..., dict[str, str]]


def test_every_precision_and_batch_is_a_row_and_labels_give_accuracy(
    measure: Measure, bundle: Bundle, labels: Path
) -> None:
    done = measure("--engine", "cpu", "--batch", "2", "--batch", "1", "--labels", labels)
    assert done.code == 0, done.stderr
    result = done.result
    rows = done.rows
    assert set(rows) == {(p, "cpu", b) for p in ("fp32", "fp16", "int8-cpu") for b in (1, 2)}
    assert result["frames"] == {"kind": "labelled", "count": 9}
    answers = run_cli("evaluate", bundle.path, "--data", labels, "--json").records[0]
    for (precision, _, batch), row in rows.items():
        assert row["ran"]
        assert row["why"] is None
        assert row["name"] == "onnxruntime, CPU"
        assert len(row["round_medians_ms"]) == 4
        ms = row["ms"]
        assert 0 < ms["min"] <= ms["median"] <= ms["p90"] <= ms["p99"] <= ms["max"]
        assert row["frames_per_second"] <= 1000 * batch / ms["min"]
        assert row["frames_per_second"] >= 1000 * batch / ms["max"]
        assert row["load_s"] > 0
        assert row["memory"]["resident"] > 2**20  # ONNX Runtime alone is more than a MiB
        assert row["memory"]["peak"] >= row["memory"]["resident"]
        base = rows["fp32", "cpu", batch]["round_medians_ms"]
        assert row["speed"] == speed(base, row["round_medians_ms"])
        assert row["agreement"]["against"] == "fp32 on cpu, batch 2"
        assert row["agreement"]["frames"] == 9
        if precision != "int8-cpu":
            assert row["agreement"]["top1_agreement"] == 1
            assert row["accuracy"] == pytest.approx(answers["models"]["target"]["accuracy"])
        else:
            assert row["agreement"]["top1_agreement"] < 1
    assert "same class: on 9 labelled frames, as fp32 on cpu, batch 2" in done.stderr


def test_the_table_has_a_line_a_row_and_says_what_was_not_measured(measure: Measure, tmp_path: Path) -> None:
    out = tmp_path / "result.json"
    done = measure("--engine", "cpu", "--precision", "fp16", "--json", out)
    assert done.code == 0, done.stderr
    assert done.result["rows"] == []  # nothing on stdout
    lines = done.stderr.splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("precision "))
    names = (
        "precision engine batch median p90 p99 frames/s speed load memory GPU same class accuracy stability"
    )
    assert lines[start].split() == names.split()
    assert [line.split()[:3] for line in lines[start + 1 : start + 3]] == [
        ["fp32", "cpu", "1"],
        ["fp16", "cpu", "1"],
    ]
    assert (
        "timed on 8 synthetic frames of the bundle's sensor; agreement and accuracy were not measured"
        in done.stderr
    )
    assert any(line.startswith("before: ") for line in lines)
    assert any(line.startswith("after: ") for line in lines)
    result = json.loads(out.read_text(encoding="utf-8"))
    assert result["frames"] == {"kind": "synthetic", "count": 8}
    for row in result["rows"]:
        assert row["agreement"] is None
        assert row["accuracy"] is None


def test_the_rounds_of_all_rows_take_turns(measure: Measure) -> None:
    done = measure("--engine", "cpu")
    result = done.result
    rounds = [(began, row["precision"]) for row in result["rows"] for began in row["began_s"]]
    order = [precision for _, precision in sorted(rounds)]
    assert order == ["fp32", "fp16", "int8-cpu"] * 4
    for row in result["rows"]:
        assert row["calls"] >= 4
        assert min(row["round_medians_ms"]) <= row["ms"]["median"] <= max(row["round_medians_ms"])
        assert row["stability"]["mark"] in ("steady", "varies", "unsteady", "slowing")


def test_frames_give_agreement_and_no_accuracy(measure: Measure, tmp_path: Path) -> None:
    folder = save_frames(tmp_path / "frames", make_frames(7))
    done = measure("--engine", "cpu", "--batch", "3", "--frames", folder)
    assert done.code == 0, done.stderr
    rows = done.rows
    assert rows["fp16", "cpu", 3]["agreement"]["frames"] == 7  # the last batch was not full
    assert rows["fp16", "cpu", 3]["agreement"]["max_logit_difference"] == 0
    assert rows["int8-cpu", "cpu", 3]["agreement"]["top1_agreement"] < 1
    assert {row["accuracy"] for row in rows.values()} == {None}
    both = measure("--frames", folder, "--labels", folder)
    assert both.code == 2
    assert "--frames and --labels: give one" in both.stderr


def test_a_device_without_torch_and_onnx_benchmarks(measure: Measure, labels: Path, without: Without) -> None:
    lacking = without("torch", "torchvision", "onnx", "onnxscript", "onnxconverter_common", "sklearn")
    done = measure("--engine", "cpu", "--precision", "fp16", "--labels", labels, **lacking)
    assert done.code == 0, done.stderr
    assert done.rows["fp32", "cpu", 1]["accuracy"] is not None


def test_without_frames_it_needs_no_opencv(measure: Measure, without: Without) -> None:
    done = measure("--engine", "cpu", "--precision", "fp16", **without("cv2"))
    assert done.code == 0, done.stderr


def test_several_bundles_stand_in_one_table(
    measure: Measure, bundle: Bundle, labels: Path, tmp_path: Path
) -> None:
    """The second is the same graph, but its fp32 is what int8-cpu of the first is: other classes."""
    other = save_bundle(tmp_path / "smaller").path
    shutil.copy(bundle.path / MODEL_FILES["int8-cpu"], other / MODEL_FILES["fp32"])
    opened = Bundle.open(other)
    replace(opened, provenance={"network": "resnet18", "verdict": "helped"}).write()
    done = measure(other, "--engine", "cpu", "--precision", "fp32", "--labels", labels)
    assert done.code == 0, done.stderr
    first, second = done.result["rows"]
    assert [Path(row["bundle"]).name for row in (first, second)] == ["bundle", "smaller"]
    assert (first["first_speed"], first["first_agreement"]) == (None, None)
    assert second["first_speed"] == speed(first["round_medians_ms"], second["round_medians_ms"])
    assert second["first_agreement"] < 1
    assert second["agreement"]["top1_agreement"] == 1  # as its own fp32
    assert [one["network"] for one in done.result["bundles"]] == [None, "resnet18"]
    assert "labelled frames, as fp32 on cpu, batch 1 of the same bundle\n" in done.stderr
    assert "smaller: resnet18; adapting: helped" in done.stderr
    assert "bundle: network not recorded" in done.stderr


def test_bundles_of_other_classes_or_sensors_are_not_compared(measure: Measure, tmp_path: Path) -> None:
    nir = save_bundle(tmp_path / "nir", PRESETS["nir"]).path
    done = measure(nir, "--engine", "cpu")
    assert done.code == 2
    assert "another sensor than" in done.stderr
    assert "Only bundles of one task and sensor can be compared" in done.stderr
