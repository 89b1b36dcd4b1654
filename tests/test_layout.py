"""Folders, links and imports of the checkout: what pyproject.toml declares is there; no layer reaches over another."""

from __future__ import annotations

import ast
import os
import sys
from pathlib import Path
from typing import Any

import pytest

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

LINKS = ("train", "export", "runtime")


@pytest.fixture(scope="session")
def settings(repository: Path) -> dict[str, Any]:
    values: dict[str, Any] = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf-8"))
    return values


def test_every_folder_that_holds_python_is_declared(
    repository: Path, layout: Any, settings: dict[str, Any]
) -> None:
    declared = settings["tool"]["setuptools"]["packages"]
    folders = layout.folders
    assert sorted(declared) == sorted(folders)
    assert {*layout.tops.values(), "tgkt_edge.runtime.sources", "tgkt_edge.demo"} <= set(folders)
    for name, folder in folders.items():
        assert (folder / "__init__.py").is_file(), f"{folder} would be a namespace package"
        mapped = settings["tool"]["setuptools"]["package-dir"].get(name, name.replace(".", "/"))
        assert (repository / mapped).resolve() == folder.resolve()


@pytest.mark.parametrize("name", LINKS)
def test_the_links_lead_to_the_real_folders(repository: Path, name: str) -> None:
    link = repository / "tgkt_edge" / name
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
    layout: Any, package: str, banned: tuple[str, ...]
) -> None:
    files = {name: file for name, file in layout.modules.items() if f"{name}.".startswith(f"{package}.")}
    assert len(files) > 1
    for name, file in files.items():
        bad = [used for used in imports_of(file) if any(f"{used}.".startswith(f"{no}.") for no in banned)]
        assert not bad, f"{name} imports {bad}"
