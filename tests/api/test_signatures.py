"""Each command's options are the parameters of the Python function of its name, with the same defaults."""

from __future__ import annotations

import importlib
import inspect
from pathlib import Path
from typing import Any, get_args

import pytest
import typer.main

import tgkt_edge
from tgkt_edge.bundle.bundle import MODEL_FILES
from tgkt_edge.cli.choices import Precision, words
from tgkt_edge.cli.main import app
from tgkt_edge.export_options import CalibrationMethod
from tgkt_edge.runtime import ENGINES

# How a command prints its result and what it logs; and what only a program can give: streams, a way to show progress.
PRINTED = {"as_json", "json_path", "debug", "verbose", "quiet"}
FROM_PROGRAMS = {
    "run": {"out", "log", "progress"},
    "export": {"progress"},
    "record": {"log"},
    "predict": {"log"},
}
# A repeatable option gives one of what the argument lists.
PLURALS = {
    "precision": "precisions",
    "engine": "engines",
    "batch": "batches",
    "model": "models",
    "sink": "sinks",
    "update_gate": "update_gates",
}


def commands() -> dict[str, Any]:
    top: Any = typer.main.get_command(app)
    found = dict(top.commands)
    data = found.pop("data")
    bundle = found.pop("bundle")
    found.pop("source")  # its options are one object of the function: ImportOptions
    return found | {
        "prepare": data.commands["prepare"],
        "check_data": data.commands["check"],
        "import_data": data.commands["import"],
        "measure_range": data.commands["range"],
        "sign_bundle": bundle.commands["sign"],
        "verify_signature": bundle.commands["verify"],
        "generate_key": bundle.commands["keygen"],
    }


def function_of(name: str) -> Any:
    value = getattr(tgkt_edge, name)
    if inspect.ismodule(value):  # a package that can be called
        return getattr(importlib.import_module(f"tgkt_edge.api.{name}"), name)
    return value


def plain(value: Any) -> Any:
    """A default without the difference between "nothing given" of a flag and of an argument, or a path and its text."""
    value = str(value) if isinstance(value, Path) else value
    return None if isinstance(value, list | tuple) and not value else value


def test_every_command_has_a_function() -> None:
    assert set(commands()) <= set(tgkt_edge.__all__)
    assert len(commands()) == 20


@pytest.mark.parametrize("name", sorted(commands()))
def test_options_and_parameters_are_the_same(name: str) -> None:
    options = {
        PLURALS.get(one.name, one.name) if getattr(one, "multiple", False) else one.name: one
        for one in commands()[name].params
        if one.name not in PRINTED and one.name != "help"
    }
    parameters = inspect.signature(function_of(name)).parameters
    assert set(parameters) - FROM_PROGRAMS.get(name, set()) == set(options)
    for argument, option in options.items():
        required = parameters[argument].default is inspect.Parameter.empty
        assert required == option.required, argument
        if not required:
            assert plain(parameters[argument].default) == plain(option.default), argument


@pytest.mark.parametrize("name", sorted(commands()))
def test_every_parameter_is_typed_and_described(name: str) -> None:
    found = function_of(name)
    signature, text = inspect.signature(found), inspect.getdoc(found)
    assert signature.return_annotation is not inspect.Signature.empty
    assert text is not None
    for parameter in signature.parameters.values():
        assert parameter.annotation is not inspect.Parameter.empty, parameter.name
        first = (name, parameter.name) in {("run", "run"), ("audit", "run")}
        assert first or parameter.name in text, f"{name}: {parameter.name} is not described"


def test_choices_are_those_of_the_functions() -> None:
    assert [one.value for one in Precision] == list(MODEL_FILES)
    assert words([Precision.INT8_CPU, Precision.FP16]) == ["int8-cpu", "fp16"]
    assert words(None) is None
    assert words([]) is None
    from tgkt_edge.export.int8_calibration import METHODS

    assert get_args(CalibrationMethod) == tuple(METHODS)
    assert "auto" in ENGINES


def test_a_package_that_is_called_is_its_function(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("benchmark", "demo", "doctor", "export"):
        module = importlib.import_module(f"tgkt_edge.api.{name}")
        monkeypatch.setattr(module, name, lambda *given, **named: (given, named))
        assert getattr(tgkt_edge, name)("a", b=1) == (("a",), {"b": 1})
