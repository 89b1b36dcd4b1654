"""The real data sets of the benchmarks, by name: those in ``TGKT_EDGE_DATA``, and what ``data prepare`` writes.

``nyuv2-5`` (RGB -> depth) and ``epfl-6`` (RGB -> NIR) lie in the folder in ``TGKT_EDGE_DATA``; docs/public-data.md
says what that is and whom to cite. ``PYTHONPATH=. python benchmarks/datasets.py NAME FOLDER`` prepares one into
FOLDER/NAME.
"""

from __future__ import annotations

import argparse
import os
from dataclasses import dataclass
from pathlib import Path

from tgkt_edge.data.discovery import read_csv_columns
from tgkt_edge.data.public.prepare import prepare as prepare_data

SETS = {"nyuv2-5": ("nyuv2", "nyuv2"), "epfl-6": ("rgbnir", "epfl-rgbnir")}
"""Our name: its reader, and its folder in TGKT_EDGE_DATA."""


@dataclass(frozen=True)
class DataSet:
    """Files of one prepared data set."""

    name: str
    folder: Path

    @property
    def source(self) -> Path:
        """CSV image,label: RGB of the task."""
        return self.folder / "source.csv"

    @property
    def target(self) -> Path:
        """CSV frame: sensor frames of the task, no labels."""
        return self.folder / "target.csv"

    @property
    def paired(self) -> Path:
        """CSV rgb,frame: other scenes."""
        return self.folder / "paired.csv"

    @property
    def labelled(self) -> Path:
        """CSV frame,label: the target frames with labels, for evaluation only."""
        return self.folder / "labels.csv"

    def check(self) -> None:
        """Refuse labels of other classes than the source's before hours are spent on it: SystemExit or DataError."""
        known = set(read_csv_columns(self.source, "--data", ("image",), ("label",))["label"])
        told = set(read_csv_columns(self.labelled, "--data", ("frame",), ("label",))["label"])
        if told - known:
            raise SystemExit(
                f"{self.labelled}: labels that no image of {self.source} has: {', '.join(sorted(told - known))}. "
                f"It has {', '.join(sorted(known))}."
            )

    @property
    def sensor(self) -> str:
        """What a frame means: a YAML file, as ``--sensor`` takes it."""
        return str(self.folder / "sensor.yaml")


def data_root() -> Path:
    """The folder of real data, or SystemExit saying how to name one."""
    root = Path(os.environ.get("TGKT_EDGE_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not root.is_dir():
        raise SystemExit(f"no real data at {root}: set TGKT_EDGE_DATA")
    return root.resolve()


def prepare(name: str, out: Path) -> DataSet:
    """Prepare "nyuv2-5" or "epfl-6" into ``out/name``, unless it is there."""
    if name not in SETS:
        raise SystemExit(
            f"unknown data set {name}: {' or '.join(SETS)}, or a folder that 'data prepare' wrote"
        )
    reader, folder = SETS[name]
    return _prepared(reader, data_root() / folder, out / name, name)[0]


def open_data(text: str, out: Path) -> list[DataSet]:
    """What ``--data`` names: a set by name, a prepared folder, or ``NAME:SRC`` for ``data prepare NAME SRC``.

    Args:
        out: where ``NAME:SRC`` is prepared; ``sunrgbd:SRC`` gives every pair of cameras: 16 tasks if four are there.
    """
    folder = Path(text)
    if (folder / "prepare.json").is_file():
        return [DataSet(folder.resolve().name, folder)]
    if folder.is_dir() and (many := sorted(folder.glob("*/prepare.json"))):
        return [DataSet(file.parent.name, file.parent) for file in many]
    reader, colon, src = text.partition(":")
    if colon:
        return _prepared(reader, Path(src), out / reader, reader)
    return [prepare(text, out)]


def _prepared(reader: str, src: Path, folder: Path, name: str) -> list[DataSet]:
    if not folder.exists():
        prepare_data(reader, src, folder)
    if (folder / "prepare.json").is_file():
        return [DataSet(name, folder)]
    return [DataSet(file.parent.name, file.parent) for file in sorted(folder.glob("*/prepare.json"))]


def main() -> None:
    """Prepare one data set."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("name", choices=SETS)
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    prepare(args.name, args.folder)


if __name__ == "__main__":
    main()
