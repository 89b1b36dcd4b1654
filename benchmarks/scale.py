"""Seconds and memory of each step of `adapt` on very many small frames, and how they grow.

    python benchmarks/scale.py [--frames 1000 10000 100000] [--only listing|reading|translation] [-o FOLDER]

Each number of frames has processes of its own. First as many empty files are listed, and what they hold is noted,
compared and forgotten: what a frame takes beside its pixels. Then frames are 16-bit PNGs that this program writes: of
32 x 24 pixels, decoded at 36 for networks of 32, so that a frame's share of memory shows beside its pixels. They are
read twice into the cache (written, then found), a network of a few layers answers to them, pseudo-labels are named,
neighbours compared, and the statistics learnt that a bundle carries. Then comes what a translation of features does
with the frames of the task, of features that this program draws: their main directions, the teacher (balanced answers,
self-training, neighbors), and the head of the network that is exported. Memory is the process's own (anonymous pages:
the mapped file's pages belong to the system, which drops them when it needs room).
"""

from __future__ import annotations

import argparse
import gc
import json
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np

SIDE, SIZE, CLASSES, WIDTH = 36, 32, 6, 256
DRAWN = 128
"""Columns of the features that are drawn; of a network there are 3584, of which none are kept."""


PARTS = ("listing", "reading", "translation")


class Peak:
    """The most anonymous memory of this process within a step, bytes, looked at every few milliseconds."""

    def __init__(self) -> None:
        self.top, self._on = anonymous(), True
        self._thread = threading.Thread(target=self._look, daemon=True)
        self._thread.start()

    def _look(self) -> None:
        while self._on:
            self.top = max(self.top, anonymous())
            time.sleep(0.02)

    def end(self) -> int:
        """Stop looking; returns the peak."""
        self._on = False
        self._thread.join()
        return max(self.top, anonymous())


def anonymous() -> int:
    """Bytes of memory that belong to this process alone."""
    for line in Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines():
        if line.startswith("RssAnon:"):
            return int(line.split()[1]) * 1024
    return 0


