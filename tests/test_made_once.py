"""What is costly is made by the worker that needs it first, whichever that is."""

from __future__ import annotations

import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.cli import cli_environment
from tests.support.shared import made_once, made_seldom


def test_of_several_who_ask_at_once_one_makes_it(tmp_path_factory: pytest.TempPathFactory) -> None:
    together, made = threading.Barrier(4), list[Path]()

    def make(folder: Path) -> None:
        made.append(folder)
        (folder / "text").write_text("whole")

    def ask(_: int) -> tuple[Path, str]:
        together.wait(60)
        folder = made_once(tmp_path_factory, "asked-at-once", make)
        return folder, (folder / "text").read_text()

    with ThreadPoolExecutor(4) as pool:
        found = set(pool.map(ask, range(4)))
    (folder,) = made
    assert found == {(folder, "whole")}


def test_what_failed_is_made_by_the_next(tmp_path_factory: pytest.TempPathFactory) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("no space left")

    with pytest.raises(OSError, match="no space left"):
        made_once(tmp_path_factory, "failed-first", fail)
    folder = made_once(tmp_path_factory, "failed-first", lambda folder: (folder / "whole").touch())
    assert [file.name for file in folder.iterdir()] == ["whole"]


def test_of_what_is_made_seldom_the_last_used_are_kept(tmp_path_factory: pytest.TempPathFactory) -> None:
    made: list[str] = []

    def ask(name: str) -> str:
        def make(folder: Path) -> None:
            made.append(name)
            (folder / "text").write_text(f"of {name}")

        def read(folder: Path) -> str:
            places.add(folder.parent)
            return (folder / "text").read_text()

        return made_seldom(tmp_path_factory, f"seldom-{name}", make, read, most=2)

    places = set[Path]()
    for name in ("a", "b", "a", "c", "a", "b"):
        assert ask(name) == f"of {name}"
    assert made == ["a", "b", "c", "b"]  # by "c" the one that was used least lately went, and that is "b"
    (place,) = places
    assert sum(folder.name.startswith("seldom-") for folder in place.iterdir()) == 2


MODULE = """
from pathlib import Path
import pytest

@pytest.fixture(scope="module")
def shared(module_folder):
    folder = module_folder("shared")
    (folder / "large").touch()
    Path(__file__).with_suffix(".folder").write_text(str(folder))
    return folder

def test_first(shared):
    assert (shared / "large").exists()

def test_second(shared):
    assert (shared / "large").exists() and RIGHT

def test_gone():
    earlier = Path(__file__).with_name("test_a.folder")
    assert "test_a" in __file__ or not Path(earlier.read_text()).exists()
"""


@pytest.mark.slow
def test_what_a_module_shares_goes_with_its_last_test_and_stays_for_one_that_failed(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("from tests.conftest import module_folder\n")
    for name, right in (("test_a", "True"), ("test_b", "False")):
        (tmp_path / f"{name}.py").write_text(MODULE.replace("RIGHT", right))
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "--basetemp", "base"],
        cwd=tmp_path, env=cli_environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert "1 failed, 5 passed" in done.stdout
    passed, failed = (Path((tmp_path / f"{name}.folder").read_text()) for name in ("test_a", "test_b"))
    assert not passed.exists()
    assert [file.name for file in failed.iterdir()] == ["large"]
