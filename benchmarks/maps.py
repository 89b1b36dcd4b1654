"""What the output ``maps`` costs: one frame with and without, of the same network, in turns. results/maps.md

    python benchmarks/maps.py [--size 224] [--rounds 40] [--threads 1]

Random weights, since time does not depend on them; the default network (layers 2, 3 and 4 pooled) and the paper's head.
Each is exported with and without maps; both files answer the same frame alternately. "plain" is the graph without maps,
"not asked for" the one that has them when only logits and probabilities are fetched, "fetched" with the maps.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import numpy as np
import onnx
import torch
from torch import nn

from tgkt_edge.export.graph import Deployed, export_onnx
from tgkt_edge.export.int8 import quantise
from tgkt_edge.export.int8_calibration import calibrate
from tgkt_edge.runtime.engines.onnxruntime import OnnxRuntimeEngine
from tgkt_edge.sensor import PRESETS
from tgkt_edge.train.nn.model import SceneClassifier

CLASSES = ("bathroom", "bedroom", "bookstore", "classroom", "kitchen")
NETWORKS: dict[str, tuple[int, ...]] = {"layers 2, 3 and 4 pooled": (2, 3, 4), "paper's head": ()}


def network(pooled: tuple[int, ...]) -> Deployed:
    """A network of random weights that answers differently to different frames."""
    torch.manual_seed(0)
    model = SceneClassifier(len(CLASSES), pooled).eval()
    if pooled:
        nn.init.normal_(model.classifier.weight, std=0.05)
    return Deployed(model)


def files(folder: Path, deployed: Deployed, size: int) -> dict[str, tuple[Path, Path]]:
    """(without maps, with) of each precision."""
    found: dict[str, tuple[Path, Path]] = {}
    pair = []
    for maps in (False, True):
        path = folder / f"fp32-{maps}.onnx"
        export_onnx(deployed, path, size, CLASSES, PRESETS["depth"], maps=maps)
        pair.append(path)
    found["fp32"] = (pair[0], pair[1])
    frames = np.random.default_rng(0).random((4, 1, size, size), dtype=np.float32)
    eight = []
    for path in pair:
        ranges = calibrate(path, frames, "minmax")
        out = path.with_name(path.name.replace("fp32", "int8-cpu"))
        onnx.save_model(quantise(path, ranges.ranges, "int8-cpu"), str(out))
        eight.append(out)
    found["int8-cpu"] = (eight[0], eight[1])
    return found


def measure(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each way, one call of each a round, the order turning."""
    names = list(ways)
    ms: dict[str, list[float]] = {name: [] for name in names}
    for number in range(-3, rounds):
        for name in names[number % 3 :] + names[: number % 3]:
            begin = time.perf_counter()
            ways[name]()
            if number >= 0:
                ms[name].append(1e3 * (time.perf_counter() - begin))
    return ms


def processor() -> str:
    """The CPU's own name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    return next(
        (line.partition(":")[2].strip() for line in lines if line.startswith("model name")),
        platform.machine(),
    )


def main() -> None:
    """Measure, and print the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    given = parser.parse_args()
    command = (
        f"python benchmarks/maps.py --size {given.size} --rounds {given.rounds} --threads {given.threads}"
    )
    print(f"# What maps cost\n\n`{command}` on {processor()}:")
    print("milliseconds of one frame on ONNX Runtime, the median and in brackets the fastest of all rounds.")
    print("Shares compare the fastest; what is left of other work on the machine is about one per cent.\n")
    print(
        "| network | precision | plain | not asked for | fetched | not asked for / plain | fetched / plain |"
    )
    print("|---|---|---|---|---|---|---|")
    frame = np.random.default_rng(1).random((1, 1, given.size, given.size), dtype=np.float32)
    for name, pooled in NETWORKS.items():
        with tempfile.TemporaryDirectory() as folder:
            for precision, paths in files(Path(folder), network(pooled), given.size).items():
                plain, mapped = (
                    OnnxRuntimeEngine(path, given.size, CLASSES, ["CPUExecutionProvider"], given.threads)
                    for path in paths
                )
                ways: dict[str, Callable[[], object]] = {
                    "plain": partial(plain.infer, frame),
                    "not asked for": partial(mapped.infer, frame),
                    "fetched": partial(mapped.infer_maps, frame),
                }
                ms = measure(ways, given.rounds)
                cells = [f"{statistics.median(one):.2f} ({min(one):.2f})" for one in ms.values()]
                ratios = [min(ms[way]) / min(ms["plain"]) - 1 for way in ("not asked for", "fetched")]
                shares = [f"{100 * ratio:+.1f} %" for ratio in ratios]
                print(f"| {name} | {precision} | {' | '.join([*cells, *shares])} |", flush=True)


if __name__ == "__main__":
    main()
