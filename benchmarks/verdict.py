"""How often the verdict without labels is right, over finished runs whose labels are known here.

    python benchmarks/verdict.py --cells WORK [WORK ...] [--run RUN=LABELS ...] -o OUT
    ... --closed nyuv2-5 epfl-6 --seeds 1 2 --size 112 --weights FILE
    ... --broken epfl-6 nyuv2-5 --seeds 0 1 --size 112 --weights FILE      first makes runs that are meant to fail

--cells takes work folders of ``tables.py``; of every finished cell (--cell-seeds: of these seeds) but those of
source-only, where there is nothing to judge, the models are asked once and what they said is kept in OUT, so that a
changed verdict is measured in seconds. --run adds any other run with a CSV or folder of labelled target frames.
--closed makes some twenty translations of features a data set and seed, poor and broken ones among them, from features
that are computed once (verdict_closed.py).
--broken trains short runs in OUT (BROKEN, and pairs that do not match) through the same machinery, which takes finished
ones over when it is started again.

The truth is the change of accuracy against source-only: helped or hurt beyond --margin, else none. A verdict is right
if it says so ("no evidence" where there is none), silent if it says "no evidence" though there was a change, and wrong
otherwise. Writes OUT/verdict.md and .json. Exit code 1 if fewer than --goal of the verdicts that commit are right.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from cells import Workshop
from datasets import DataSet, open_data
from paper_figures import Row
from verdict_closed import closed_runs
from verdict_store import evidence_of, load_evidence, save_evidence

from tgkt_edge.data.discovery import read_csv_columns
from tgkt_edge.errors import TgktEdgeError
from tgkt_edge.evaluation.evaluate import evaluate
from tgkt_edge.io.atomic import write_json, write_text
from tgkt_edge.train.report.comparison import Evidence
from tgkt_edge.train.report.verdict import judge
from tgkt_edge.train.run_folder.folder import Run

_SHORT = ("tgkt.epochs=2", "shot.epochs=2", "socket.epochs=2")
BROKEN = (
    Row("T untrained, L_kd alone", "tgkt", (*_SHORT, "tgmb.epochs=1", "tgmb.lr=1e-9", "tgkt.kd_frames=all",
                                           "tgkt.f=0", "tgkt.im=0", "tgkt.self_training=0")),
    Row("rate 30 times too large", "shot", (*_SHORT, "shot.lr=0.03", "shot.head_lr=0.3")),
    Row("statistics alone", "tgkt", (*_SHORT, "tgkt.lr=1e-9", "tgkt.head_lr=1e-9", "tgmb.epochs=1")),
    Row("pseudo-labels of the largest classes", "shot", (*_SHORT, "shot.im=0", "shot.pseudo=3",
                                                        "shot.pseudo_threshold=60")),
)  # fmt: skip
"""Runs of which at least some must hurt: a useless teacher, divergence, no learning at all, a collapse."""

SHUFFLED = Row("pairs that do not match", "socket", (*_SHORT, "socket.f=5"))


@dataclass(frozen=True)
class Shuffled(DataSet):
    """A data set whose pairs do not match: each RGB image has the frame of another scene."""

    pairs: Path = Path()

    @property
    def paired(self) -> Path:
        """CSV rgb,frame."""
        return self.pairs


@dataclass(frozen=True)
class Case:
    """A finished run and its accuracies by model, or the ``labels`` that they are measured with."""

    name: str
    run: Path
    models: dict[str, dict[str, Any]] | None = None
    labels: Path | None = None


def shuffled(data: DataSet, out: Path) -> Shuffled:
    """``data`` with every frame moved half the list on, written to ``out``."""
    rows = read_csv_columns(data.paired, "--broken", ("rgb", "frame"))
    frames = np.roll(np.array([str(file.resolve()) for file in rows["frame"]]), len(rows["rgb"]) // 2)
    lines = [f"{rgb.resolve()},{frame}" for rgb, frame in zip(rows["rgb"], frames, strict=True)]
    write_text(out, "\n".join(["rgb,frame", *lines]) + "\n")
    return Shuffled(f"{data.name}-shuffled", data.folder, out)


def make_broken(args: argparse.Namespace) -> None:
    """Train what is broken on purpose in OUT/broken; a run that diverges is told and left out."""
    flags = {"image_size": args.size, "weights": args.weights, "batch": args.batch}
    workshop = Workshop(args.out / "broken", flags=tuple(flags.items()), sets=tuple(args.set))
    for text in args.broken:
        for data in open_data(text, args.out / "csv"):
            plan: list[tuple[DataSet, Row]] = [(data, row) for row in BROKEN]
            plan.append((shuffled(data, args.out / "csv" / f"{data.name}-shuffled.csv"), SHUFFLED))
            for seed in args.seeds:
                for one, row in plan:
                    try:
                        workshop.cell(one, row, seed)
                    except TgktEdgeError as error:
                        print(f"{one.name}, {row.name}, seed {seed}: left out: {error}", file=sys.stderr)


def find_cases(
    cells: Sequence[Path], runs: Sequence[tuple[Path, Path]], seeds: Sequence[int] | None = None
) -> list[Case]:
    """Finished cells below ``cells`` (of ``seeds``; None: all) by their paths, then ``runs`` with their labels."""
    cases = []
    for root in cells:
        for file in sorted(root.rglob("cell.json")):
            cell = json.loads(file.read_text(encoding="utf-8"))
            if cell["method"] != "source-only" and (seeds is None or cell["seed"] in seeds):
                name = f"{cell['data']} {cell['method']} s{cell['seed']} {cell['digest'][:6]}"
                cases.append(Case(name, file.parent / "run", cell["models"]))
    for run, labels in runs:
        cases.append(Case(f"{run.parent.name}/{run.name}", run, labels=labels))
    return cases


def kept_evidence(run: Path, folder: Path) -> Evidence:
    """:func:`evidence_of`, asked once and kept in ``folder``."""
    file = folder / f"{_key(run)}.npz"
    if not file.is_file():
        save_evidence(file, evidence_of(Run(run)))
    return load_evidence(file)


def kept_models(case: Case, folder: Path) -> dict[str, dict[str, Any]]:
    """Accuracies by model: of the cell, or measured once and kept in ``folder``."""
    if case.models is not None:
        return case.models
    assert case.labels is not None
    file = folder / f"{_key(case.run, str(case.labels.resolve()))}.json"
    if not file.is_file():
        write_json(file, evaluate(case.run, case.labels)["models"])
    models: dict[str, dict[str, Any]] = json.loads(file.read_text(encoding="utf-8"))
    return models


def _key(run: Path, *more: str) -> str:
    told = (str(run.resolve()), (run / "report.json").stat().st_mtime_ns, *more)
    return hashlib.sha256(repr(told).encode()).hexdigest()[:16]


def truth_of(change: float, margin: float) -> str:
    """The verdict that labels would give for a change of accuracy."""
    return "helped" if change > margin else "hurt" if change < -margin else "no evidence"


def rate(verdict: str, truth: str) -> str:
    """``right``, ``silent`` (no evidence, but there was a change) or ``wrong``."""
    return "right" if verdict == truth else "silent" if verdict == "no evidence" else "wrong"


def assess(case: Case, folder: Path, margin: float) -> dict[str, Any]:
    """One row: see :func:`row_of`."""
    return row_of(case.name, kept_evidence(case.run, folder), kept_models(case, folder), margin)


def row_of(
    name: str, made_from: Evidence, models: dict[str, dict[str, Any]], margin: float
) -> dict[str, Any]:
    """The changes, the verdict, and its rate by accuracy, by balanced accuracy, and by what it speaks of."""
    verdict = judge(made_from)
    source, final = models["source-only"], models[list(models)[-1]]
    row: dict[str, Any] = {
        "run": name, "source_only": source["accuracy"], "verdict": verdict.verdict,
        "sentence": verdict.sentence, "over": verdict.over,
    }  # fmt: skip
    for key in MEASURES:
        change = final[key] - source[key]
        row[key] = {"change": change, "rate": rate(verdict.verdict, truth_of(change, margin))}
    # Where it is silent, it is right only if nothing changed by either measure.
    measures = {"frames": ("accuracy",), "classes": ("balanced_accuracy",)}.get(verdict.over, MEASURES)
    rates = [row[key]["rate"] for key in measures]
    row["own"] = {"rate": next((one for one in ("wrong", "silent", "right") if one in rates), "right")}
    return row


MEASURES = ("accuracy", "balanced_accuracy")


def summarise(rows: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """By measure: how many verdicts are right, silent and wrong; of those that are not silent, the share right."""
    found = {}
    for key in (*MEASURES, "own"):
        counts = {
            name: sum(row[key]["rate"] == name for row in rows) for name in ("right", "silent", "wrong")
        }
        spoke = counts["right"] + counts["wrong"]
        found[key] = {**counts, "runs": len(rows), "right_of_all": counts["right"] / max(1, len(rows)),
                      "spoke": sum(row["verdict"] != "no evidence" for row in rows) / max(1, len(rows)),
                      "right_where_it_spoke": counts["right"] / max(1, spoke)}  # fmt: skip
    return found


NAMES = {"accuracy": "accuracy", "balanced_accuracy": "balanced accuracy", "own": "what it speaks of"}


def markdown(rows: Sequence[dict[str, Any]], totals: dict[str, dict[str, Any]], margin: float) -> str:
    """A table of all runs, and the sums."""
    lines = [
        "| run | source-only | accuracy | balanced | verdict | over | right? |",
        "|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row['run']} | {row['source_only']:.1%} | {100 * row['accuracy']['change']:+.1f} | "
        f"{100 * row['balanced_accuracy']['change']:+.1f} | {row['verdict']} | {row['over']} | {row['own']['rate']} |"
        for row in rows
    ]
    lines += [
        "",
        (
            f"A change up to {100 * margin:.0f} points is none. `right?` goes by what the verdict says that it speaks "
            f"of: accuracy over frames, or over classes (balanced)."
        ),
        "",
    ]
    lines += [
        f"- by {NAMES[key]}: spoke in {t['spoke']:.0%}; {t['right']} of {t['runs']} right ({t['right_of_all']:.0%}), "
        f"{t['silent']} silent, {t['wrong']} wrong; right where it spoke: {t['right_where_it_spoke']:.0%}"
        for key, t in totals.items()
    ]
    return "\n".join(lines) + "\n"


def main(words: Sequence[str] | None = None) -> int:
    """Parse, make, ask, judge, write; returns the exit code."""
    args = _parse(words)
    torch.set_num_threads(args.threads)
    if args.broken:
        make_broken(args)
    rows = []
    broken = find_cases([args.out / "broken"] if args.broken else [], [])
    for case in [*find_cases(args.cells, [], args.cell_seeds), *broken, *find_cases([], args.run)]:
        try:
            rows.append(assess(case, args.out / "evidence", args.margin))
        except TgktEdgeError as error:
            print(f"{case.name}: left out: {error}", file=sys.stderr)
            continue
        print(f"{rows[-1]['run']}: {rows[-1]['verdict']}, {rows[-1]['own']['rate']}", file=sys.stderr)
    for name, made_from, models in closed_runs(args) if args.closed else ():
        rows.append(row_of(name, made_from, models, args.margin))
        print(f"{name}: {rows[-1]['verdict']}, {rows[-1]['own']['rate']}", file=sys.stderr, flush=True)
    if not rows:
        raise SystemExit(
            "no finished run: give --cells WORK of tables.py, --run RUN=LABELS, --closed or --broken"
        )
    totals = summarise(rows)
    text = markdown(rows, totals, args.margin)
    write_text(args.out / "verdict.md", text)
    write_json(args.out / "verdict.json", {"margin": args.margin, "totals": totals, "runs": rows})
    print(text)
    return 0 if totals["own"]["right_where_it_spoke"] >= args.goal else 1


def _run_and_labels(text: str) -> tuple[Path, Path]:
    run, equals, labels = text.partition("=")
    if not equals or not (Path(run) / "config.yaml").is_file() or not Path(labels).exists():
        raise argparse.ArgumentTypeError(f"{text!r}: expected RUN=LABELS, a run folder and labelled frames")
    return Path(run), Path(labels)


def _parse(words: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--cells", nargs="+", type=Path, default=[], metavar="WORK")
    parser.add_argument("--cell-seeds", type=int, nargs="+", help="of --cells only those of these seeds")
    parser.add_argument("--run", action="append", type=_run_and_labels, default=[], metavar="RUN=LABELS")
    parser.add_argument("--broken", nargs="+", default=[], metavar="DATA", help="data sets, as for tables.py")
    parser.add_argument(
        "--closed", nargs="+", default=[], metavar="DATA", help="runs in closed form, made here"
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0])
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--batch", type=int)
    parser.add_argument("--weights", default="imagenet")
    parser.add_argument("--set", action="append", default=[], help="as for adapt, for every broken run")
    parser.add_argument("--margin", type=float, default=0.02, help="change of accuracy that counts as none")
    parser.add_argument("--goal", type=float, default=0.9)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("-o", dest="out", type=Path, required=True, metavar="OUT")
    return parser.parse_args(words)


if __name__ == "__main__":
    sys.exit(main())
