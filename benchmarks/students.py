"""Accuracy and milliseconds of target networks beside the ResNet-50. results/students.md

    PYTHONPATH=. python benchmarks/students.py --data epfl-6 nyuv2-5 --seeds 0 1 2 --size 112 --weights FILE -o WORK \\
        --student resnet50 --student timm:tf_efficientnet_lite0=lite0.pth,distill.epochs=12,distill.lr=5e-4
    PYTHONPATH=. python benchmarks/students.py ... --precision fp32  # INT8, whose gate takes minutes, another time
    PYTHONPATH=. python benchmarks/students.py ... --times-only      # on a quiet machine, with the bundles of the above

A seed draws nine tenths of the source's images and of the pairs, as in protocol (a) of ``tables.py``; the translation
is made once for each draw, and every student learns from it. What WORK holds already is not computed again, so a run
that was cut off goes on where it was; a student whose options change needs another WORK.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datasets import DataSet, open_data
from ending import run_and_exit
from feature_bench import Bench
from protocol_tables import written
from protocols import variants
from student_cells import MAX_DROP, PRECISIONS, REFERENCE, Student, cell_folder, compute_cell, finished, tried
from tables import command, machine

from tgkt_edge.benchmark.command import benchmark
from tgkt_edge.config import build_config
from tgkt_edge.io.atomic import write_json, write_text
from tgkt_edge.train.logger import RunLog

Cell = dict[str, Any]
OfSet = dict[str, dict[str, dict[str, float | None]]]
Times = dict[str, OfSet]
"""By data set, student and precision, of one measurement in turns: ``ms`` a frame, and how many times as fast as the
ResNet-50 it is (``faster``: median over the rounds; None of itself)."""

INTRODUCTION = (
    "Accuracy / balanced accuracy in percent of the exported bundle on the target frames, as `run` answers them: mean "
    "± standard deviation over seeds. A seed draws nine tenths of the source's images and of the pairs, and the random "
    "crops. *Loss*: points of accuracy / balanced accuracy below ResNet-50 in the same precision, of the same seeds. "
    "`int8-cpu` is what the gate let through; layers that it put back to float are counted. Milliseconds a frame are "
    "of ONNX Runtime with one thread, all bundles of a data set in turns in one measurement; in brackets how many "
    "times as fast as ResNet-50 in the same precision. Parameters are those of the exported graph."
)


def read_student(text: str) -> Student:
    """``NAME[=WEIGHTS][,key=value...]`` as a row."""
    first, *sets = text.split(",")
    name, _, weights = first.partition("=")
    if not name or any("=" not in one for one in sets):
        raise argparse.ArgumentTypeError(f"{text!r}: expected NAME[=WEIGHTS][,key=value...]")
    return Student(name, weights or "none", tuple(sets))


def loss(cells: Sequence[Cell], reference: Sequence[Cell], precision: str, key: str) -> float | None:
    """Mean points below the reference over the seeds that both have; None where there is none."""
    of = {cell["seed"]: cell["scores"][precision][key] for cell in reference if precision in cell["scores"]}
    apart = [
        of[cell["seed"]] - cell["scores"][precision][key]
        for cell in cells
        if precision in cell["scores"] and cell["seed"] in of
    ]
    return 100 * statistics.fmean(apart) if apart else None


def spread(values: Sequence[float]) -> str:
    """Mean ± standard deviation, in percent."""
    mean = f"{100 * statistics.fmean(values):.1f}"
    return mean if len(values) < 2 else f"{mean}±{100 * statistics.stdev(values):.1f}"


def page(
    data: Sequence[str], students: Sequence[Student], cells: Sequence[Cell], times: Times, about: Any
) -> str:
    """The Markdown file: a table a data set, and the means over data sets."""
    lines = [
        "# Target networks", "", f"{about['machine']}. Written {about['written']}.", "", "```", about["command"],
        "```", "", INTRODUCTION,
    ]  # fmt: skip
    for name in data:
        lines += ["", f"## {name}", "", *_table(name, students, cells, times.get(name, {}))]
    lines += ["", "## Mean of the data sets", "", *_means(data, students, cells, times)]
    return "\n".join(lines) + "\n"


def _of(cells: Sequence[Cell], data: str, student: str) -> list[Cell]:
    return [cell for cell in cells if cell["data"] == data and cell["student"] == student]


def _table(data: str, students: Sequence[Student], cells: Sequence[Cell], times: OfSet) -> list[str]:
    head = ["network", "starts from", "epochs", "parameters", "seeds"]
    head += [f"{what}{precision}" for precision in PRECISIONS for what in ("", "loss ", "ms ")]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    reference = _of(cells, data, REFERENCE)
    for student in students:
        mine = _of(cells, data, student.name)
        if not mine:
            continue
        row = [
            student.name, student.start, _epochs(mine[0]), f"{mine[0]['parameters'] / 1e6:.1f} M",
            " ".join(str(cell["seed"]) for cell in mine),
        ]  # fmt: skip
        for precision in PRECISIONS:
            scores = [cell["scores"][precision] for cell in mine if precision in cell["scores"]]
            keys = ("accuracy", "balanced_accuracy")
            asked = [cell for cell in mine if precision in tried(cell)]
            got = " / ".join(spread([one[key] for one in scores]) for key in keys) if scores else "not passed"
            floats = {cell["float_layers"] for cell in asked}
            allowed = {cell.get("max_drop", MAX_DROP) for cell in asked}
            if precision != "fp32" and allowed - {MAX_DROP}:
                got += f" (`--max-drop` {'/'.join(f'{value:g}' for value in sorted(allowed))})"
            if precision != "fp32" and floats != {0}:
                got += f" ({'/'.join(map(str, sorted(floats)))} layers in float)"
            if scores and len(scores) < len(mine):
                got += f" ({len(scores)} of {len(mine)} seeds)"
            below = [loss(mine, reference, precision, key) for key in keys]
            is_reference = student.name == REFERENCE or None in below
            row += [
                got if asked else "",
                "" if is_reference else " / ".join(f"{value:+.1f}" for value in below if value is not None),
                _time(times, student.name, precision),
            ]
        lines.append(f"| {' | '.join(row)} |")
    return lines


def _epochs(cell: Cell) -> str:
    return next((text.partition("=")[2] for text in cell["sets"] if text.startswith("distill.epochs=")), "")


def _time(times: OfSet, student: str, precision: str) -> str:
    found = times.get(student, {}).get(precision)
    if found is None:
        return ""
    return f"{found['ms']:.2f}" + (f" ({found['faster']:.1f}x)" if found["faster"] else "")


def _means(
    data: Sequence[str], students: Sequence[Student], cells: Sequence[Cell], times: Times
) -> list[str]:
    head = ["network"] + [
        f"{precision}: {what}" for precision in PRECISIONS for what in ("loss", "times as fast")
    ]
    lines = [f"| {' | '.join(head)} |", "|---" * len(head) + "|"]
    for student in students:
        row = [student.name]
        for precision in PRECISIONS:
            below = [
                [
                    loss(_of(cells, name, student.name), _of(cells, name, REFERENCE), precision, key)
                    for name in data
                ]
                for key in ("accuracy", "balanced_accuracy")
            ]
            known = all(value is not None for values in below for value in values)
            means = [statistics.fmean(value or 0.0 for value in values) for values in below]
            faster = [
                found["faster"]
                for name in data
                if (found := times.get(name, {}).get(student.name, {}).get(precision)) and found["faster"]
            ]
            row += [
                " / ".join(f"{value:+.1f}" for value in means) if known else "",
                f"{statistics.geometric_mean(faster):.1f}" if faster else "",
            ]
        if student.name != REFERENCE and any(row[1:]):
            lines.append(f"| {' | '.join(row)} |")
    return lines


def measure_times(work: Path, data: DataSet, students: Sequence[Student], seed: int, rounds: int) -> OfSet:
    """What :data:`Times` holds of one data set: the bundles of one seed, one thread, in turns; ResNet-50 first."""
    ready = [student for student in students if finished(work, data, student, seed)]
    ready.sort(key=lambda student: student.name != REFERENCE)
    bundles = {student.name: cell_folder(work, data, student, seed) / "bundle" for student in ready}
    result = benchmark(
        list(bundles.values()), engines=["cpu"], threads=1, rounds=rounds,
        say=lambda line: print(line, file=sys.stderr, flush=True),
    )  # fmt: skip
    names = {str(path): name for name, path in bundles.items()}
    found: OfSet = {}
    for row in result["rows"]:
        if row["round_medians_ms"]:
            found.setdefault(names[str(row["bundle"])], {})[row["precision"]] = {
                "ms": statistics.median(row["round_medians_ms"]), "faster": row["first_speed"],
            }  # fmt: skip
    return found


def main() -> int:
    """Compute cell by cell, or measure times; the page is written after each."""
    args = _parse()
    flags = {"image_size": args.size, "batch": args.batch, "weights": args.weights, "device": args.device}
    config = build_config(None, [], flags)
    data = [one for text in args.data for one in open_data(text, args.out_dir / "csv")]
    times_file = args.out_dir / "students" / "times.json"
    times: Times = json.loads(times_file.read_text(encoding="utf-8")) if times_file.is_file() else {}
    about = {"command": command("students.py"), "machine": machine(), "written": written()}
    out = args.out or args.out_dir / "students.md"

    def write() -> None:
        cells = [
            cell
            for one in data
            for student in args.student
            for seed in args.seeds
            if (cell := finished(args.out_dir, one, student, seed))
        ]
        write_text(out, page([one.name for one in data], args.student, cells, times, about))
        write_json(out.with_suffix(".json"), {"about": about, "cells": cells, "times": times})

    for one in data:
        if args.times_only:
            times[one.name] = measure_times(args.out_dir, one, args.student, args.seeds[0], args.rounds)
            write_json(times_file, times)
            write()
            continue
        missing = [
            (seed, student)
            for seed in args.seeds
            for student in args.student
            if not finished(args.out_dir, one, student, seed, args.precision, args.max_drop)
        ]
        bench = Bench(one, config, args.out_dir / "features", RunLog(None)) if missing else None
        for seed, student in missing:
            assert bench is not None
            (variant,) = variants(one, bench, "a")
            cell = compute_cell(
                args.out_dir, one, bench, variant.draw(seed), student, seed, args.calibration_frames,
                args.precision, args.max_drop,
            )  # fmt: skip
            print(f"{one.name}, {student.name}, seed {seed}: {cell['scores']}", file=sys.stderr, flush=True)
            write()
    write()
    print(out.read_text(encoding="utf-8"))
    return 0


def add_options(parser: argparse.ArgumentParser) -> None:
    """What every benchmark of target networks takes."""
    parser.add_argument("--data", nargs="+", default=["epfl-6", "nyuv2-5"])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument(
        "--student",
        type=read_student,
        action="append",
        required=True,
        metavar="NAME[=WEIGHTS][,key=value...]",
    )
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--weights", default="imagenet", help="of the ResNet-50")
    parser.add_argument("--device")
    parser.add_argument("-o", dest="out_dir", type=Path, required=True, metavar="WORK")


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    add_options(parser)
    parser.add_argument("--calibration-frames", type=int, default=512)
    parser.add_argument(
        "--precision", nargs="+", choices=PRECISIONS, default=list(PRECISIONS), help="to export and score"
    )
    parser.add_argument("--max-drop", type=float, default=MAX_DROP, help="that the gate allows INT8")
    parser.add_argument("--times-only", action="store_true", help="measure milliseconds of what WORK holds")
    parser.add_argument("--rounds", type=int, default=10, help="of --times-only")
    parser.add_argument(
        "--out", type=Path, help="Markdown file; JSON goes beside it. Default: WORK/students.md"
    )
    args = parser.parse_args()
    names = [student.name for student in args.student]
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        parser.error(
            f"--student {twice[0]}: given twice. Measure it with other weights or options in another -o"
        )
    return args


if __name__ == "__main__":
    run_and_exit(main)
