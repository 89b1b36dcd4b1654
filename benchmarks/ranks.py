"""Images per second of training on several CPU processes of one thread each, against one process of one thread.

    python benchmarks/ranks.py [--ranks 2] [--size 112] [--batch 32] [--steps 6] [--rounds 3] [--json FILE]

The same steps of the source stage (a ResNet-50 in float32, on random images that lie decoded in memory) are done by one
process and by ``torchrun``'s, in turns, so that what else runs on the machine meets both. Each turn times its steps
after two that warm up; printed are the medians and their ratio. In the same turns as many processes train apart, each a
part of the batch and nothing exchanged: what the cores, which share memory and clock, give at most. What is lost beside
that are the exchanged gradients (25 million numbers a step) and statistics of 53 batch norms, where each waits for all.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

CLASSES, WARM = 6, 2
ROOT = Path(__file__).resolve().parents[1]


def measure(size: int, batch: int, steps: int, seconds: Callable[[], float]) -> float | None:
    """Images a second of this process together with the ranks beside it; None where it is not the first.

    Args:
        seconds: what counts them.
    """
    import torch

    from tgkt_edge.config import build_config
    from tgkt_edge.data.loading import Images
    from tgkt_edge.preprocess import resize_side
    from tgkt_edge.train.logger import RunLog
    from tgkt_edge.train.methods.source import train_source
    from tgkt_edge.train.nn.device import Compute
    from tgkt_edge.train.nn.ranks import open_ranks
    from tgkt_edge.train.resume_state import StageState

    torch.set_num_threads(1)
    device = torch.device("cpu")
    ranks = open_ranks(device)
    rng, side = np.random.default_rng(0), resize_side(size)
    rgb = rng.integers(0, 256, (batch, side, side, 3), dtype=np.uint8)
    images = Images(rgb, rng.integers(0, CLASSES, batch), tuple("abcdef"), tuple(map(str, range(batch))))
    config = build_config(
        None,
        ["weights=none", f"source.epochs={WARM + steps}"],
        {"image_size": size, "batch": batch, "device": "cpu", "precision": "fp32"},
    )

    class Clock(StageState):
        """Saves nothing, and keeps when each epoch, of one step here, ended."""

        ends: list[float]

        def save(self, *_: object, **__: object) -> None:
            self.ends.append(seconds())

    state = Clock(None, 1e9)
    state.ends = []
    train_source(images, config, Compute(device, "fp32", ranks), RunLog(None), state)
    return steps * batch / (state.ends[-1] - state.ends[WARM - 1]) if ranks.first else None


def turn(args: argparse.Namespace, processes: int, together: bool) -> float:
    """Images a second of all processes, which train one network together, or each its own on a part of the batch."""
    launch = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", processes)
    batch = args.batch if together else args.batch // processes
    words = ["--size", args.size, "--batch", batch, "--steps", args.steps]
    words += ["--cpu-seconds"] if args.cpu_seconds else []
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    with tempfile.TemporaryDirectory() as folder:
        files = [Path(folder) / f"{number}.json" for number in range(1 if together else processes)]
        begun = [
            subprocess.Popen(
                [
                    sys.executable,
                    *map(str, launch if together and processes > 1 else ()),
                    *map(str, (__file__, "--one", file, *words)),
                ],
                env=environment,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
            )
            for file in files
        ]
        said = [process.communicate()[1] for process in begun]
        if any(process.returncode for process in begun):
            sys.exit("".join(said))
        return sum(float(json.loads(file.read_text())) for file in files)


def main() -> None:
    """One process, several together and several apart in turns, then the medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ranks", type=int, default=2)
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--batch", type=int, default=32, help="of all ranks together")
    parser.add_argument("--steps", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument(
        "--cpu-seconds",
        action="store_true",
        help="of the first process in place of the clock's: for a machine that does other work, too",
    )
    parser.add_argument("--json", type=Path, help="file for the figures")
    parser.add_argument("--one", type=Path, help="measure in this process, into this file")
    args = parser.parse_args()
    if args.one is not None:
        seconds = time.process_time if args.cpu_seconds else time.perf_counter
        found = measure(args.size, args.batch, args.steps, seconds)
        if found is not None:
            args.one.write_text(json.dumps(found))
        return
    kinds = {"one": (1, True), "together": (args.ranks, True), "apart": (args.ranks, False)}
    rates: dict[str, list[float]] = {name: [] for name in kinds}
    for _ in range(args.rounds):
        for name, kind in kinds.items():
            rates[name].append(turn(args, *kind))
            print(f"{name}: {rates[name][-1]:.2f} images/s", file=sys.stderr)
    one, together, apart = (statistics.median(found) for found in rates.values())
    print(
        f"source, {args.size} pixels, batch {args.batch}, float32, {os.cpu_count()} cores"
        f"{', seconds of the first process' if args.cpu_seconds else ''}"
    )
    print(
        f"1 process: {one:.2f} images/s; {args.ranks} processes of one thread: {together:.2f}, "
        f"{together / one:.2f} times; apart: {apart:.2f}, {apart / one:.2f} times"
    )
    if args.json:
        args.json.write_text(json.dumps({**rates, "speed_up": together / one, "most": apart / one}))


if __name__ == "__main__":
    main()
