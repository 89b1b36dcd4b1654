"""A camera's address in place of a file, folder or number: every command refuses it without showing its password."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.support.commands import all_commands
from tgkt_edge.cli.main import app

RUNNER = CliRunner()
SECRET = "HUNTER2"
ADDRESS = f"rtsp://admin:{SECRET}@192.0.2.1/{SECRET}"
TAKE_ADDRESSES = {"camera", "rgb", "sink", "origin", "set_", "token"}


ALL = all_commands()


def given(command: Any) -> list[list[str]]:
    """The words of one call for each option and argument that takes a value."""
    calls: list[list[str]] = []
    arguments: list[str] = []
    for parameter in command.params:
        if parameter.param_type_name == "argument":
            calls.append([*arguments, ADDRESS])
            arguments.append("x")
        elif not parameter.is_flag and parameter.name not in TAKE_ADDRESSES:
            calls += [[flag, ADDRESS] for flag in parameter.opts]
    return calls


@pytest.mark.slow
@pytest.mark.parametrize(("words", "command"), ALL, ids=[" ".join(words) for words, _ in ALL])
def test_an_address_elsewhere_than_where_one_belongs_is_refused_and_not_shown(
    words: tuple[str, ...], command: Any
) -> None:
    for more in given(command):
        done = RUNNER.invoke(app, [*words, *more])
        assert done.exit_code == 2, more
        assert "rtsp://***@192.0.2.1/***: an address is not accepted here" in done.stderr, more
        assert SECRET not in done.output, more


@pytest.mark.parametrize(
    "wrong", ["http://h/w.pth?token=HUNTER2", "HTTPS:/a:HUNTER2@h/x", "rtps://a:HUNTER2@h/x"]
)
def test_addresses_of_other_kinds_and_mistyped_ones_too(wrong: str) -> None:
    done = RUNNER.invoke(app, ["source", "import", wrong, "-o", "x.safetensors"])
    assert done.exit_code == 2
    assert "an address is not accepted here" in done.stderr
    assert SECRET not in done.output


def test_a_sensor_file_of_one_of_several_cameras_too() -> None:
    done = RUNNER.invoke(app, ["run", "no-bundle", "--camera", "door=0", "--sensor", f"door={ADDRESS}"])
    assert done.exit_code == 2
    assert "--sensor rtsp://***@192.0.2.1/***: an address is not accepted here" in done.stderr
    assert SECRET not in done.output


def test_a_file_of_such_a_name_is_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "http:").mkdir()
    (tmp_path / "http:" / "a@b").mkdir()
    monkeypatch.chdir(tmp_path)
    done = RUNNER.invoke(app, ["inspect", "http://a@b"])
    assert "an address" not in done.stderr
    assert done.exit_code != 0


def test_where_addresses_belong_they_are_taken() -> None:
    done = RUNNER.invoke(app, ["run", "no-bundle", "--camera", ADDRESS])
    assert "an address" not in done.stderr
    assert "manifest.json" in done.stderr
