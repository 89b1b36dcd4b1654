"""One time that is left, for all stages of ``adapt`` and its report; lines of 80 columns, on a terminal or not."""

from __future__ import annotations

import os
import pty
import re
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from typer.testing import CliRunner

from tests.support.cli import cli_command, read_terminal
from tests.support.training import CLASSES, SIDE, Tiny
from tgkt_edge.cli.main import app
from tgkt_edge.config import AdaptConfig, build_config
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.adapt import adapt
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.run_folder.folder import Run
from tgkt_edge.train.source_import.options import ImportOptions
from tgkt_edge.train.speed import expectation
from tgkt_edge.train.time_left import OWN_LOOK, TimeLeft, in_words, parts_of_run


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_before_it_begins_each_stage_is_expected_to_take_what_this_machine_needs() -> None:
    config = build_config(None, ["image_size=224", "source.epochs=10"])
    left = TimeLeft(parts_of_run(config, 0, 100, 50, 50, depth=True, own=False))
    slow, fast = left.expected(2.0), left.expected(0.5)
    assert list(slow) == ["translate", "tgkt", "report"]
    # Forward and backward cost three passes; one more an epoch renews the labels. 0.06 s a pass of 224 pixels.
    assert slow["tgkt"] == pytest.approx(2 * config.student.epochs * 100 * 4 * 0.06)
    assert slow["tgkt"] == pytest.approx(4 * fast["tgkt"])
    assert slow["report"] - fast["report"] == pytest.approx(
        1.5 * 0.06 * (3 * 150 + 50)
    )  # and 3 s of pages in both
    assert expectation({"tgkt": 200.0, "report": 20.0}) == "expected: tgkt 3 min, report 20 s; 4 min in all"
    assert expectation({}) == ""


def test_what_was_measured_corrects_what_is_still_to_come() -> None:
    clock = Clock()
    left = TimeLeft(
        {"source": {"source": 10}, "translate": {"features": 20, "more": 5}, "report": {"report": 5}},
        clock,
    )
    left.begin("source")
    assert left.seconds() is None  # nothing is measured
    clock.now = 10
    left.advance("source", 0.5)  # twice as slow as it was thought
    assert left.seconds() == pytest.approx(10 + 2 * (20 + 5 + 5))
    clock.now = 20
    left.advance("source", 1.0)
    left.end("source")
    left.begin("translate")
    clock.now = 21
    left.advance("features", 0.1)  # but this is twice as fast
    assert left.seconds() == pytest.approx(9 + (5 + 5) * 21 / 12)
    left.end("translate")  # the rest of it was not needed
    assert left.seconds() == pytest.approx(5 * 21 / 12)
    left.end("report")
    assert left.seconds() == 0


def test_linear_algebra_is_not_thought_slower_than_three_times_because_networks_are() -> None:
    clock = Clock()
    left = TimeLeft({"source": {"source": 1}, "translate": {"RGB of pairs": 1, "answers": 10}}, clock)
    left.begin("source")
    clock.now = 50  # a hundred times as slow as it was thought
    left.advance("source", 0.5)
    assert left.seconds() == pytest.approx(50 + 100 + 3 * 10)


def test_what_was_there_already_costs_nothing_and_says_nothing_about_speed() -> None:
    clock = Clock()
    left = TimeLeft({"tgkt": {"tgkt": 100}}, clock)
    left.begin("tgkt")
    left.advance("tgkt", 0.5, known=True)
    assert left.seconds() is None
    clock.now = 7
    left.advance("tgkt", 0.6)
    assert left.seconds() == pytest.approx(28)


def test_a_stage_that_begins_ends_those_before_it() -> None:
    clock = Clock()
    left = TimeLeft({"source": {"source": 10}, "tgkt": {"tgkt": 10}}, clock)
    left.begin("tgkt")  # the source model lay there
    clock.now = 5
    left.advance("tgkt", 0.5)
    assert left.seconds() == pytest.approx(5)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0.4, "0 s"), (99, "99 s"), (100, "2 min"), (3000, "50 min"), (5950, "99 min"),
     (6000, "1 h 40 min"), (36300, "10 h 05 min")],
)  # fmt: skip
def test_words(seconds: float, words: str) -> None:
    assert in_words(seconds) == words


METHODS = [
    ("method=tgkt",),
    ("translator=pixels",),
    *((f"method={name}",) for name in ("translate", "tgmb", "shot", "socket", "source-only")),
]


@pytest.mark.parametrize("sets", METHODS, ids=" ".join)
def test_every_stage_of_every_method_is_expected(sets: tuple[str, ...], tmp_path: Path) -> None:
    config = build_config(None, sets)
    parts = parts_of_run(config, 10, 10, 10, 2, True, False)
    assert [*Run(tmp_path).stages(config), "report"] == list(parts)
    assert all(cost > 0 for stage in parts.values() for cost in stage.values())


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> set[tuple[str, str]]:
    """(stage, part) of every progress that a run shows."""
    found: set[tuple[str, str]] = set()
    for method in (RunLog.progress, RunLog.stage):

        def told(self: RunLog, name: str, *rest: Any, method: Any = method) -> Any:
            found.add((self._stage, name))
            return method(self, name, *rest)

        monkeypatch.setattr(RunLog, method.__name__, told)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "sets",
    [
        ("source.mode=finetune", "source.epochs=2"),
        ("translator=pixels",),
        ("method=socket",),
        ("student.arch=resnet18", "student.weights=none", "distill.epochs=1", "translation.encodings=both"),
    ],
)
def test_every_part_that_is_shown_was_expected(
    sets: tuple[str, ...], asked: set[tuple[str, str]], tiny: Tiny, tmp_path: Path
) -> None:
    usual = (
        "translator=features",
        "translation.force=true",
        "student.epochs=1",
        "tgmb.epochs=1",
        "tgkt.epochs=1",
    )
    config = tiny.config(*usual, "socket.epochs=1", *sets)
    adapt(tiny.inputs, load_sensor("depth"), tmp_path / "run", config)
    assert asked
    assert asked <= expected_parts(config)


