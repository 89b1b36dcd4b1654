"""A public set that passed through macOS, Windows, a NAS and a notebook is prepared as it was when it was unpacked."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import pytest

from tests.support.public_sets import add_diml, write_noise
from tgkt_edge.data.public.prepare import prepare

LITTER = [
    "@eaDir", "#recycle", "$RECYCLE.BIN", "System Volume Information", "lost+found", "__MACOSX", ".Trash-1000",
    ".ipynb_checkpoints", "FOUND.000",
]  # fmt: skip


def litter(root: Path) -> None:
    """Beside every picture a hidden twin, in every folder system files, and copies of its files in system folders."""
    for place, _, files in list(os.walk(root)):
        folder = Path(place)
        for name in (".DS_Store", "Thumbs.db", "desktop.ini"):
            (folder / name).write_bytes(b"\0" * 40)
        for name in files:
            shutil.copy(folder / name, folder / f"._{name}")
        for name in LITTER:
            for below in (folder / name, folder / name / "copied"):
                below.mkdir(exist_ok=True)
                for file in files:
                    shutil.copy(folder / file, below / file)


def rgbnir(root: Path) -> None:
    for scene in ("country", "field", "street", "indoor"):
        for index in range(2):
            write_noise(root / scene / f"{index:04}_rgb.tiff", seed=index)
            write_noise(root / scene / f"{index:04}_nir.tiff", channels=1, seed=index)


@pytest.mark.parametrize("name", ["sunrgbd", "diml", "rgbnir"])
@pytest.mark.slow
def test_system_files_change_nothing(name: str, sun: Path, tmp_path: Path) -> None:
    root = sun
    if name != "sunrgbd":
        root = tmp_path / name
        (add_diml if name == "diml" else rgbnir)(root)
    clean = prepare(name, root, tmp_path / "clean")
    litter(root)
    dirty = prepare(name, root, tmp_path / "dirty")
    assert len(clean) == len(dirty) > 0
    files = sorted(path.relative_to(tmp_path / "clean") for path in (tmp_path / "clean").rglob("*.*"))
    assert files == sorted(path.relative_to(tmp_path / "dirty") for path in (tmp_path / "dirty").rglob("*.*"))
    for file in files:
        before, after = (tmp_path / out / file for out in ("clean", "dirty"))
        if file.suffix == ".json":
            assert {**json.loads(before.read_text()), "created": 0} == {
                **json.loads(after.read_text()),
                "created": 0,
            }
        elif before.is_file():
            assert before.read_text() == after.read_text(), file
