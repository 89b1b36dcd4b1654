"""Memory and seconds of the steps in closed form with very many images.

    python benchmarks/translation_scale.py [--images 10000 100000 1000000] [--columns 64] [--classes 5]

Features are drawn as they are read, ``columns`` for each of one view, in place of 3584 for each of four: what is
measured is how memory grows with the images. Each number of images has a process of its own. The answers to every
frame (K numbers, and ``translation.components`` for self-training) are in memory; nothing else may grow.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import time
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.config import TranslationConfig
from tgkt_edge.train.methods.translation.answers import teach
from tgkt_edge.train.methods.translation.features import BLOCK, Features
from tgkt_edge.train.methods.translation.fit import TaskFrames, fit, main_directions, together
from tgkt_edge.train.methods.translation.head import fit_head

Floats = NDArray[np.float32]


class Drawn(Features):
    """(n, 1, D) features around one of K centres, the same whenever they are read."""

    def __init__(self, count: int, centres: Floats, seed: int) -> None:
        super().__init__([], count)
        self._centres, self._seed = centres, seed

    def blocks(self) -> Iterator[tuple[int, Floats]]:
        """(number of the first image, (n, 1, D))."""
        for start in range(0, len(self), BLOCK):
            rng = np.random.default_rng([self._seed, start])
            n = min(BLOCK, len(self) - start)
            classes = rng.integers(0, len(self._centres), n)
            yield (
                start,
                (self._centres[classes] + rng.normal(size=(n, self._centres.shape[1]))).astype(np.float32)[
                    :, None
                ],
            )


def measure(images: int, columns: int, classes: int) -> dict[str, float]:
    """Seconds of each step, and the peak resident memory of this process in MiB before and after."""
    centres = np.random.default_rng(0).normal(size=(classes, columns)).astype(np.float32)
    found: dict[str, float] = {"images": images, "start_mib": _peak()}
    start = time.monotonic()

    def done(step: str) -> None:
        nonlocal start
        found[step] = round(time.monotonic() - start, 1)
        start = time.monotonic()

    pairs, task = Drawn(images, centres, 1), Drawn(images, centres, 2)
    frames = together(pairs, task)
    done("standardize")
    weights = fit([frames], None, Drawn(images, centres[:, :16], 3), lambda rows: rows, 100.0)
    done("ridge")
    seen = TaskFrames([frames], None)
    head = np.random.default_rng(1).normal(size=(16, classes))
    opinions = [np.concatenate([z @ head for z in seen.translated(weights)]) for _ in range(2)]
    opinions[1] = opinions[1] + np.random.default_rng(2).normal(size=opinions[1].shape)
    components = main_directions(seen, 64)
    done("answers")
    shares = np.full(classes, 1 / classes)
    taught = teach(opinions, components, shares, None, TranslationConfig(rounds=2))
    done("self-training, 2 rounds")
    fit_head(task, taught.labels, 1 / images)
    done("head")
    return {**found, "peak_mib": _peak()}


def _peak() -> float:
    return round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)


def main() -> None:
    """Measure each number of images in its own process, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--images", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--columns", type=int, default=64)
    parser.add_argument("--classes", type=int, default=5)
    parser.add_argument("--one", action="store_true", help="in this process, as JSON")
    args = parser.parse_args()
    if args.one:
        print(json.dumps(measure(args.images[0], args.columns, args.classes)))
        return
    rows = []
    for images in args.images:
        words = ["--one", "--images", images, "--columns", args.columns, "--classes", args.classes]
        command = [sys.executable, __file__, *map(str, words)]
        rows.append(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout))
    print("| " + " | ".join(rows[0]) + " |\n" + "|---" * len(rows[0]) + "|")
    for row in rows:
        print("| " + " | ".join(f"{value:g}" for value in row.values()) + " |")


if __name__ == "__main__":
    main()
