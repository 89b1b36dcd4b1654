"""Optional libraries: absent, present, and present but broken."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.support.checkout import REPOSITORY
from tgkt_edge import optional_deps
from tgkt_edge.errors import MissingDependency
from tgkt_edge.optional_deps import install_command, require


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The source of a package ``brittle`` that can be imported."""
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "brittle", raising=False)
    return tmp_path / "brittle.py"


def test_what_is_there_is_returned(package: Path) -> None:
    package.write_text("answer = 42")
    assert require("brittle", "cpu", "this").answer == 42


def test_what_is_absent_is_answered_with_the_extra_that_brings_it() -> None:
    with pytest.raises(MissingDependency, match=r"^x needs .*'no_such'.*pip install .*\[cpu\]'$") as caught:
        require("no_such.part", "cpu", "x")
    assert caught.value.exit_code == 6


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("raise ImportError('libGL.so.1: cannot open shared object file')", "libGL.so.1: cannot open"),
        ("import no_such_need", "No module named 'no_such_need'"),
        ("raise ImportError", "ImportError"),
    ],
)
def test_what_cannot_be_loaded_says_why_and_is_not_to_be_installed_again(
    package: Path, source: str, words: str
) -> None:
    package.write_text(source)
    with pytest.raises(MissingDependency, match=f"installed but cannot be loaded: {words}.*doctor") as caught:
        require("brittle", "cpu", "x")
    assert "pip install" not in str(caught.value)


def test_the_advice_is_the_checkout_that_runs() -> None:
    assert install_command("train") == f"pip install -e '{REPOSITORY}[train]'"


@pytest.mark.parametrize(
    ("origin", "advice"),
    [
        (
            (None, "file:///w/tgkt_edge-1-py3-none-any.whl"),
            "'tgkt-edge[cpu] @ file:///w/tgkt_edge-1-py3-none-any.whl'",
        ),
        ((None, "git+https://h/r.git@0123"), "'tgkt-edge[cpu] @ git+https://h/r.git@0123'"),
    ],
    ids=["wheel", "repository"],
)
def test_elsewhere_it_is_what_pip_installed_from(
    origin: tuple[None, str], advice: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(optional_deps, "_origin", lambda: origin)
    assert install_command("cpu") == f"pip install {advice}"


def test_once_published_one_line_changes_all_advice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(optional_deps, "PUBLISHED", True)
    assert install_command("cpu") == "pip install 'tgkt-edge[cpu]'"


def test_no_message_writes_its_own_advice() -> None:
    own = REPOSITORY / "tgkt_edge" / "optional_deps.py"
    files = [
        file
        for folder in ("tgkt_edge", "train", "export", "runtime")
        for file in (REPOSITORY / folder).rglob("*.py")
    ]
    assert len(files) > 100
    assert [
        str(file) for file in files if "tgkt-edge[" in file.read_text(encoding="utf-8") and file != own
    ] == []