def write_frames(folder: Path, count: int) -> None:
    """``count`` different frames of blurred noise around six depths, in folders of a thousand."""
    import cv2

    rng = np.random.default_rng(0)
    base = rng.integers(0, 1500, (256, 24, 32)).astype(np.uint16)
    for number in range(count):
        frame = base[number % 256] + np.uint16(600 + 900 * (number % CLASSES) + number // 256 % 700)
        frame[0, :8] = 400 + (number >> np.arange(0, 24, 3) & 7)  # no two alike
        path = folder / f"{number // 1000:04d}" / f"{number:07d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(path), frame, [cv2.IMWRITE_PNG_COMPRESSION, 1])


def measure_listing(folder: Path, count: int) -> dict[str, tuple[float, float]]:
    """By step: seconds, and bytes of memory a file at its peak beyond those at the start; of the last, what stays."""
    from tgkt_edge.data.digests import FileDigests
    from tgkt_edge.data.discovery import frame_places

    for number in range(count):
        path = folder / f"{number // 1000:04d}" / f"{number:07d}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    base, start, peak = anonymous(), time.monotonic(), Peak()
    places = frame_places(folder, "`target`")
    found = {"files listed": (time.monotonic() - start, (peak.end() - base) / count)}
    start, peak = time.monotonic(), Peak()
    digests = FileDigests()
    digests.list(places)
    digests.of([file for file, _ in places])
    names = tuple(str(file) for file, _ in places)
    digests.summary()
    found["contents noted"] = (time.monotonic() - start, (peak.end() - base) / count)
    start = time.monotonic()
    del places, digests
    gc.collect()
    found["names kept"] = (time.monotonic() - start, (anonymous() - base) / len(names))
    return found


def measure(frames: Path, count: int, cache: Path) -> dict[str, tuple[float, float]]:
    """By step: seconds, and bytes of memory a frame at its peak beyond those at the start."""
    import torch
    from torch import nn

    from tgkt_edge.data.cache.cache import Cache
    from tgkt_edge.data.digests import FileDigests
    from tgkt_edge.data.loading import load_frames
    from tgkt_edge.monitoring.reference_stats import Statistics
    from tgkt_edge.sensor import load_sensor
    from tgkt_edge.train.batches import Store, batches, epoch_rng, random_views
    from tgkt_edge.train.methods.pseudo_labels import pseudo_labels
    from tgkt_edge.train.nn.device import Compute
    from tgkt_edge.train.nn.predict import predict_target
    from tgkt_edge.train.report.comparison import Evidence, compare

    torch.manual_seed(0)
    found: dict[str, tuple[float, float]] = {}
    base = anonymous()

    class Small(nn.Module):
        """Stands for a network: what it costs is not what is measured."""

        width, num_classes = WIDTH, CLASSES

        def __init__(self) -> None:
            super().__init__()
            self.pool, self.grow = nn.AdaptiveAvgPool2d(8), nn.Linear(192, WIDTH)
            self.classifier = nn.Linear(WIDTH, CLASSES)

        def features(self, x: torch.Tensor) -> torch.Tensor:
            return self.grow(self.pool(x).flatten(1)).relu()  # type: ignore[no-any-return]

    def step(name: str, start: float, peak: Peak) -> None:
        found[name] = (time.monotonic() - start, (peak.end() - base) / count)

    sensor = load_sensor("depth")
    for name in ("written", "found"):
        start, peak = time.monotonic(), Peak()
        digests = FileDigests()
        target, _ = load_frames(frames, sensor, SIDE, digests=digests, cache=Cache(cache))
        digests.summary()
        del digests
        step(f"cache {name}", start, peak)
    store, compute = Store(target.codes, torch.device("cpu")), Compute(torch.device("cpu"), "fp32")
    network = Small().eval()

    start, peak = time.monotonic(), Peak()
    rng = epoch_rng(0, "scale", 0)
    for index in batches(rng, len(store), 256):
        store.take(random_views(rng, index, store.side, SIZE), SIZE)
    step("an epoch's crops", start, peak)

    start, peak = time.monotonic(), Peak()
    features, logits = predict_target(network, store, SIZE, 256, compute)  # type: ignore[arg-type]
    step("answers", start, peak)
    start, peak = time.monotonic(), Peak()
    labels = pseudo_labels(features, logits.softmax(1))
    step("pseudo-labels", start, peak)
    start, peak = time.monotonic(), Peak()
    probabilities = logits.softmax(1).numpy()
    other = np.eye(CLASSES, dtype=np.float32)[labels.numpy()]
    compare(Evidence(tuple("abcdef"), features.numpy(), probabilities, other))
    step("neighbors", start, peak)
    del features
    start, peak = time.monotonic(), Peak()
    assert target.invalid is not None
    Statistics.of_codes(target.codes, SIZE, target.invalid, probabilities)
    step("statistics", start, peak)
    return found


def measure_translation(count: int, folder: Path) -> dict[str, tuple[float, float]]:
    """The same for the steps of a translation that see every frame of the task: features of one view, DRAWN wide."""
    import torch

    from tgkt_edge.config import TranslationConfig
    from tgkt_edge.train.methods.translation.answers import teach
    from tgkt_edge.train.methods.translation.features import BLOCK, Features
    from tgkt_edge.train.methods.translation.fit import (
        TaskFrames,
        main_directions,
        together,
        translated_logits,
    )
    from tgkt_edge.train.methods.translation.head import fit_head
    from tgkt_edge.train.nn.checkpoint import save_tensors

    rng, found = np.random.default_rng(0), {}
    kinds = rng.normal(size=(CLASSES, DRAWN))
    files = []
    folder.mkdir(parents=True, exist_ok=True)
    for first in range(0, count, BLOCK):
        numbers = np.arange(first, min(first + BLOCK, count))
        rows = kinds[numbers % CLASSES] + rng.normal(size=(len(numbers), DRAWN))
        files.append(folder / f"{first}.safetensors")
        save_tensors(files[-1], {"features": torch.from_numpy(rows[:, None]).half()}, {"kind": "features"})
    task, pairs = Features(files, count), Features(files[:2], min(count, 2 * BLOCK))
    cfg = TranslationConfig()
    # What is loaded once (scipy, BLAS) is no frame's.
    teach([rng.normal(size=(300, CLASSES))] * 2, rng.normal(size=(300, 64)), None, None, cfg)
    base = anonymous()

    def step(name: str, start: float, peak: Peak) -> None:
        found[name] = (time.monotonic() - start, (peak.end() - base) / count)

    start, peak = time.monotonic(), Peak()
    frames = TaskFrames([together(pairs, task)], None)
    components = main_directions(frames, cfg.components)
    step("main directions", start, peak)
    start, peak = time.monotonic(), Peak()
    opinions = [
        translated_logits(frames, kinds.T + rng.normal(size=(DRAWN, CLASSES)), lambda z: z) for _ in range(2)
    ]
    step("translated answers", start, peak)
    start, peak = time.monotonic(), Peak()
    labels = teach(opinions, components, np.full(CLASSES, 1 / CLASSES), None, cfg).labels
    step("teacher", start, peak)
    start, peak = time.monotonic(), Peak()
    fit_head(task, labels, cfg.head_c / count)
    step("exported head", start, peak)
    shutil.rmtree(folder)
    return found


def main() -> None:
    """Measure each number of frames in a process of its own, and print a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument(
        "-o", type=Path, default=None, help="folder for frames and cache (default: a temporary one)"
    )
    parser.add_argument("--only", choices=PARTS, help="of the parts (default: all)")
    parser.add_argument("--one", type=int, default=None, help="in this process, as JSON")
    args = parser.parse_args()
    if args.one is not None:
        if args.only == "listing":
            print(json.dumps(measure_listing(args.o / f"files-{args.one}", args.one)))
        elif args.only == "translation":
            print(json.dumps(measure_translation(args.one, args.o / f"features-{args.one}")))
        else:
            print(json.dumps(measure(args.o / f"frames-{args.one}", args.one, args.o / f"cache-{args.one}")))
        return
    folder = args.o or Path(tempfile.mkdtemp(prefix="scale-"))
    results: dict[int, dict[str, tuple[float, float]]] = {}
    try:
        for count in args.frames:
            results[count] = {}
            for part in PARTS if args.only is None else (args.only,):
                if part == "reading":
                    write_frames(folder / f"frames-{count}", count)
                command = [sys.executable, __file__, "--one", str(count), "--only", part, "-o", str(folder)]
                done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                results[count] |= json.loads(done.stdout)
                for name in ("files", "frames", "cache"):
                    shutil.rmtree(folder / f"{name}-{count}", ignore_errors=True)
            print(table(results), file=sys.stderr)
    finally:
        if args.o is None:
            shutil.rmtree(folder)
    print(table(results))


def table(results: dict[int, dict[str, tuple[float, float]]]) -> str:
    """Markdown: a row a step; seconds and KiB of memory a frame for each number of frames; the power of the frames by
    which seconds grow, and the KiB that each further frame takes between the two largest numbers."""
    counts = list(results)
    head = [f"{count:,} frames: s | KiB a frame" for count in counts]
    lines = [f"| step | {' | '.join(head)} | seconds grow as frames to the power | KiB each further frame |"]
    lines.append("|---" * (2 * len(counts) + 3) + "|")
    for name in results[counts[0]]:
        cells = [f"{results[n][name][0]:.2f} | {max(results[n][name][1], 0) / 1024:.2f}" for n in counts]
        first, last = (max(results[n][name][0], 1e-3) for n in (counts[0], counts[-1]))
        power = np.log(last / first) / np.log(counts[-1] / counts[0]) if len(counts) > 1 else float("nan")
        further = float("nan")
        if len(counts) > 1:
            before, after = (n * results[n][name][1] / 1024 for n in counts[-2:])
            further = (after - before) / (counts[-1] - counts[-2])
        lines.append(f"| {name} | {' | '.join(cells)} | {power:.2f} | {further:.2f} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
