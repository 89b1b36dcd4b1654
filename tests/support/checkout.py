"""The checkout that the tests belong to."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Layout:
    """Where the packages of a checkout lie.

    Attributes:
        tops: folder beside pyproject.toml -> the name that Python knows it by.
        folders: package name -> folder, of all folders that hold Python; the links under tgkt_edge/ are not followed.
        modules: module name -> file, of everything that should be installed.
        light: names of everything but training and export: what a device imports.
    """

    tops: dict[str, str]
    folders: dict[str, Path]
    modules: dict[str, Path]
    light: list[str]


def find_layout() -> Layout:
    """The layout of this checkout, found on the disk, not in pyproject.toml."""
    tops = {"tgkt_edge": "tgkt_edge", "train": "tgkt_edge.train", "export": "tgkt_edge.export"}
    tops["runtime"] = "tgkt_edge.runtime"
    folders = {}
    for top, name in tops.items():
        for folder, _, files in os.walk(REPOSITORY / top):
            if any(file.endswith(".py") for file in files):
                parts = Path(folder).relative_to(REPOSITORY / top).parts
                folders[".".join([name, *parts])] = Path(folder)
    modules = {
        package if file.stem == "__init__" else f"{package}.{file.stem}": file
        for package, folder in folders.items()
        for file in folder.glob("*.py")
    }
    light = sorted(name for name in modules if name.split(".")[1:2] not in (["train"], ["export"]))
    return Layout(tops, folders, modules, light)