@pytest.mark.slow
def test_every_part_of_an_imported_model_was_expected(
    asked: set[tuple[str, str]], tiny: Tiny, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: set[tuple[str, str]] = set()

    def parts(*args: Any) -> Any:
        found = parts_of_run(*args)
        told.update((stage, name) for stage, names in found.items() for name in names)
        return found

    monkeypatch.setattr("tgkt_edge.train.pipeline.parts_of_run", parts)
    body = {k: v.float() if v.is_floating_point() else v for k, v in load_file(tiny.weights).items()}
    torch.manual_seed(0)
    fc = torch.nn.Linear(2048, len(CLASSES))
    torch.save({**body, "fc.weight": fc.weight * 20, "fc.bias": fc.bias}, tmp_path / "model.pth")
    (tmp_path / "classes.txt").write_text("\n".join(CLASSES))
    config = tiny.config("translator=features", "method=translate", "translation.encodings=both")
    inputs = replace(tiny.inputs, source=None, source_model=str(tmp_path / "model.pth"))
    options = ImportOptions(tmp_path / "classes.txt", size=SIDE)
    adapt(inputs, load_sensor("depth"), tmp_path / "run", config, source_options=options)
    assert {name for _, name in asked} > {*OWN_LOOK.values()}
    before = {("", "RGB of pairs")}  # on which its scale is fitted
    assert asked - before <= told
    assert {part for part in told if part[1] in OWN_LOOK.values()} <= asked


@pytest.mark.parametrize(
    ("sets", "depth", "back", "looks"),
    [
        ((), True, False, True),
        ((), False, False, False),
        ((), True, True, False),
        (("translation.start=zero",), True, False, False),
        (("translation.encodings=plain",), True, False, False),
    ],
)
def test_an_own_look_is_expected_where_there_is_one(
    sets: tuple[str, ...], depth: bool, back: bool, looks: bool
) -> None:
    config = build_config(None, ("method=translate", *sets))
    for asked_for in (True, False):
        parts = parts_of_run(config, 0, 9, 9, 9, depth, False, back=back, looks=asked_for)["translate"]
        assert (
            {*OWN_LOOK.values()} <= parts.keys()
            if looks and asked_for
            else not {*OWN_LOOK.values()} & parts.keys()
        )


def expected_parts(config: AdaptConfig) -> set[tuple[str, str]]:
    """(stage, part) of a run of the small data."""
    own = config.linear_source or config.weights == "none"
    parts = parts_of_run(config, 12, 12, 10, 10, True, own)
    return {(stage, name) for stage, names in parts.items() for name in names}


def adapt_words(tiny: Tiny, out: Path) -> list[str]:
    sets = (
        *tiny.small,
        "translator=features",
        "translation.force=true",
        "student.epochs=2",
        f"weights={tiny.weights}",
    )
    inputs = tiny.inputs
    return [
        "adapt", "--target", str(inputs.target), "--paired", str(inputs.paired),
        "--source", str(inputs.source), "--sensor", "depth", "-o", str(out),
        *(word for one in sets for word in ("--set", one)),
    ]  # fmt: skip


@pytest.mark.slow
def test_a_run_shows_one_time_that_is_left_in_lines_of_80_columns(
    asked: set[tuple[str, str]], tiny: Tiny, tmp_path: Path
) -> None:
    """Without a terminal: plain lines; with one of 80 columns: bars that are not cut off before their time."""
    plain = CliRunner().invoke(app, adapt_words(tiny, tmp_path / "plain"))
    assert plain.exit_code == 0, plain.stderr
    assert asked
    assert asked <= expected_parts(Run(tmp_path / "plain").read_config()[2])
    steps = [line for line in plain.stderr.splitlines() if re.search(r"\d/\d", line)]
    assert all(len(line) < 80 for line in steps), steps
    assert "\x1b" not in plain.stderr
    for start in ("translate: answers 4/4", "tgkt: epoch 2/2"):  # the first parts are too small to tell by
        (line,) = [line for line in steps if line.startswith(start) and (":" in start)][-1:]
        assert re.search(r" ETA (\d+ s|\d+ min|\d+ h \d\d min)", line), line

    master, slave = pty.openpty()
    process = subprocess.Popen(
        cli_command(*adapt_words(tiny, tmp_path / "shown")), stderr=slave, stdout=subprocess.DEVNULL,
        env={**os.environ, "OMP_NUM_THREADS": "1", "TERM": "xterm", "COLUMNS": "80"},
    )  # fmt: skip
    os.close(slave)
    shown = read_terminal(master)
    assert process.wait(300) == 0
    text = re.sub(r"\x1b\[[0-9;?]*[a-zA-Z]", "", shown.decode())
    bars = [line for line in re.split(r"[\r\n]+", text) if "━" in line]
    assert bars
    assert all(len(line.rstrip()) <= 80 for line in bars)
    assert any(re.search(r"^tgkt .* ETA \d+ s", line) for line in bars)
    assert any(re.search(r"^translate: .* \d+/\d+ .*ETA \d+ s", line) for line in bars)
