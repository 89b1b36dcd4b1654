"""Every library that the program imports is declared in pyproject.toml, where a user's pip looks for it."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkout import REPOSITORY, Layout

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

# Import name -> distributions that bring it, where the names differ.
BROUGHT_BY = {
    "cuda": {"cuda-bindings"},
    "cv2": {"opencv-python-headless"},
    "google": {"protobuf"},
    "onnxconverter_common": {"onnxconverter-common"},
    "onnxruntime": {"onnxruntime", "onnxruntime-gpu"},
    "paho": {"paho-mqtt"},
    "prometheus_client": {"prometheus-client"},
    "sklearn": {"scikit-learn"},
    "tensorrt_rtx": {"tensorrt-rtx-cu13-bindings"},
    "tensorrt_rtx_bindings": {"tensorrt-rtx-cu13-bindings"},
    "yaml": {"pyyaml"},
}
# What the system brings, JetPack and the drivers of cameras; and what is installed without its dependencies.
FROM_THE_SYSTEM = {"openni", "gi", "pyorbbecsdk"}
# For the type checker alone.
STUBS = {"tensorrt_bindings"}


def imported(file: Path) -> Iterator[tuple[str, bool]]:
    """Top-level names that a file imports, by statement or by ``require``; and whether at module level."""
    tree = ast.parse(file.read_text(encoding="utf-8"))
    top = set(map(id, tree.body))
    for node in ast.walk(tree):
        names: list[str] = []
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "require":
            first = node.args[0]
            names = [first.value] if isinstance(first, ast.Constant) and isinstance(first.value, str) else []
        for name in names:
            yield name.partition(".")[0], id(node) in top


@pytest.fixture(scope="session")
def declared() -> dict[str, set[str]]:
    """Distributions by extra, "" for all users; an extra that names another one holds it."""
    project: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text())["project"]
    lists = {"": project["dependencies"], **project["optional-dependencies"]}

    def names(extra: str) -> set[str]:
        found: set[str] = set()
        for text in lists[extra]:
            inner = re.match(r"tgkt-edge\[([\w-]+)\]", text)
            found |= names(inner[1]) if inner else {re.split(r"[\s=<>~;\[!]", text, maxsplit=1)[0]}
        return found

    return {extra: names(extra) for extra in lists}


def undeclared(layout: Layout, declared: dict[str, set[str]], *, at_module_level: bool) -> list[str]:
    wrong = []
    for module, file in layout.modules.items():
        part = module.split(".")[1:2]
        # Training and export are used with their extra only; everything else loads on a device without any.
        extras = {"train": ["train"], "export": ["export"]}.get(part[0] if part else "", [])
        known = set().union(declared[""], *(declared[extra] for extra in extras))
        if not at_module_level:
            known = set().union(*declared.values())
        for name, top in imported(file):
            own = name in sys.stdlib_module_names or name in {"tgkt_edge", "", *FROM_THE_SYSTEM, *STUBS}
            if not own and top == at_module_level and not BROUGHT_BY.get(name, {name}) & known:
                wrong.append(f"{module} imports {name}")
    return sorted(set(wrong))


def test_what_is_imported_at_once_comes_with_the_package_or_the_extra_of_its_room(
    layout: Layout, declared: dict[str, set[str]]
) -> None:
    assert undeclared(layout, declared, at_module_level=True) == []


@pytest.mark.slow
def test_what_is_imported_when_it_is_needed_comes_with_some_extra(
    layout: Layout, declared: dict[str, set[str]]
) -> None:
    assert undeclared(layout, declared, at_module_level=False) == []


@pytest.mark.slow
def test_the_extra_that_a_message_names_brings_the_library(
    layout: Layout, declared: dict[str, set[str]]
) -> None:
    calls: list[tuple[str, str, str]] = []
    for module, file in layout.modules.items():
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "require":
                given = [str(argument.value) for argument in node.args if isinstance(argument, ast.Constant)]
                if len(given) == 3:
                    calls.append((module, given[0].partition(".")[0], given[1]))
    assert len(calls) > 20
    assert [call for call in calls if not BROUGHT_BY.get(call[1], {call[1]}) & declared[call[2]]] == []


@pytest.mark.slow
def test_a_library_that_nobody_declared_would_be_noticed(
    layout: Layout, declared: dict[str, set[str]]
) -> None:
    less = {extra: names - {"scipy", "rich"} for extra, names in declared.items()}
    missing = " ".join(undeclared(layout, less, at_module_level=True))
    assert "imports scipy" in missing
    assert "imports rich" in missing
