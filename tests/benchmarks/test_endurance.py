"""A long run, with bad frames and a log that rotates: nothing grows after the first tenth."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
from endurance import Found, Size

from tests.support.checkout import REPOSITORY
from tests.support.cli import cli_environment
from tests.support.counts import repeats


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from /proc")
@pytest.mark.parametrize("lanes", [1, 3])
def test_a_long_run_leaves_the_process_as_large_as_its_first_tenth(tmp_path: Path, lanes: int) -> None:
    """In a process of its own: what pytest's holds comes and goes by megabytes."""
    log = f"jsonl:{tmp_path}/log.jsonl?max_mb=1&keep=2"
    frames = str(repeats(20_000, 100_000))
    done = subprocess.run(
        [sys.executable, "benchmarks/endurance.py", "--frames", frames, "--lanes", str(lanes), "--sink", log],
        cwd=REPOSITORY, env=cli_environment(), capture_output=True, text=True, timeout=300, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count(" kB, ") == 10
    assert "grown by Size(" in done.stdout
    assert len(list(tmp_path.iterdir())) == 3


def test_growth_is_the_worst_after_the_first_tenth() -> None:
    sizes = [Size(100, 4, 9), Size(150, 3, 9), Size(120, 4, 8)]
    assert Found(0.1, sizes).growth == Size(50, 0, 0)
    assert Found(0.1, sizes[:1] + sizes[2:]).growth == Size(20, 0, -1)


def test_a_leak_grows_in_the_usual_tenth_and_a_queue_only_once() -> None:
    leak = [Size(1000 + 2000 * tenth, 1, 1) for tenth in range(10)]  # 200 bytes of each of 10,000 frames
    queue = [Size(1000 if tenth < 4 else 9000, 1, 1) for tenth in range(10)]
    assert Found(0.1, leak).usual == 2000
    assert Found(0.1, queue).usual == 0
