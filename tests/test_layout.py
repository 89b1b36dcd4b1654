"""Folders, links and imports of the checkout: what pyproject.toml declares is there; no layer reaches over another."""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.support.checkout import REPOSITORY, Layout

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

LINKS = ("train", "export", "runtime")


@pytest.fixture(scope="session")
def settings() -> dict[str, Any]:
    values: dict[str, Any] = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    return values


def test_every_folder_that_holds_python_is_declared(layout: Layout, settings: dict[str, Any]) -> None:
    declared = settings["tool"]["setuptools"]["packages"]
    folders = layout.folders
    assert sorted(declared) == sorted(folders)
    assert {*layout.tops.values(), "tgkt_edge.runtime.sources", "tgkt_edge.demo"} <= set(folders)
    for name, folder in folders.items():
        assert (folder / "__init__.py").is_file(), f"{folder} would be a namespace package"
        mapped = settings["tool"]["setuptools"]["package-dir"].get(name, name.replace(".", "/"))
        assert (REPOSITORY / mapped).resolve() == folder.resolve()


@pytest.mark.parametrize("name", LINKS)
def test_the_links_lead_to_the_real_folders(name: str) -> None:
    link = REPOSITORY / "tgkt_edge" / name
    # A zip download may hold the link as a small text file; Python then imports through package-dir alone.
    assert (os.readlink(link) if link.is_symlink() else link.read_text(encoding="utf-8")) == f"../{name}"


def imports_of(file: Path) -> set[str]:
    """Absolute names of all modules that a file imports, at any depth."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0
            found.update(f"{node.module}.{alias.name}" for alias in node.names)
    return found


@pytest.mark.parametrize(
    ("package", "banned"),
    [
        ("tgkt_edge.runtime", ("tgkt_edge.train", "tgkt_edge.export", "torch", "torchvision", "onnx")),
        ("tgkt_edge.train", ("tgkt_edge.export", "tgkt_edge.runtime", "onnx", "onnxruntime")),
    ],
)
def test_runtime_and_train_use_only_what_all_share(
    layout: Layout, package: str, banned: tuple[str, ...]
) -> None:
    files = {name: file for name, file in layout.modules.items() if f"{name}.".startswith(f"{package}.")}
    assert len(files) > 1
    for name, file in files.items():
        bad = [used for used in imports_of(file) if any(f"{used}.".startswith(f"{no}.") for no in banned)]
        assert not bad, f"{name} imports {bad}"


# From the ground up. A module imports what stands below it or in its own entry; entries of one line do not import each
# other. The longest name that begins a module's is its entry: `trt.library` finds TensorRT and `bundle` needs it,
# the rest of `trt` writes into bundles. `evaluation` is numbers; its two commands open runs and bundles, so they
# stand above both.
LAYERS = (
    ("__version__", "callable_package", "config_removed", "errors", "notes", "system.cpu"),
    ("area_averages", "library_defaults", "config_parsing", "optional_deps", "sensor"),
    ("config_sections",),
    ("alignment", "config", "preprocess", "trt.library"),
    ("io", "system"),
    ("bundle", "data", "images"),  # images: two names of io, as programs import them
    ("monitoring", "trt", "runtime.engines.base"),
    ("evaluation",),
    ("export_options",),
    ("runtime.engines", "train"),
    ("export", "runtime"),
    ("evaluation.compare_page",),
    ("evaluation.compare", "evaluation.evaluate", "evaluation.verify", "demo", "doctor"),
    ("benchmark",),
    ("api",),
    ("tgkt_edge",),  # the public functions
    ("cli",),
    ("__main__",),
)
ORDER = {name: height for height, names in enumerate(LAYERS) for name in names}


def entry_of(name: str) -> str:
    """The longest name in LAYERS that ``name``, of a module or of something in it, begins with."""
    parts = name.split(".")[1:]
    known = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
    return next((found for found in known if found in ORDER), "tgkt_edge")


def test_every_module_has_its_layer_and_every_layer_a_module(layout: Layout) -> None:
    assert {name for name in layout.modules if entry_of(name) == "tgkt_edge"} == {"tgkt_edge"}
    assert {entry_of(name) for name in layout.modules} == {*ORDER} - {"__version__"}


def test_no_module_imports_upward(layout: Layout) -> None:
    wrong = []
    for name, file in layout.modules.items():
        mine = entry_of(name)
        for used in imports_of(file):
            other = entry_of(used) if used.startswith("tgkt_edge") else mine
            if other != mine and ORDER[other] >= ORDER[mine]:
                wrong.append(f"{name} ({mine}) imports {used} ({other})")
    assert not wrong, "\n".join(sorted(wrong))


def test_no_modules_import_each_other_in_a_circle(layout: Layout) -> None:
    """Also not inside functions and for type checkers only: a circle is two modules that are one."""
    graph = {
        name: {
            max((m for m in layout.modules if f"{used}.".startswith(f"{m}.")), key=len)
            for used in imports_of(file)
            if used.startswith("tgkt_edge") and used != "tgkt_edge.__version__"
        }
        - {name}
        for name, file in layout.modules.items()
    }
    while free := [name for name, used in graph.items() if not used & graph.keys()]:
        for name in free:
            del graph[name]
    # What is left lies on circles, or above one: peel off what nobody imports.
    while top := [name for name in graph if not any(name in used for used in graph.values())]:
        for name in top:
            del graph[name]
    assert not graph, {name: sorted(used & graph.keys()) for name, used in graph.items()}
