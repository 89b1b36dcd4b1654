"""What a command takes without a flag is named in messages as in its usage line, and no message invents a flag."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from typer.testing import CliRunner

from tests.support.bundles import save_bundle
from tests.support.commands import all_commands
from tgkt_edge.bundle.keys import generate_key
from tgkt_edge.cli.flags import as_flags
from tgkt_edge.cli.main import app

TAKE = {
    " ".join(words): [one for one in command.params if one.param_type_name == "argument"]
    for words, command in all_commands()
    if any(one.param_type_name == "argument" for one in command.params)
}
COMMANDS: dict[str, Any] = {" ".join(words): command for words, command in all_commands()}
MORE = {"audit": ["--frames", "5"], "data import": ["--sensor", "depth"]}
"""Beside what is required."""
ENDINGS = {"predict": ".csv", "source import": ".safetensors"}
NEED_TORCH = {"audit", "export", "evaluate", "source import"}
FLAG = re.compile(r"(?<![\w-])--[a-z][a-z-]+")


def nothing(path: Path) -> None:
    """Not there."""


def empty(path: Path) -> None:
    path.mkdir()


def text(path: Path) -> None:
    path.write_text("hello\n", encoding="utf-8")


def image(path: Path) -> None:
    path.write_bytes(cv2.imencode(".png", np.full((8, 8), 900, np.uint16))[1].tobytes())


def recording(path: Path) -> None:
    path.write_bytes(b"#ROSBAG V2.0\n" + bytes(40))


def pairs_without_partners(path: Path) -> None:
    for side in ("rgb", "frame"):
        (path / side).mkdir(parents=True)
        image(path / side / f"{side}.png")


def required(name: str, folder: Path) -> list[str]:
    """The options that a command does not go without, with values that are good."""
    good = {
        "sensor": "depth", "out": str(folder / f"new{ENDINGS.get(name, '')}"), "camera": str(folder / "frames"),
        "data": str(folder / "frames"), "frames": str(folder / "frames"), "key": str(folder / "key"),
        "trust": str(folder / "key.pub"),
    }  # fmt: skip
    words = []
    for option in COMMANDS[name].params:
        if option.param_type_name == "option" and option.required:
            words += [option.opts[0], good[option.name]]
    return [*words, *MORE.get(name, [])]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A good one, for the other arguments."""
    return save_bundle(tmp_path_factory.mktemp("good") / "bundle").path


CASES = [
    pytest.param(name, parameter, make, id=f"{name}-{parameter.name}-{make.__name__}",
                 marks=[pytest.mark.slow] if name in NEED_TORCH else [])
    for name, parameters in TAKE.items()
    for parameter in parameters
    if parameter.name != "name"  # of a set: no path
    for make in (nothing, empty, text, image, recording, pairs_without_partners)
    if not (parameter.name == "source" and make in (image, pairs_without_partners))  # can be classified
]  # fmt: skip


@pytest.mark.parametrize(("name", "parameter", "make"), CASES)
def test_what_has_no_flag_is_given_none(
    name: str, parameter: Any, make: Callable[[Path], None], bundle: Path, tmp_path: Path
) -> None:
    """Whatever lies there, or nothing: the refusal names it, by no flag that a person could not type."""
    command = COMMANDS[name]
    (tmp_path / "frames").mkdir()
    image(tmp_path / "frames/0.png")
    wrong = tmp_path / "wrong"
    make(wrong)
    if name.startswith("bundle "):
        generate_key(tmp_path / "key")
    good = {"name": "sunrgbd", "source": str(tmp_path / "frames")}
    given = [str(wrong) if one is parameter else good.get(one.name, str(bundle)) for one in TAKE[name]]
    done = CliRunner().invoke(app, [*name.split(), *given, *required(name, tmp_path)])
    assert done.exit_code in (2, 4, 5), done.output
    assert isinstance(done.exception, SystemExit)
    error = done.stderr[done.stderr.index("error: ") :]
    assert "wrong" in error
    own = {flag for option in command.params for flag in (*option.opts, *option.secondary_opts)}
    invented = set(FLAG.findall(re.sub(r"'?tgkt-edge [^']*", "", error))) - own
    assert not invented, error


def test_messages_have_the_word_of_the_usage_line() -> None:
    done = CliRunner().invoke(app, ["data", "check", "-h"])
    assert "data check [OPTIONS] {PAIRS}" in done.stdout
    done = CliRunner().invoke(app, ["data", "check", "nowhere", "--sensor", "depth"])
    assert done.stderr.startswith("error: PAIRS nowhere: does not exist.")
    done = CliRunner().invoke(app, ["data", "range", "nowhere", "--sensor", "depth"])
    assert done.stderr.startswith("error: FRAMES nowhere: does not exist.")
    assert as_flags("`paired=nowhere`") == "--paired nowhere"  # of a command that ended nothing is left


@pytest.mark.parametrize("name", sorted(TAKE))
def test_usage_lines_name_arguments_in_capitals(name: str) -> None:
    usage = CliRunner().invoke(app, [*name.split(), "-h"]).stdout.splitlines()[0]
    words = usage.partition("[OPTIONS]")[2].split()
    assert len(words) == len(TAKE[name])
    assert all(re.fullmatch(r"\{?[A-Z_]+\}?(\.\.\.)?", word) for word in words), usage
