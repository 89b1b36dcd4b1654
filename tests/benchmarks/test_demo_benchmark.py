"""The table of ``benchmarks/demo.py``, from records as its runs leave them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from demo import main, reached, table


def record(precision: str, seed: int, source_only: float, target: float, clip: float) -> dict[str, Any]:
    return {
        "precision": precision,
        "seed": seed,
        "source_only": source_only,
        "target": target,
        "clip": clip,
        "seconds": 100.0 + seed,
        "cpu_seconds": 190.0 + seed,
    }


def test_a_row_a_run_and_the_range_of_each_column() -> None:
    records = [
        record("fp32", 1, 0.25, 0.9, 1.0),
        record("bf16", 0, 0.3, 0.85, 0.875),
        record("fp32", 0, 0.2, 0.95, 0.5),
    ]
    assert table(records).splitlines()[2:] == [
        "| bf16 | 0 | 30.0 % | 85.0 % | 87.5 % | 100 | 190 |",
        "| fp32 | 0 | 20.0 % | 95.0 % | 50.0 % | 100 | 190 |",
        "| fp32 | 1 | 25.0 % | 90.0 % | 100.0 % | 101 | 191 |",
        "| range | | 20.0 to 30.0 % | 85.0 to 95.0 % | 50.0 to 100.0 % | 100 to 101 | 190 to 191 |",
    ]


@pytest.mark.parametrize(
    ("source_only", "target", "enough"),
    [(0.3, 0.81, True), (0.3, 0.8, False), (0.75, 0.85, False), (0.7, 0.86, True)],
)
def test_the_goal_is_above_80_percent_and_15_points_more_than_source_only(
    source_only: float, target: float, enough: bool
) -> None:
    assert reached(record("fp32", 0, source_only, target, 1.0)) is enough


def test_runs_that_are_recorded_are_not_run_again_and_one_that_misses_the_goal_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    records = [record("bf16", 0, 0.3, 0.9, 1.0), record("bf16", 1, 0.3, 0.7, 1.0)]
    (tmp_path / "demo.jsonl").write_text("".join(json.dumps(one) + "\n" for one in records))
    assert main(["-o", str(tmp_path), "--formats", "bf16", "--seeds", "0"]) == 0
    assert "Missed" not in capsys.readouterr().out
    assert main(["-o", str(tmp_path), "--formats", "bf16", "--seeds", "0", "1"]) == 1
    assert "Missed 80% or 15 points above source-only: bf16 seed 1." in capsys.readouterr().out
    assert [path.name for path in tmp_path.iterdir()] == ["demo.jsonl"]
