"""``tgkt-edge demo`` over seeds and number formats: what README promises of it, measured.

    python benchmarks/demo.py [--seeds 0 1 2 3 4] [--formats fp32 bf16] [--threads 2] [-o FOLDER] [--keep]

Every run is the whole demo: scenes of its own seed are rendered, a source model is trained from scratch, adapted,
exported and run over a clip. fp32 is computed as on a machine without AVX-512: PyTorch and oneDNN are kept to AVX2, so
that its seconds hold there. bf16 needs a CPU that computes it in hardware (AVX-512 BF16 or AMX); elsewhere give
``--formats fp32``. The records go to FOLDER/demo.jsonl, one line a run, and those found there are not run again; the
table goes to stdout as Markdown. A run takes two to five minutes on two cores.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

AVX2 = {"ATEN_CPU_CAPABILITY": "avx2", "ONEDNN_MAX_CPU_ISA": "AVX2"}
"""What keeps PyTorch and oneDNN to AVX2."""

LEAST, GAIN = 0.80, 0.15
"""What every run has to reach: accuracy of the target network, and how far above source-only."""

Record = dict[str, Any]


def main(words: Sequence[str] | None = None) -> int:
    """Run what is missing, print the table; 1 if a run missed the goal."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--formats", nargs="+", choices=("fp32", "bf16"), default=["fp32", "bf16"])
    parser.add_argument("--threads", type=int, default=None, help="threads that compute; default: all cores")
    parser.add_argument(
        "-o", "--out", type=Path, default=None, help="folder of demo.jsonl; default: a new one"
    )
    parser.add_argument("--keep", action="store_true", help="keep the runs' own folders, 0.5 GB each")
    options = parser.parse_args(words)
    out = Path(tempfile.mkdtemp(prefix="demo-")) if options.out is None else options.out
    out.mkdir(parents=True, exist_ok=True)
    records = read_records(out / "demo.jsonl")
    for precision in options.formats:
        for seed in options.seeds:
            if any((one["precision"], one["seed"]) == (precision, seed) for one in records):
                continue
            record = run_demo(out / f"{precision}-{seed}", seed, precision, options.threads)
            with (out / "demo.jsonl").open("a", encoding="utf-8") as file:
                file.write(json.dumps(record) + "\n")
            records.append(record)
            if not options.keep:
                shutil.rmtree(out / f"{precision}-{seed}")
    wanted = [one for one in records if one["precision"] in options.formats and one["seed"] in options.seeds]
    print(table(wanted))
    return 0 if all(reached(one) for one in wanted) else 1


def run_demo(folder: Path, seed: int, precision: str, threads: int | None) -> Record:
    """One demo; its accuracies from 0 to 1 and its seconds."""
    from tgkt_edge.demo.command import demo

    changed = AVX2 if precision == "fp32" else {}
    if threads is not None:
        changed = {**changed, "OMP_NUM_THREADS": str(threads), "OPENBLAS_NUM_THREADS": str(threads)}
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)  # of the commands that the demo runs
    start, cpu = time.monotonic(), cpu_seconds()
    try:
        result = demo(
            folder,
            overwrite=True,
            seed=seed,
            precision=precision,
            say=lambda line: print(line, file=sys.stderr),
        )
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value
    return {
        "precision": precision,
        "seed": seed,
        "source_only": result["models"]["source-only"]["accuracy"],
        "target": result["models"]["target"]["accuracy"],
        "clip": result["clip_accuracy"],
        "seconds": time.monotonic() - start,
        "cpu_seconds": cpu_seconds() - cpu,
    }


def cpu_seconds() -> float:
    """CPU time of this process and of the commands that have ended: on a busy machine this is what can be compared."""
    usages = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def read_records(file: Path) -> list[Record]:
    """Of earlier runs; none where there is no such file."""
    if not file.is_file():
        return []
    return [json.loads(line) for line in file.read_text(encoding="utf-8").splitlines()]


def reached(record: Record) -> bool:
    """Whether a run is above LEAST and at least GAIN above source-only."""
    return bool(record["target"] > LEAST and record["target"] - record["source_only"] >= GAIN)


def table(records: Sequence[Record]) -> str:
    """Markdown: a row a run in percent and seconds, and one with the range of each column."""
    lines = [
        "| numbers | seed | source-only | target network | clip | seconds | CPU seconds |",
        "|---|---|---|---|---|---|---|",
    ]
    columns = ("source_only", "target", "clip")
    for one in sorted(records, key=lambda record: (record["precision"], record["seed"])):
        shares = " | ".join(f"{100 * one[name]:.1f} %" for name in columns)
        lines.append(
            f"| {one['precision']} | {one['seed']} | {shares} | {one['seconds']:.0f} | {one['cpu_seconds']:.0f} |"
        )
    if records:
        ranges = [
            f"{100 * min(one[name] for one in records):.1f} to {100 * max(one[name] for one in records):.1f} %"
            for name in columns
        ]
        ranges += [
            f"{min(one[name] for one in records):.0f} to {max(one[name] for one in records):.0f}"
            for name in ("seconds", "cpu_seconds")
        ]
        lines.append(f"| range | | {' | '.join(ranges)} |")
    missed = [f"{one['precision']} seed {one['seed']}" for one in records if not reached(one)]
    if missed:
        lines += [
            "",
            f"Missed {LEAST:.0%} or {100 * GAIN:.0f} points above source-only: {', '.join(missed)}.",
        ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
