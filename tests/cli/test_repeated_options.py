"""An option of one value that is given twice, or is empty, is refused by every command; repeating ones repeat."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from tests.support.commands import all_commands
from tgkt_edge.cli.main import app

RUNNER = CliRunner()


ALL = all_commands()
OPTIONS = [
    pytest.param(words, flag, id=f"{' '.join(words)} {flag}")
    for words, command in ALL
    for option in command.params
    if option.param_type_name == "option" and not option.multiple and not option.is_flag
    for flag in option.opts
]


def test_every_command_is_looked_at() -> None:
    assert ("data", "prepare") in {words for words, _ in ALL}
    assert len(ALL) >= 12
    assert len(OPTIONS) > 60


@pytest.mark.parametrize(("words", "flag"), OPTIONS)
@pytest.mark.slow
def test_one_value_given_twice_is_refused_before_anything_else(words: tuple[str, ...], flag: str) -> None:
    done = RUNNER.invoke(app, [*words, flag, "1", flag, "2"])
    assert done.exit_code == 2
    last = "" if flag == "--token" else " (the last was '2')"  # a secret is not repeated
    assert f"given 2 times{last}, and it takes one value" in done.stderr


@pytest.mark.parametrize(("words", "flag"), OPTIONS)
@pytest.mark.slow
def test_an_empty_value_is_refused_before_it_means_the_current_folder(
    words: tuple[str, ...], flag: str
) -> None:
    for given in ([flag, ""], [f"{flag}="] if flag.startswith("--") else [flag, ""]):
        done = RUNNER.invoke(app, [*words, *given])
        assert done.exit_code == 2
        assert ": empty. Is a variable of the shell not set?" in done.stderr


@pytest.mark.parametrize("words", [("inspect", ""), ("run", "", "--camera", "x"), ("export", "", "-o", "x")])
def test_an_empty_argument_is_refused_too(words: tuple[str, ...]) -> None:
    done = RUNNER.invoke(app, words)
    assert done.exit_code == 2
    assert ": empty. Is a variable" in done.stderr


def test_two_spellings_and_equal_values_count_alike() -> None:
    done = RUNNER.invoke(app, ["demo", "-o", "a", "--out=a"])
    assert done.exit_code == 2
    assert "--out: given 2 times" in done.stderr


def test_contradicting_switches_are_refused_and_repeated_ones_are_not(tmp_path: Path) -> None:
    done = RUNNER.invoke(app, ["run", str(tmp_path), "--camera", "x", "--live", "--no-live"])
    assert "--live: given 2 times, and it takes one value" in done.stderr
    done = RUNNER.invoke(app, ["run", str(tmp_path), "--camera", "x", "--loop", "--loop"])
    assert "given" not in done.stderr
    assert "manifest.json" in done.stderr  # it went on to the bundle, which is none


def test_options_that_may_repeat_still_do(tmp_path: Path) -> None:
    done = RUNNER.invoke(
        app, ["run", str(tmp_path), "--camera", "x", "--sink", "jsonl:-", "--sink", "jsonl:x"]
    )
    assert "manifest.json" in done.stderr
