"""What a killed run of the tests left is removed by the next; what one that still runs needs is not."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.leftovers import folder_of_runs, remove_leftovers


def test_only_old_folders_of_processes_that_are_gone_are_removed(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait(60)
    hours = {"killed": (gone.pid, 2), "just-killed": (gone.pid, 0), "running": (os.getpid(), 2)}
    for name, (pid, age) in hours.items():
        lock = tmp_path / f"pytest-{name}" / ".lock"
        lock.parent.mkdir()
        lock.write_text(str(pid))
        (lock.parent / "run").mkdir()
        os.utime(lock, (time.time() - 3600 * age - 60,) * 2)
    (tmp_path / "pytest-failed").mkdir()  # ended by itself: its lock is gone
    (tmp_path / "pytest-current").symlink_to("pytest-running")
    remove_leftovers(tmp_path)
    found = sorted(path.name for path in tmp_path.iterdir())
    assert found == ["pytest-current", "pytest-failed", "pytest-just-killed", "pytest-running"]
    assert (tmp_path / "pytest-running" / "run").is_dir()


def test_it_looks_where_pytest_makes_its_folders(
    pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if pytestconfig.option.basetemp:
        pytest.skip("this run was given another folder")
    assert folder_of_runs().resolve() in tmp_path_factory.getbasetemp().parents
