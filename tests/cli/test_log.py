"""``-v`` and ``-q`` of every command, and what a program that uses the package sees of its log."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import typer
from typer.testing import CliRunner

from tests.support.bundles import save_near_or_far
from tgkt_edge.cli.main import app

pytestmark = pytest.mark.slow

FULL = ("engine tensorrt is skipped: the bundle holds no plan", "engine cuda is skipped: ONNX Runtime ")

PROGRAM: Any = typer.main.get_command(app)
NAMES = [name for name in PROGRAM.commands if name != "data"] + [
    f"data {name}" for name in PROGRAM.commands["data"].commands
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With a bundle and one frame."""
    found = tmp_path_factory.mktemp("log")
    save_near_or_far(found / "bundle", ("near", "far"))
    assert cv2.imwrite(str(found / "a.png"), np.full((48, 64), 1000, np.uint16))
    return found


def tgkt(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "tgkt_edge", *words],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def test_what_nobody_expects_is_one_short_line_and_v_says_why(folder: Path) -> None:
    words = ("run", "bundle", "--camera", "a.png")
    plain, verbose = tgkt(folder, *words), tgkt(folder, "-v", *words)
    assert plain.returncode == verbose.returncode == 0
    for done in (plain, verbose):
        (line,) = [line for line in done.stderr.splitlines() if line.startswith("engine: ")]
        assert line.startswith("engine: onnxruntime, CPU; model.onnx, fp32")
        assert line.endswith(" (no TensorRT plan, no CUDA; -v says more)")
    for reason in FULL:
        assert reason not in plain.stderr
        assert reason in verbose.stderr
    assert verbose.stdout.count('"label"') == plain.stdout.count('"label"') > 0


def test_q_shows_no_progress_but_results_and_errors(folder: Path) -> None:
    words = ("benchmark", "bundle", "--rounds", "1", "--seconds", "0.05", "--engine", "cpu")
    plain, quiet = tgkt(folder, *words), tgkt(folder, "--quiet", *words)
    assert plain.returncode == quiet.returncode == 0, quiet.stderr
    assert "loading" in plain.stderr
    assert "loading" not in quiet.stderr
    assert "fp32" in quiet.stderr
    refused = tgkt(folder, "-q", "run", "bundle", "--camera", "none.png")
    assert refused.returncode == 5
    assert "error: none.png does not exist" in refused.stderr
    both = tgkt(folder, "-q", "-v", "inspect", "bundle")
    assert both.returncode == 2
    assert "-v and -q: give one of them" in both.stderr


def test_q_and_v_after_the_command_mean_what_they_mean_before_it(folder: Path) -> None:
    words = ("run", "bundle", "--camera", "a.png")
    plain = tgkt(folder, *words)
    for order in (("-q", *words), (*words, "-q"), ("run", "--quiet", *words[1:])):
        done = tgkt(folder, *order)
        assert done.returncode == 0
        assert done.stdout.count("\n") == plain.stdout.count("\n") == 2  # the start and the frame
        assert not [line for line in done.stderr.splitlines() if "holds no statistics" not in line], (
            done.stderr
        )
    for reason in FULL:
        assert reason in tgkt(folder, *words, "-v").stderr
    assert "Traceback" in tgkt(folder, "inspect", "nothing", "--debug").stderr
    for both in (
        ("-q", "inspect", "bundle", "-v"),
        ("data", "-v", "presets", "-q"),
        ("data", "presets", "-qv"),
    ):
        done = tgkt(folder, *both)
        assert done.returncode == 2
        assert done.stderr == "error: -v and -q: give one of them\n"


def test_a_quiet_run_still_tells_what_goes_wrong(folder: Path) -> None:
    (folder / "bad.png").write_bytes((folder / "a.png").read_bytes()[:60])
    done = tgkt(folder, "record", "--camera", "a.png", "--sensor", "depth", "-o", "copy", "-q")
    assert (done.returncode, done.stderr) == (0, "")
    done = tgkt(folder, "run", "bundle", "--camera", "bad.png", "-q")
    assert done.returncode == 5
    assert "error: bad.png" in done.stderr
    done = tgkt(folder, "run", "bundle", "--camera", "a.png", "-q", "--sink", "jsonl:/dev/full")
    assert "/dev/full" in done.stderr  # a sink that cannot write


@pytest.mark.parametrize("name", NAMES)
def test_every_command_has_the_three_options(name: str) -> None:
    shown = CliRunner().invoke(app, [*name.split(), "--help"]).output
    for option in ("--debug", "-v, --verbose", "-q, --quiet"):
        assert f"  {option} " in shown


def test_a_program_sees_the_log_only_where_it_asks_for_it(folder: Path) -> None:
    code = (
        "import logging, sys\nfrom pathlib import Path\n"
        "if sys.argv[1] == 'ask': logging.basicConfig(level=logging.DEBUG)\n"
        "from tgkt_edge.bundle.bundle import Bundle\nfrom tgkt_edge.runtime import open_engine\n"
        "from tgkt_edge.notes import note\nnote('a note')\nopen_engine(Bundle.open(Path('bundle'))).close()\n"
    )
    for word, expected in (("ask", True), ("not", False)):
        done = subprocess.run(
            [sys.executable, "-c", code, word],
            cwd=folder,
            capture_output=True,
            text=True,
            check=True,
            timeout=60,
        )
        assert ("DEBUG:tgkt_edge:engine tensorrt is skipped" in done.stderr) == expected
        assert ("WARNING:tgkt_edge:a note" in done.stderr) == expected
        assert expected or done.stderr == ""
