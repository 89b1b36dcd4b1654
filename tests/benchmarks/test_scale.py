"""The program that measures very many frames, with very few: every step is measured, and its growth is arithmetic."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import scale

from tests.support.checkout import REPOSITORY

READING = (
    "cache written",
    "cache found",
    "an epoch's crops",
    "answers",
    "pseudo-labels",
    "neighbors",
    "statistics",
)
LISTING = ("files listed", "contents noted", "names kept")
TRANSLATION = ("main directions", "translated answers", "teacher", "exported head")


def test_growth_by_hand() -> None:
    """Ten times the frames: ten times the seconds (power 1), and 512 bytes for each of the 900 that came."""
    results = {100: {"step": (1.0, 2048.0)}, 1000: {"step": (10.0, (100 * 2048 + 900 * 512) / 1000)}}
    assert scale.table(results).splitlines()[-1] == "| step | 1.00 | 2.00 | 10.00 | 0.65 | 1.00 | 0.50 |"


@pytest.mark.slow
def test_every_step_is_measured(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, str(REPOSITORY / "benchmarks/scale.py"), "--frames", "100", "200", "-o", str(tmp_path)],
        env={**os.environ, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"},
        capture_output=True, text=True, timeout=280, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = [line.strip("| ").split(" | ") for line in done.stdout.splitlines()[2:]]
    assert [row[0] for row in rows] == [*LISTING, *READING, *TRANSLATION]
    assert {len(row) for row in rows} == {7}
