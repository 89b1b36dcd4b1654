"""No file ends the process: mutated files of every format that is read, in a process of its own.

``TGKT_EDGE_FUZZ=10000 pytest tests/io/test_fuzz.py`` tries so many, with a seed of its own each time it is told one:
``TGKT_EDGE_FUZZ_SEED=7``.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.slow
def test_mutated_files_never_end_the_process(tmp_path: Path) -> None:
    count, seed = int(os.environ.get("TGKT_EDGE_FUZZ", "600")), os.environ.get("TGKT_EDGE_FUZZ_SEED", "1")
    program = str(Path(__file__).parents[1] / "support/fuzz_images.py")
    done = subprocess.run(
        [sys.executable, program, str(tmp_path), str(count), seed],
        capture_output=True,
        text=True,
        check=False,
    )
    last = tmp_path / "last"
    assert done.returncode == 0, (
        f"ended with {done.returncode} at {last.stat().st_size if last.exists() else 0} bytes kept in {last}: "
        f"{done.stderr[-2000:]}"
    )
    outcomes = json.loads(done.stdout)
    assert sum(outcomes.values()) == count
    # The fuzzer is worth something only while both happen: files that are still read, and files that are refused.
    for suffix in ("png", "jpg", "tif", "pgm", "bmp", "webp", "mkv", "avi", "pfm", "npy", "npz", "exr"):
        mine = {outcome: number for outcome, number in outcomes.items() if outcome.startswith(f"{suffix}: ")}
        assert any("axes" in outcome or "1 frames" in outcome or "3 frames" in outcome for outcome in mine), (
            mine
        )
        assert any("DataError" in outcome or "SourceLostError" in outcome for outcome in mine), mine
