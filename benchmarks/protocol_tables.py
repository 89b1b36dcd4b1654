"""The accuracy tables over protocols and seeds: ``tables.py --protocols``."""

from __future__ import annotations

import dataclasses
import datetime
import hashlib
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from cells import Workshop
from datasets import DataSet
from feature_bench import Bench, Draw, scores
from paper_figures import Row
from protocols import ROWS, Variant, as_data_set, closed_rows, variants

from tgkt_edge.config import AdaptConfig
from tgkt_edge.io.atomic import sha256_of, write_json, write_text
from tgkt_edge.train.logger import RunLog

Result = dict[str, Any]
"""Of one row of one draw: ``accuracy``, ``balanced_accuracy``, ``seconds``."""


def compute(
    work: Path,
    data: Sequence[DataSet],
    protocols: str,
    rows: Sequence[str],
    seeds: Sequence[int],
    config: AdaptConfig,
    workshop: Workshop,
    out: Path,
    about: dict[str, Any],
) -> str:
    """Every row of every line for every seed; what WORK holds already is taken from there. Returns the page.

    Args:
        rows: of ROWS, or ``method`` and ``name=method,key=value`` of :class:`cells.Workshop`, trained from images.
    """
    found: list[Result] = []
    for one in data:
        bench = Bench(one, config, work / "features", RunLog(None))
        for seed in seeds:
            for variant in variants(one, bench, protocols):
                draw = variant.draw(seed)
                for row, result in _results(work, one, bench, variant, draw, rows, seed, workshop):
                    found.append({"data": one.name, "line": variant.name, "title": variant.title, "seed": seed,
                                  "row": row, "frames": len(draw.scored), **result})  # fmt: skip
                    print(
                        f"{one.name}, {variant.name}, seed {seed}, {row}: {result['accuracy']:.1%} / "
                        f"{result['balanced_accuracy']:.1%} ({result['seconds']:.0f} s)",
                        file=sys.stderr, flush=True,
                    )  # fmt: skip
                text = page(found, rows, about)
                write_text(out, text)
                write_json(out.with_suffix(".json"), {"about": about, "results": found})
    return page(found, rows, about)


def _results(
    work: Path,
    data: DataSet,
    bench: Bench,
    variant: Variant,
    draw: Draw,
    rows: Sequence[str],
    seed: int,
    workshop: Workshop,
) -> list[tuple[str, Result]]:
    closed = tuple(row for row in rows if row in ROWS)
    found: dict[str, Result] = {}
    for row in closed:
        file = _file(work, data, bench, draw, row, seed)
        if file.is_file():
            found[row] = json.loads(file.read_text(encoding="utf-8"))
    start = time.monotonic()
    missing = tuple(row for row in closed if row not in found)
    for row, probabilities in closed_rows(bench, draw, seed, missing) if missing else ():
        accuracy, balanced = scores(probabilities, bench.labels[draw.scored])
        found[row] = {
            "accuracy": accuracy,
            "balanced_accuracy": balanced,
            "seconds": round(time.monotonic() - start, 1),
        }
        start = time.monotonic()
        write_json(_file(work, data, bench, draw, row, seed), found[row])
    for row in rows:
        if row not in ROWS:
            folder = work / "drawn" / data.name / f"{variant.name.replace(' ', '-')}-s{seed}"
            cell = workshop.cell(as_data_set(data, draw, folder), Row(row, row), seed)
            seconds = sum(stage["seconds"] for stage in cell["stages"].values())
            found[row] = {key: cell[key] for key in ("accuracy", "balanced_accuracy")} | {"seconds": seconds}
    return [(row, found[row]) for row in rows]


def _file(work: Path, data: DataSet, bench: Bench, draw: Draw, row: str, seed: int) -> Path:
    """Of a row in closed form: named by all that it is computed from, the program's code but not excepted."""
    told = hashlib.sha256()
    for part in dataclasses.astuple(draw):
        told.update(np.ascontiguousarray(part).tobytes())
    read = dataclasses.asdict(bench.config)
    words = [data.name, data.labelled.read_text(encoding="utf-8"), row, seed, read, _code()]
    told.update(json.dumps(words, sort_keys=True, default=str).encode())
    return work / "closed" / data.name / f"{told.hexdigest()[:20]}.json"


def _code() -> str:
    """Digest of the program's files that make a row: a change makes another row."""
    import tgkt_edge.train.methods as methods

    folder = Path(next(iter(methods.__path__)))
    files = sorted([*folder.rglob("*.py"), *Path(__file__).parent.glob("*protocols.py")])
    return hashlib.sha256("".join(sha256_of(file) for file in files).encode()).hexdigest()


INTRODUCTION = (
    "Accuracy / balanced accuracy in percent on the scored frames, one view through the network that `export` ships: "
    "mean ± standard deviation over seeds. A seed draws nine tenths of the source's images and of the pairs, or as "
    "many pairs as the line says. Labels only score; `labels` is what the same features reach with them "
    "(cross-validated by frame; on other scenes, fitted to the frames that are adapted on)."
)


def page(found: Sequence[Result], rows: Sequence[str], about: dict[str, Any]) -> str:
    """Markdown: one table a data set, a line a protocol, a column a row; mean and spread over seeds."""
    lines = [
        f"# {about['title']}", "", f"{about['machine']}. Written {about['written']}.", "", "```", about["command"],
        "```", "",
        INTRODUCTION,
    ]  # fmt: skip
    for data in dict.fromkeys(one["data"] for one in found):
        lines += ["", f"## {data}", "", f"| protocol | frames | seeds | {' | '.join(rows)} |"]
        lines.append("|---" * (3 + len(rows)) + "|")
        of_data = [one for one in found if one["data"] == data]
        for line in dict.fromkeys(one["line"] for one in of_data):
            here = [one for one in of_data if one["line"] == line]
            seeds = " ".join(str(seed) for seed in dict.fromkeys(one["seed"] for one in here))
            cells = [_cell([one for one in here if one["row"] == row]) for row in rows]
            lines.append(
                f"| ({line}) {here[0]['title']} | {here[0]['frames']} | {seeds} | {' | '.join(cells)} |"
            )
    return "\n".join(lines) + "\n"


def _cell(results: Sequence[Result]) -> str:
    if not results:
        return ""
    return " / ".join(
        _mean_and_spread([100 * one[key] for one in results]) for key in ("accuracy", "balanced_accuracy")
    )


def _mean_and_spread(values: Sequence[float]) -> str:
    spread = f"±{np.std(values, ddof=1):.1f}" if len(values) > 1 else ""
    return f"{np.mean(values):.1f}{spread}"


def written() -> str:
    """Now, in UTC."""
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds")
