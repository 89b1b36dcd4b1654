"""The paper's tables: data sets x methods x seeds, in one process, taken up again where it was stopped.

    python benchmarks/tables.py --data nyuv2-5 epfl-6 --methods source-only shot socket tgmb tgkt --seeds 0 1 2 \\
        --size 112 --epochs 12 --weights FILE -o WORK [--out results.md]
    ... --row "pixels=tgkt,translator=pixels"   a further row: a method, and what is set for it
    ... --rows table5 --config paper     the rows of the paper's Table 4, 5, 6 or 7
    ... --epochs 12 --stages tgmb tgkt   12 epochs for these stages, the usual number for the others

    python benchmarks/tables.py --protocols abcd --data nyuv2-5 epfl-6 --closed source-only "BN statistics" translate \
        default labels --seeds 0 1 2 --size 112 --weights FILE -o WORK [--methods shot socket tgmb]

--protocols: transductive (a), other scenes (b), shifted class shares (c), fewer pairs (d), few labels (e); see
protocols.py. Rows of --closed are computed from features that are extracted once and kept in WORK; --methods are
trained from the images that a seed draws, as always.

--data takes nyuv2-5, epfl-6, a folder that ``tgkt-edge data prepare`` wrote, or NAME:SRC to prepare one: with
``--data sunrgbd:SUNRGBD`` this runs the paper's 16 tasks. Finished cells in WORK are not computed again, unfinished
ones are resumed; a source model is trained once for each seed and shared by all rows, a translation net by all rows
whose options for it agree. The Markdown file and its JSON twin are written again after every cell. Exit code 1 if a
cell failed.
"""

from __future__ import annotations

import argparse
import datetime
import itertools
import os
import platform
import re
import shlex
import sys
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from cells import Workshop
from datasets import DataSet, open_data
from ending import run_and_exit
from paper_figures import RUNNABLE, TABLES, Row
from protocol_tables import compute, written
from protocols import ROWS
from table_text import Cells, Failures, margins, markdown, summarise

from tgkt_edge import __version__
from tgkt_edge.config import AdaptConfig, build_config
from tgkt_edge.errors import TgktEdgeError
from tgkt_edge.io.atomic import write_json, write_text

LETTERS = ["".join(some) for n in range(1, 6) for some in itertools.combinations("abcde", n)]

NOTES = {
    "epfl-6": "RGB -> NIR, 152 frames. The paper's figures are for all 315 of its set; this is the part at hand.",
    "nyuv2-5": "RGB -> depth, 814 frames of five scenes. The paper does not use this split.",
}


def read_row(text: str) -> Row:
    """``NAME=METHOD[,section.key=value...]``. Raises ArgumentTypeError."""
    name, equals, rest = text.partition("=")
    method, *sets = rest.split(",")
    if not equals or not name or method not in RUNNABLE:
        raise argparse.ArgumentTypeError(
            f"{text!r}: expected NAME=METHOD,key=value,... with a METHOD of {', '.join(RUNNABLE)}"
        )
    return Row(name, method, tuple(sets))


def command(program: str = "tables.py") -> str:
    """What was typed, without the folders that only this machine has."""
    words = [re.sub(r"(^|[=:])/[^,=]*/", r"\1", word) for word in sys.argv[1:]]
    return f"python benchmarks/{program} " + shlex.join(words)


def machine() -> str:
    """CPU, cores, threads, memory, GPU and versions, in words."""
    import torch

    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        names = [
            line.partition(":")[2].strip() for line in info.read_text().splitlines() if "model name" in line
        ]
        model = names[0] if names else model
    words = [
        f"{model}, {os.cpu_count()} cores, {torch.get_num_threads()} threads for training",
        f"Python {platform.python_version()}, torch {torch.__version__}, tgkt-edge {__version__}",
    ]
    if torch.cuda.is_available():
        words.insert(0, torch.cuda.get_device_name())
    return ", ".join(words)


def stages_with_epochs() -> list[str]:
    """Sections of AdaptConfig that are trained for a number of epochs; without ``continuing``, which no row is."""
    default = AdaptConfig()
    names = [item.name for item in fields(default) if hasattr(getattr(default, item.name), "epochs")]
    return [name for name in names if name != "continuing"]


def epochs_of(epochs: int | None, stages: Sequence[str] | None) -> tuple[str, ...]:
    """``--set`` texts for ``--epochs`` and ``--stages``; without ``stages`` it is all of them.

    Raises SystemExit: stages without a number of epochs, which would be ignored.
    """
    if epochs is None:
        if stages:
            raise SystemExit(f"--stages {' '.join(stages)}: for how many epochs? Give --epochs N, too")
        return ()
    return tuple(f"{name}.epochs={epochs}" for name in stages or stages_with_epochs())


