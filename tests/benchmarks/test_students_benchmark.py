"""The table of ``benchmarks/students.py``, from cells and times as its runs leave them."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from datasets import DataSet
from student_cells import MAX_DROP, PRECISIONS, REFERENCE, Student, cell_folder, finished
from students import OfSet, Times, loss, page, read_student
from tables import command

from tgkt_edge.config import build_config
from tgkt_edge.errors import ConfigError

SMALL = "mobilenet_v3_large"


def cell(student: str, seed: int, fp32: float, int8: float | None = None, floats: int = 0) -> dict[str, Any]:
    scores = {"fp32": fp32} | ({} if int8 is None else {"int8-cpu": int8})
    return {
        "data": "epfl-6",
        "student": student,
        "seed": seed,
        "sets": ["distill.epochs=12"] if student != REFERENCE else [],
        "parameters": 4_200_000,
        "float_layers": floats,
        "scores": {
            name: {"accuracy": value, "balanced_accuracy": value + 0.01} for name, value in scores.items()
        },
    }


CELLS = [
    cell(REFERENCE, 0, 0.90, 0.89),
    cell(REFERENCE, 1, 0.94, 0.93),
    cell(SMALL, 0, 0.88, 0.86, floats=4),
    cell(SMALL, 1, 0.90, 0.90, floats=2),
]
STUDENTS = [Student(REFERENCE), Student(SMALL, "weights/own.pth", ("distill.epochs=12",))]
ABOUT = {"machine": "one CPU", "written": "today", "command": "python benchmarks/students.py"}


def times(resnet: float, small: float, faster: float) -> OfSet:
    return {
        REFERENCE: {"fp32": {"ms": resnet, "faster": None}},
        SMALL: {"fp32": {"ms": small, "faster": faster}},
    }


def written(cells: list[dict[str, Any]], measured: Times) -> list[str]:
    return page(["epfl-6"], STUDENTS, cells, measured, ABOUT).splitlines()


def test_a_loss_is_the_mean_of_points_below_the_reference_of_the_same_seeds() -> None:
    small, reference = CELLS[2:], CELLS[:2]
    assert loss(small, reference, "fp32", "accuracy") == pytest.approx((2 + 4) / 2)
    assert loss(small, reference, "int8-cpu", "accuracy") == pytest.approx((3 + 3) / 2)
    assert loss(small[:1], reference, "fp32", "accuracy") == pytest.approx(2)
    assert loss(small[:1], reference[1:], "fp32", "accuracy") is None  # no seed that both have


def test_a_line_holds_mean_and_spread_the_loss_and_the_time() -> None:
    (line,) = [line for line in written(CELLS, {"epfl-6": times(12.5, 2.5, 4.9)}) if "own.pth" in line]
    assert line == (
        "| mobilenet_v3_large | `own.pth` | 12 | 4.2 M | 0 1 | 89.0±1.4 / 90.0±1.4 | +3.0 / +3.0 | 2.50 (4.9x) "
        "| 88.0±2.8 / 89.0±2.8 (2/4 layers in float) | +3.0 / +3.0 |  |"
    )


def test_the_reference_loses_nothing_and_is_no_times_as_fast() -> None:
    line = next(
        line for line in written(CELLS, {"epfl-6": times(12.5, 2.5, 4.9)}) if line.startswith("| resnet50")
    )
    assert line == (
        "| resnet50 | the translation |  | 4.2 M | 0 1 | 92.0±2.8 / 93.0±2.8 |  | 12.50 | 91.0±2.8 / 92.0±2.8 |  |  |"
    )


def test_the_last_table_is_the_mean_over_data_sets_and_empty_where_one_is_missing() -> None:
    both = CELLS + [{**one, "data": "nyuv2-5"} for one in CELLS[:3]]
    measured = {"epfl-6": times(12, 3, 4.0), "nyuv2-5": times(12, 1, 9.0)}
    lines = page(["epfl-6", "nyuv2-5"], STUDENTS, both, measured, ABOUT).splitlines()
    # (3 + 2) / 2 points; the geometric mean of 4 and 9 times.
    assert lines[-1] == "| mobilenet_v3_large | +2.5 / +2.5 | 6.0 | +3.0 / +3.0 |  |"
    lines = page(["epfl-6", "nyuv2-5"], STUDENTS, CELLS, measured, ABOUT).splitlines()
    assert lines[-1] == "| mobilenet_v3_large |  | 6.0 |  |  |"


def test_a_precision_that_the_gate_stopped_is_named() -> None:
    (line,) = [line for line in written([*CELLS[:2], cell(SMALL, 0, 0.88)], {}) if "own.pth" in line]
    assert "| 88.0 / 89.0 | +2.0 / +2.0 |  | not passed |" in line


def test_a_precision_that_was_not_tried_is_left_empty() -> None:
    cells = [*CELLS[:2], {**cell(SMALL, 0, 0.88), "tried": ["fp32"]}]
    (line,) = [line for line in written(cells, {}) if "own.pth" in line]
    assert line.endswith("| 0 | 88.0 / 89.0 | +2.0 / +2.0 |  |  |  |  |")


def test_where_fewer_seeds_have_a_precision_than_stand_in_the_line_it_is_said() -> None:
    (line,) = [line for line in written([*CELLS[:3], cell(SMALL, 1, 0.9)], {}) if "own.pth" in line]
    assert "| 86.0 / 87.0 (0/4 layers in float) (1 of 2 seeds) | +3.0 / +3.0 |" in line


def test_eight_bits_that_a_wider_gate_let_through_are_named() -> None:
    cells = [*CELLS[:2], {**cell(SMALL, 0, 0.88, 0.87), "max_drop": 0.03}]
    (line,) = [line for line in written(cells, {}) if "own.pth" in line]
    assert "| 87.0 / 88.0 (`--max-drop` 0.03) | +2.0 / +2.0 |" in line


def test_a_cell_is_made_again_where_the_gate_of_eight_bits_is_another(tmp_path: Path) -> None:
    data, student = DataSet("epfl-6", tmp_path), Student(SMALL)
    folder = cell_folder(tmp_path, data, student, 0)
    folder.mkdir(parents=True)

    def known(cell: dict[str, Any], *asked: Any) -> bool:
        (folder / "cell.json").write_text(json.dumps({**student.made_from, **cell}))
        return finished(tmp_path, data, student, 0, *asked) is not None

    both = {"tried": list(PRECISIONS)}
    assert known(both, PRECISIONS, MAX_DROP)  # of a version that had no other gate
    assert known({**both, "max_drop": 0.03}, PRECISIONS, 0.03)
    assert not known({**both, "max_drop": 0.03}, PRECISIONS)
    assert known({**both, "max_drop": 0.03}, ["fp32"])
    assert not known({"tried": ["fp32"], "max_drop": 0.03}, PRECISIONS, 0.03)


def test_a_student_is_read_with_its_weights_and_options() -> None:
    found = read_student("timm:tf_efficientnet_lite0=a/lite0.pth,distill.epochs=12,distill.lr=5e-4")
    assert found == Student(
        "timm:tf_efficientnet_lite0", "a/lite0.pth", ("distill.epochs=12", "distill.lr=5e-4")
    )
    assert found.slug == "timm-tf_efficientnet_lite0"
    assert read_student("resnet18").weights == "none"
    with pytest.raises(argparse.ArgumentTypeError, match="expected NAME"):
        read_student("resnet18,distill.epochs")


def test_options_of_a_cell_are_those_of_a_run() -> None:
    base = build_config(None, [], {"image_size": 112, "weights": "none", "batch": 8})
    config = STUDENTS[1].config(base, 3)
    assert (config.seed, config.image_size, config.batch, config.distill.epochs) == (3, 112, 8, 12)
    assert (config.method, config.student.arch, config.student.weights) == ("tgkt", SMALL, "weights/own.pth")
    assert STUDENTS[0].config(base, 3).method == "translate"
    with pytest.raises(ConfigError, match="epoch"):
        Student(SMALL, "none", ("distill.epoch=1",)).config(base, 0)


def test_the_command_names_no_folder_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    words = [
        "x",
        "--weights",
        f"{tmp_path}/w.safetensors",
        "--student",
        f"resnet18={tmp_path}/own.pth,distill.lr=1e-3",
        "--data",
        f"rgbnir:{tmp_path}/nirscene1",
    ]
    monkeypatch.setattr(sys, "argv", words)
    assert command("students.py") == (
        "python benchmarks/students.py --weights w.safetensors --student resnet18=own.pth,distill.lr=1e-3"
        " --data rgbnir:nirscene1"
    )
