"""The two real data sets of the benchmarks, written as the CSVs that a user would bring.

``nyuv2-5`` (RGB -> depth) and ``epfl-6`` (RGB -> NIR) are read from the folder in ``TGKT_EDGE_DATA``; see the
README's section on real data for what lies there and whom to cite.
"""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from pathlib import Path

NYUV2_TASK = ("bathroom", "bedroom", "bookstore", "classroom", "kitchen")
EPFL_TASK = ("country", "field", "indoor", "mountain", "street", "water")


@dataclass(frozen=True)
class DataSet:
    """CSV files of one data set, and the sensor preset of its frames."""

    name: str
    sensor: str
    source: Path  # image,label: RGB of the task
    target: Path  # frame: sensor frames of the task, no labels
    paired: Path  # rgb,frame: other scenes
    labelled: Path  # frame,label: the target frames with labels, for evaluation only


def data_root() -> Path:
    """The folder of real data, or SystemExit saying how to name one."""
    root = Path(os.environ.get("TGKT_EDGE_DATA", Path(__file__).parents[2] / "shared" / "data"))
    if not root.is_dir():
        raise SystemExit(f"no real data at {root}: set TGKT_EDGE_DATA")
    return root.resolve()


def prepare(name: str, out: Path) -> DataSet:
    """Write the CSVs of "nyuv2-5" or "epfl-6" into ``out``."""
    root = data_root()
    triples: list[tuple[Path, Path, str]] = []  # rgb, frame, scene
    task: tuple[str, ...]
    if name == "nyuv2-5":
        task, sensor = NYUV2_TASK, "nyuv2"
        with (root / "nyuv2" / "labels.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                triples.append((root / "nyuv2" / row["image"], root / "nyuv2" / row["depth"], row["scene"]))
    elif name == "epfl-6":
        task, sensor = EPFL_TASK, "nir8"
        for rgb in sorted((root / "epfl-rgbnir").glob("*/*_rgb.jpg")):
            triples.append((rgb, rgb.with_name(rgb.name.replace("_rgb", "_nir")), rgb.parent.name))
    else:
        raise SystemExit(f"unknown data set {name}: nyuv2-5 or epfl-6")
    out.mkdir(parents=True, exist_ok=True)
    inside = [triple for triple in triples if triple[2] in task]
    outside = [triple for triple in triples if triple[2] not in task]
    files = {key: out / f"{name}-{key}.csv" for key in ("source", "target", "paired", "labelled")}
    _write(files["source"], ("image", "label"), [(rgb, scene) for rgb, _, scene in inside])
    _write(files["target"], ("frame",), [(frame,) for _, frame, _ in inside])
    _write(files["paired"], ("rgb", "frame"), [(rgb, frame) for rgb, frame, _ in outside])
    _write(files["labelled"], ("frame", "label"), [(frame, scene) for _, frame, scene in inside])
    return DataSet(name, sensor, **files)


def _write(path: Path, header: tuple[str, ...], rows: list[tuple[object, ...]]) -> None:
    with path.open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(header)
        writer.writerows(rows)
