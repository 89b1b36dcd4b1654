"""Batches of crops from a file of the cache against the same images in memory.

    python benchmarks/cache_speed.py [--frames 1000000] [--side 36] [--size 32] [--batches 1000] [--rounds 7] [-o DIR]

A file of the cache is written with random rows, and read once, so that the system keeps its pages. Then batches of
random crops of frames all over it, which is all that training asks of a store of images, are cut from the mapped file
and from a copy in memory, the same ones, in turns. `first`: the first round over the mapped file, in which pages that
lie in memory are mapped into the process. Goal: never slower than memory by more than 5 %. What training does beside
(passes through networks) takes many times as long as the crops and is not in it. A million frames of 36 pixels take
2.6 GB of disk and twice as much memory; so do 20,000 of 256 (`--frames 20000 --side 256 --size 224`).
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from tgkt_edge.data.cache.rows_file import Layout, RowsFile, create, header_of
from tgkt_edge.data.recipes import Recipe
from tgkt_edge.sensor import load_sensor
from tgkt_edge.train.batches import Store, Views, random_views

GOAL = 1.05
"""Seconds from the cache, in seconds from memory."""

BATCH = 32


def write(path: Path, frames: int, side: int) -> NDArray[np.uint16]:
    """The (frames, side, side) codes of a file of the cache, mapped."""
    recipe = Recipe("frames", side, load_sensor("depth"))
    layout = Layout.of(recipe, frames)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o666)
    file = RowsFile(path, descriptor, layout)
    create(descriptor, layout, header_of(recipe, "benchmark", frames))
    some = np.random.default_rng(0).integers(0, 65536, (256, side, side), dtype=np.uint16)
    empty = {name: np.zeros(shape, dtype) for name, (shape, dtype) in recipe.fields.items()}
    for row in range(frames):
        file.write(row, {**empty, "codes": some[row % 256]})
    file.verify()
    if file.missing:
        raise SystemExit(f"{path}: {len(file.missing)} rows were not written as they should be")
    codes: NDArray[np.uint16] = file.arrays["codes"]
    return codes


def seconds(store: Store, batches: Sequence[Views], size: int) -> float:
    """To cut all batches."""
    begin = time.perf_counter()
    for views in batches:
        store.take(views, size)
    return time.perf_counter() - begin


def measure(path: Path, frames: int, side: int, size: int, batches: int, rounds: int) -> float:
    """Print the seconds of both by round; returns the ratio of their medians."""
    codes = write(path, frames, side)
    device = torch.device("cpu")
    mapped, memory = Store(codes, device), Store(np.array(codes), device)
    rng = np.random.default_rng(1)
    found: dict[str, list[float]] = {"memory": [], "cache": []}
    first = float("nan")
    for number in range(rounds + 1):
        some = [random_views(rng, rng.integers(0, frames, BATCH), side, size) for _ in range(batches)]
        turns = [("cache", mapped), ("memory", memory)]
        took = {name: seconds(store, some, size) for name, store in (turns if number % 2 else turns[::-1])}
        if number == 0:
            first = took["cache"] / took["memory"]
            continue
        for name, value in took.items():
            found[name].append(value)
    in_memory, from_cache = (statistics.median(found[name]) for name in ("memory", "cache"))
    ratio = statistics.median(c / m for c, m in zip(found["cache"], found["memory"], strict=True))
    print(
        f"{frames:,} frames of {side} pixels, {batches} batches of {BATCH} crops of {size}: memory {in_memory:.3f} s, "
        f"cache {from_cache:.3f} s, ratio {ratio:.3f} (goal at most {GOAL}), first {first:.3f}"
    )
    return ratio


def main() -> None:
    """Parse, measure, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--side", type=int, default=36, help="of the decoded frames, pixels")
    parser.add_argument("--size", type=int, default=32, help="of the crops, pixels")
    parser.add_argument("--batches", type=int, default=1000, help="in each round")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("-o", type=Path, default=None, help="folder of the file (default: a temporary one)")
    args = parser.parse_args()
    if not 0 < args.size <= args.side or min(args.frames, args.batches, args.rounds) < 1:
        parser.error("expected a size of at most the side, and at least one frame, batch and round")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory(dir=args.o) as folder:
        measure(Path(folder) / "benchmark.rows", args.frames, args.side, args.size, args.batches, args.rounds)


if __name__ == "__main__":
    main()
