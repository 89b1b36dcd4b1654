"""What a borrowed GPU can show within minutes: every figure in a file of its own, as soon as it is there.

    PYTHONPATH=. python benchmarks/gpu.py --minutes 8 -o results [--device cuda] [--tiny]

Jobs run one after the other, in order of worth, each a process of its own with a limit of its own, and never beyond the
minutes that are given; a cut leaves what was done. Each writes ``NN-name.json`` (state, seconds, command, figures, the
end of its output), and ``summary.md`` is written again after each. What needs a library, data or a GPU that is not
there is skipped with the reason. Nothing is installed and nothing is downloaded: a plain checkout and its torch do.

Real data is looked for where ``TGKT_EDGE_DATA`` says, with ImageNet weights in
``resnet50-imagenet1k-fp16.safetensors`` beside it. ``--tiny`` takes scenes that it renders itself, at 32 pixels: with
``--device cpu`` a dry run of about two minutes.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from gpu_jobs import ROOT, Job, Place, jobs, missing

LEAST_S = 5.0
"""Seconds that must be left for a job to begin."""

TAIL = 4000
"""Characters of a job's output that are kept."""


def perform(job: Job, left: float) -> dict[str, Any]:
    """Run a job for at most ``left`` seconds; returns what its file holds."""
    about: dict[str, Any] = {"name": job.name, "command": ["python", *job.words]}
    why = job.lacks()
    if not why and left < LEAST_S:
        why = "no time is left"
    if why:
        return {**about, "state": "skipped", "reason": why, "seconds": 0.0}
    limit, start = min(job.limit, left), time.monotonic()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}
    process = subprocess.Popen(
        [sys.executable, *job.words], cwd=ROOT, env=environment, start_new_session=True, stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace",
    )  # fmt: skip
    state, reason = "done", ""
    try:
        output, log = process.communicate(timeout=limit)
        if process.returncode:
            state, reason = "failed", f"exit code {process.returncode}"
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)  # and what it started
        output, log = process.communicate()
        state, reason = "cut", f"took longer than {limit:.0f} s"
    return {
        **about,
        "state": state,
        "reason": reason,
        "seconds": round(time.monotonic() - start, 1),
        "figures": job.figures(output),
        "output": output[-TAIL:],
        "log": log[-TAIL:],
    }


def refuse_missing(device: str) -> None:
    """Raise SystemExit where nothing could be measured: no torch, or no GPU."""
    if why := missing("torch"):
        raise SystemExit(why)
    import torch

    if device != "cpu" and not torch.cuda.is_available():
        raise SystemExit(f"--device {device}: torch sees no GPU. --device cpu --tiny tries this program out.")


def machine(device: str) -> dict[str, Any]:
    """What the figures are of."""
    import torch

    about: dict[str, Any] = {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "device": device,
        "cpus": os.cpu_count(),
    }
    if device != "cpu" and torch.cuda.is_available():
        found = torch.cuda.get_device_properties(device)
        about |= {
            "gpu": found.name,
            "memory_gib": round(found.total_memory / 2**30, 1),
            "cuda": torch.version.cuda,
        }
    return about


def summary(about: dict[str, Any], results: Sequence[dict[str, Any]]) -> str:
    """Markdown: a row a job, then the figures of each."""
    lines = ["# On a borrowed GPU", "", ", ".join(f"{key} {value}" for key, value in about.items()), ""]
    lines += ["| job | state | seconds | why |", "|---|---|---|---|"]
    lines += [f"| {one['name']} | {one['state']} | {one['seconds']} | {one['reason']} |" for one in results]
    for one in results:
        if one.get("figures") is not None:
            lines += ["", f"## {one['name']}", "", "```json", json.dumps(one["figures"], indent=1), "```"]
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run the jobs, in order, while there is time."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--minutes", type=float, default=8.0, help="all together")
    parser.add_argument(
        "-o", "--out", type=Path, required=True, help="folder for results, made where it is missing"
    )
    parser.add_argument("--work", type=Path, help="folder for runs and bundles (default: OUT/work)")
    parser.add_argument("--device", default="cuda")
    parser.add_argument(
        "--tiny", action="store_true", help="a dry run on scenes that it renders, at 32 pixels"
    )
    parser.add_argument("--only", nargs="+", default=[], help="jobs whose name begins with one of these")
    args = parser.parse_args()
    end = time.monotonic() + 60 * args.minutes
    refuse_missing(args.device)
    place = Place(args.out.resolve(), (args.work or args.out / "work").resolve(), args.device, args.tiny)
    place.work.mkdir(parents=True, exist_ok=True)
    place.out.mkdir(parents=True, exist_ok=True)
    about, results = machine(args.device), list[dict[str, Any]]()
    chosen = [job for job in jobs(place) if not args.only or job.name.startswith(tuple(args.only))]
    for number, job in enumerate(chosen, 1):
        found = perform(job, end - time.monotonic())
        results.append(found)
        (place.out / f"{number:02}-{job.name}.json").write_text(json.dumps(found, indent=1), encoding="utf-8")
        (place.out / "summary.md").write_text(summary(about, results), encoding="utf-8")
        print(f"{job.name}: {found['state']} in {found['seconds']} s {found['reason']}", flush=True)


if __name__ == "__main__":
    main()
