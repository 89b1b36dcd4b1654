"""Tests that measure time run alone, whatever the other workers do."""

from __future__ import annotations

import fcntl
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from tests.support.cli import cli_environment
from tests.support.turns import turn
from tests.support.waiting import wait_until


def test_one_that_runs_alone_waits_for_the_others_and_they_for_it(tmp_path: Path) -> None:
    lock, order = tmp_path / "turns.lock", list[str]()
    inside = {name: threading.Event() for name in ("first", "alone", "later")}
    leave = {name: threading.Event() for name in inside}

    def run(name: str) -> None:
        with turn(lock, alone=name == "alone"):
            order.append(f"{name} begins")
            inside[name].set()
            assert leave[name].wait(60)
            order.append(f"{name} ends")

    threads = {name: threading.Thread(target=run, args=[name]) for name in inside}
    threads["first"].start()
    assert inside["first"].wait(60)
    with turn(lock, alone=False):  # any number of others beside it
        pass
    threads["alone"].start()
    wait_until(lambda: _gate_is_shut(lock), "the one that wants to be alone")
    threads["later"].start()
    for name in ("first", "alone", "later"):
        leave[name].set()
        threads[name].join(60)
    assert order == [f"{name} {what}" for name in inside for what in ("begins", "ends")]


def _gate_is_shut(lock: Path) -> bool:
    with lock.with_suffix(".gate").open("w") as gate:
        try:
            fcntl.flock(gate, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def test_a_test_that_fails_ends_its_turn(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), turn(tmp_path / "turns.lock", alone=True):
        raise ZeroDivisionError
    with turn(tmp_path / "turns.lock", alone=True):
        pass


PROJECT = {
    "conftest.py": "from tests.conftest import pytest_collection_modifyitems, pytest_xdist_make_scheduler",
    "test_one.py": "import os, pytest\nfrom pathlib import Path\n\n"
    "@pytest.fixture(autouse=True)\ndef noted(request):\n"
    "    Path(request.node.name).write_text(os.environ['PYTEST_XDIST_WORKER'])\n\n"
    "@pytest.mark.alone\ndef test_first_measures(): pass\n\ndef test_first(): pass\n",
}


@pytest.mark.slow
def test_those_of_all_files_are_given_to_one_worker_together(tmp_path: Path) -> None:
    """Each would wait for the other workers' tests, and they for it, if they were spread over the run."""
    for name, text in PROJECT.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "test_two.py").write_text(PROJECT["test_one.py"].replace("first", "second"))
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = alone\n")
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadfile", "--no-loadscope-reorder"],
        cwd=tmp_path, env=cli_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    workers = {file.name: file.read_text() for file in tmp_path.glob("test_*") if not file.suffix}
    assert len(workers) == 4
    assert workers["test_first_measures"] == workers["test_second_measures"]
    assert workers["test_first"] != workers["test_second"]
