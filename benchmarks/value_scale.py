"""What the flag ``wrong_scale`` and the checks of ``adapt`` notice, for which factors, and how often without cause.

    python benchmarks/value_scale.py [--data DIR]

NYU Depth v2's task scenes (``nyuv2-5``, 814 frames) as 16-bit millimetres. The unit is learnt from half of the frames,
cut into 40 stretches of the recordings, and asked of the other half: places that were never seen; then from all kinds
of scene but one, and asked of that one. Counts are rounded after they are multiplied, so that no common divisor gives
the factor away. No network is needed; seconds. Columns:

- share of single frames that are off (promised for new frames: 1 %);
- share of windows of 50 new frames in a row that raise the flag, and of these the share whose named unit is within
  10 % of the right one;
- the same of windows of one frame, 50 times: a camera that does not move;
- what ``adapt`` does with the frames alone: nothing, a note, or a refusal.
"""

from __future__ import annotations

import argparse
import csv
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.data.levels import Levels, measure_levels
from tgkt_edge.data.value_checks import check_values
from tgkt_edge.errors import DataError
from tgkt_edge.io.images import read_frame
from tgkt_edge.monitoring.value_scale import ValueScale
from tgkt_edge.notes import LOGGER, forget_notes
from tgkt_edge.sensor import PRESETS

FACTORS = (0.1, 0.2, 0.25, 0.256, 0.4, 0.5, 0.8, 1.0, 1.25, 2.0, 2.5, 4.0, 5.0, 10.0)
TASK = ("bathroom", "bedroom", "bookstore", "classroom", "kitchen")
SPEC = PRESETS["depth"]
WINDOW = 50


def levels_of(files: Sequence[Path], factor: float) -> Levels:
    """Levels of the frames as 16-bit counts that are ``factor`` too large."""
    unit = PRESETS["nyuv2"].unit_m
    assert unit is not None
    rows = []
    for file in files:
        counts = np.rint(read_frame(file).astype(float) * unit * 1000 * factor)
        rows.append(measure_levels(np.clip(counts, 0, 65535).astype(np.uint16), SPEC))
    return np.stack(rows)


def windows(scale: ValueScale, sets: Sequence[Levels], factor: float) -> str:
    """Share of sets that raise the flag, and of these the share that is named rightly."""
    found = [scale.rescaling(levels, SPEC) for levels in sets]
    raised = [one for one in found if one is not None]
    named = [abs(np.log(one.factor / factor)) < 0.1 for one in raised]
    return f"{len(raised) / len(found):.0%}" + (f", {np.mean(named):.0%}" if raised and factor != 1 else "")


class Heard(list[str]):
    """What was noted."""

    def __call__(self, record: object) -> bool:
        self.append(str(record))
        return False


def verdict(levels: Levels) -> str:
    """What reading these frames does."""
    heard = Heard()
    forget_notes()
    LOGGER.addFilter(heard)
    try:
        check_values(levels, SPEC, "--target")
    except DataError:
        return "refused"
    finally:
        LOGGER.removeFilter(heard)
    return "noted" if heard else "-"


def table(title: str, known: Sequence[Path], new: Sequence[Path]) -> None:
    """Print one table."""
    scale = ValueScale.of(levels_of(known, 1.0), SPEC)
    assert scale is not None
    print(f"\n{title}: learnt from {len(known)} frames, asked of {len(new)}\n")
    print("| counts x | frames off | windows flagged, named right | one view flagged, named right | adapt |")
    print("|---|---|---|---|---|")
    for factor in FACTORS:
        levels = levels_of(new, factor)
        rows = [levels[start : start + WINDOW] for start in range(0, max(1, len(levels) - WINDOW + 1), 10)]
        views = [np.repeat(levels[i : i + 1], WINDOW, axis=0) for i in range(0, len(levels), 4)]
        off = float((scale.excess(levels) > 1).mean())
        cells = [f"{off:.1%}", windows(scale, rows, factor), windows(scale, views, factor), verdict(levels)]
        print(f"| {factor:g} | {' | '.join(cells)} |", flush=True)


def split(files: Sequence[Path], of: NDArray[np.bool_]) -> tuple[list[Path], list[Path]]:
    """Those that ``of`` is False and True for."""
    pairs = list(zip(files, of, strict=True))
    return [file for file, new in pairs if not new], [file for file, new in pairs if new]


def main() -> None:
    """Parse, read, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", type=Path, default=Path(os.environ.get("TGKT_EDGE_DATA", "../shared/data")))
    root = parser.parse_args().data / "nyuv2"
    with (root / "labels.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["scene"] in TASK]
    files, scenes = [root / row["depth"] for row in rows], np.array([row["scene"] for row in rows])
    table("Other stretches", *split(files, np.arange(len(files)) * 40 // len(files) % 2 == 1))
    for scene in ("bathroom", "bedroom", "kitchen"):
        table(f"Without {scene}", *split(files, scenes == scene))


if __name__ == "__main__":
    main()
