"""Optional libraries: absent, present, and present but broken."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tgkt_edge.errors import MissingDependency
from tgkt_edge.optional_deps import require


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
    with pytest.raises(
        MissingDependency, match=r"^x needs .*'no_such'.*pip install 'tgkt-edge\[cpu\]'$"
    ) as caught:
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
