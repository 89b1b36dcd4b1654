"""Progress of a build: a bar in a terminal, lines elsewhere."""

from __future__ import annotations

import io
import os
import pty
import sys

import pytest

from tests.support.cli import read_terminal
from tgkt_edge.cli import build_progress as module
from tgkt_edge.cli.build_progress import build_progress


def build() -> None:
    """Two builds of three steps, as TensorRT reports them."""
    with build_progress() as progress:
        for _ in range(2):
            for done in range(4):
                progress("Building engine", done, 3)


def test_without_a_terminal_there_is_a_line_now_and_then(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    build()
    assert capsys.readouterr().err == ""  # all of it took less than the time between two lines
    monkeypatch.setattr(module, "EVERY", 0.0)
    build()
    messages = capsys.readouterr()
    assert messages.out == ""
    assert messages.err.splitlines() == [f"Building engine: {done} of 3" for done in (0, 1, 2, 3)] * 2


def test_in_a_terminal_there_is_a_bar_that_goes_away(monkeypatch: pytest.MonkeyPatch) -> None:
    ours, theirs = pty.openpty()
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setattr(sys, "stderr", io.TextIOWrapper(os.fdopen(theirs, "wb", 0), write_through=True))
    with build_progress() as progress:
        progress("Building engine", 0, 3)
        progress("Building engine", 2, 3)
    sys.stderr.close()
    shown = read_terminal(ours)
    assert b"Building engine" in shown
    assert b"2/3" in shown
    assert shown.rstrip().endswith((b"\x1b[2K", b"\x1b[?25h"))  # the line is erased, the cursor back