def main() -> int:
    """Parse, compute cell by cell, write; returns the exit code."""
    args = _parse()
    rows = [Row(name, name) for name in args.methods] + args.row
    rows += [row for name in args.rows for row in TABLES[name]]
    doubled = sorted({row.name for row in rows if [other.name for other in rows].count(row.name) > 1})
    if args.protocols:
        return _protocols(args)
    if not rows or doubled:
        raise SystemExit(
            f"rows of one name: {', '.join(doubled)}" if doubled else "no row: give --methods or --rows"
        )
    data = [one for text in args.data for one in open_data(text, args.out_dir / "csv")]
    names = [one.name for one in data]
    if len(set(names)) < len(names):
        raise SystemExit(f"two data sets of one name: {', '.join(sorted(names))}. Rename a folder.")
    for one in data:
        one.check()
    flags = {"image_size": args.size, "batch": args.batch, "weights": args.weights}
    flags |= {"device": args.device, "precision": args.precision}
    sets = (*epochs_of(args.epochs, args.stages), *args.set)
    workshop = Workshop(args.out_dir, args.config, tuple(flags.items()), sets)
    for row in rows:
        workshop.options(row, args.seeds[0])  # a bad --set is refused before anything is computed

    cells: Cells = {}
    failures: Failures = {}
    out = args.out or args.out_dir / "results.md"
    for seed in args.seeds:
        for one in data:
            for row in rows:
                where = f"{one.name}, {row.name}, seed {seed}"
                try:
                    cell = workshop.cell(one, row, seed)
                except TgktEdgeError as error:
                    failures.setdefault((one.name, row.name), []).append(f"seed {seed} failed: {error}")
                    print(f"{where}: FAILED: {error}", file=sys.stderr, flush=True)
                else:
                    cells.setdefault((one.name, row.name), []).append(cell)
                    print(
                        f"{where}: {cell['accuracy']:.1%} / {cell['balanced_accuracy']:.1%}"
                        f"{' (finished before)' if cell.get('again') else ''}",
                        file=sys.stderr, flush=True,
                    )  # fmt: skip
                text = _write(out, args, data, rows, cells, failures)
    print(text)
    return 1 if failures else 0


def _protocols(args: argparse.Namespace) -> int:
    if args.row or args.rows:
        raise SystemExit("--protocols takes rows of --closed and --methods; give no --row and no --rows")
    flags = {"image_size": args.size, "batch": args.batch, "weights": args.weights}
    flags |= {"device": args.device, "precision": args.precision}
    sets = (*epochs_of(args.epochs, args.stages), *args.set)
    config = build_config(args.config, sets, flags)
    workshop = Workshop(args.out_dir, args.config, tuple(flags.items()), sets)
    data = [one for text in args.data for one in open_data(text, args.out_dir / "csv")]
    about = {"title": args.label, "command": command(), "machine": machine(), "written": written()}
    rows = (*args.closed, *args.methods)
    out = args.out or args.out_dir / "protocols.md"
    print(compute(args.out_dir, data, args.protocols, rows, args.seeds, config, workshop, out, about))
    return 0


def _write(
    out: Path,
    args: argparse.Namespace,
    data: list[DataSet],
    rows: list[Row],
    cells: Cells,
    failures: Failures,
) -> str:
    names = [one.name for one in data]
    records, leads = summarise(cells, failures, names, rows), margins(cells, names, rows)
    about: dict[str, Any] = {
        "title": args.label,
        "command": command(),
        "machine": machine(),
        "written": datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="seconds"),
        "notes": {name: NOTES[name] for name in names if name in NOTES},
        "settings": [f"{row.name}: {row.method}, {' '.join(row.sets)}" for row in rows if row.sets],
    }
    text = markdown(about, records, leads)
    write_text(out, text)
    every = [cell for of_seeds in cells.values() for cell in of_seeds]
    write_json(out.with_suffix(".json"), {"about": about, "rows": records, "margins": leads, "cells": every})
    return text


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--data", nargs="+", required=True)
    parser.add_argument("--methods", nargs="+", default=[], choices=RUNNABLE)
    parser.add_argument(
        "--row", action="append", default=[], type=read_row, metavar="NAME=METHOD,key=value,..."
    )
    parser.add_argument("--rows", nargs="+", default=[], choices=tuple(TABLES))
    parser.add_argument(
        "--protocols", default="", choices=LETTERS, help="such as abcde: the tables by protocol"
    )
    parser.add_argument("--closed", nargs="+", default=list(ROWS), choices=ROWS, help="rows of --protocols")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--epochs", type=int, help="of every stage, or of those of --stages")
    parser.add_argument(
        "--stages", nargs="+", choices=stages_with_epochs(), help="those --epochs is for; default: all"
    )
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--device")
    parser.add_argument("--precision")
    parser.add_argument("--config", help="as for adapt, e.g. paper")
    parser.add_argument("--set", action="append", default=[], help="as for adapt, for every row")
    parser.add_argument("-o", dest="out_dir", type=Path, required=True, metavar="WORK")
    parser.add_argument(
        "--out", type=Path, help="Markdown file; JSON goes beside it. Default: WORK/results.md"
    )
    parser.add_argument("--label", default="Results", help="title of the page")
    return parser.parse_args()


if __name__ == "__main__":
    run_and_exit(main)
