"""Images per second of each training stage against a bare loop of the same forward and backward passes.

    python benchmarks/train_overhead.py [--size 112] [--batch 32] [--rounds 3] [--precision fp32] [--json FILE]

The bare loop repeats, on one resident batch, only what the stage must compute: no data, no augmentation, no optimiser,
no logging. Stage and bare loop alternate within one process; printed is the median of each and their ratio. Passes:

- source: the network forward and backward.
- tgmb: T on TI and TR frames, F_s on the translations, both forward and backward; F_s on TI RGB forward.
- tgkt: F_t on TI and TR frames forward and backward; T and F_s on TR, F_s on TI RGB forward; once an epoch F_t on every
  target frame forward, for the pseudo-labels; and once a stage F_t, and twice T and F_s, on every target frame forward,
  for the batch-norm statistics and the teacher's classes. (A stage of 15 epochs does the last part once, too.)
- student (the default method's tgkt): F_t on every target frame forward and backward; once an epoch, and twice a stage,
  a network on every target frame forward.
"""

from __future__ import annotations

import argparse
import copy
import dataclasses
import json
import platform
import statistics
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from tgkt_edge.config import build_config
from tgkt_edge.data.loading import Images
from tgkt_edge.preprocess import resize_side
from tgkt_edge.train.batches import Store
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods.source import train_source
from tgkt_edge.train.methods.student import train_student
from tgkt_edge.train.methods.tgkt import train_tgkt
from tgkt_edge.train.methods.tgmb import train_tgmb
from tgkt_edge.train.nn.device import open_compute
from tgkt_edge.train.nn.model import SceneClassifier, Translator, frozen, normalise
from tgkt_edge.train.resume_state import StageState

CLASSES = 6


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--size", type=int, default=112)
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--steps", type=int, default=6, help="steps a round")
    parser.add_argument("--epochs", type=int, default=2, help="epochs a round")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument(
        "--compile",
        action="store_true",
        help="instead: the bare loop of source by torch.compile (first column) against itself",
    )
    parser.add_argument("--json", type=Path, help="file for the figures, written after each stage")
    args = parser.parse_args()
    flags = {"image_size": args.size, "batch": args.batch, "device": args.device, "precision": args.precision}
    config = build_config(
        None,
        ["weights=none", *(f"{name}.epochs={args.epochs}" for name in ("source", "tgmb", "tgkt", "student"))],
        flags,
    )
    compute = dataclasses.replace(open_compute(config), compiles=args.compile)
    rng = np.random.default_rng(0)
    n, side = args.batch * args.steps, resize_side(args.size)
    codes = rng.integers(0, 65536, (n, side, side)).astype(np.uint16)
    rgb = rng.integers(0, 256, (n, side, side, 3)).astype(np.uint8)
    images = Images(rgb, rng.integers(0, CLASSES, n), tuple("abcdef"), tuple(map(str, range(n))))
    torch.manual_seed(0)
    source = compute.place(SceneClassifier(CLASSES).eval())
    learner = copy.deepcopy(source).train()
    frozen(source)
    translator = compute.place(Translator())
    frames, paired, photos = (
        Store(codes, compute.device),
        Store(codes, compute.device),
        Store(rgb, compute.device),
    )
    state, log = StageState(None, 1e9), RunLog(None)
    x = normalise(torch.rand(args.batch, 3, args.size, args.size, device=compute.device))
    both = torch.cat([x, x]).contiguous(memory_format=torch.channels_last)

    def bare_source(network: torch.nn.Module = learner) -> None:
        for _ in range(args.epochs * args.steps):
            with compute.autocast():
                loss = network(x).float().sum()
            loss.backward()

    def bare_tgmb() -> None:
        translator.train().requires_grad_(True)
        for _ in range(args.epochs * args.steps):
            with compute.autocast():
                loss = source(translator(both)).float().sum()
                with torch.no_grad():
                    source.features(x)
            loss.backward()

    def bare_tgkt() -> None:
        frozen(translator)
        with torch.no_grad(), compute.autocast():
            for _ in range(args.steps):
                source(x)
                source(translator(x))
                source(translator(x))
        for _ in range(args.epochs * args.steps):
            with compute.autocast():
                with torch.no_grad():
                    source(translator(x))
                    source.features(x)
                loss = learner.features(x).float().sum() + learner(x).float().sum()
            loss.backward()
            learner.eval()
            with torch.no_grad(), compute.autocast():
                learner(x)
            learner.train()

    def bare_student() -> None:
        for _ in range(args.epochs):
            learner.eval()
            with torch.no_grad(), compute.autocast():
                for _ in range(args.steps):
                    learner(x)
            learner.train()
            if config.student.norms == "frozen":
                for module in learner.modules():
                    if isinstance(module, torch.nn.BatchNorm2d):
                        module.eval()
            for _ in range(args.steps):
                with compute.autocast():
                    loss = learner(x).float().sum()
                loss.backward()
        with torch.no_grad(), compute.autocast():
            for _ in range(2 * args.steps):
                source(x)

    soft = rng.dirichlet(np.ones(CLASSES), n)
    shares = np.full(CLASSES, 1 / CLASSES)
    stages: dict[str, tuple[Callable[[], object], Callable[[], object]]] = {
        "source": (lambda: train_source(images, config, compute, log, state), bare_source),
        "tgmb": (lambda: train_tgmb(source, frames, photos, paired, config, compute, log, state), bare_tgmb),
        "tgkt": (
            lambda: train_tgkt(source, translator, frames, photos, paired, config, compute, log, state),
            bare_tgkt,
        ),
        "student": (
            lambda: train_student(source, frames, soft, soft, shares, config, compute, log, state),
            bare_student,
        ),
    }
    print(
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
    )
    print(
        f"{compute.device} {compute.precision}, {args.size} pixels, "
        f"batch {args.batch}, {args.rounds} rounds of {args.epochs} epochs of {n} images"
    )
    if args.compile:
        compute.learner(compiled := copy.deepcopy(learner))
        stages = {"source": (lambda: bare_source(compiled), bare_source)}
    figures: dict[str, dict[str, float | None]] = {}
    print(f"{'stage':<8}{'stage img/s':>14}{'bare img/s':>14}{'ratio':>8}")
    for name, (stage, bare) in stages.items():
        seconds: dict[str, list[float]] = {"stage": [], "bare": []}
        compute.reset_memory()
        for turn in range(args.rounds + 1):
            for key, work in (("stage", stage), ("bare", bare)):
                start = time.perf_counter()
                work()
                if compute.device.type == "cuda":
                    torch.cuda.synchronize(compute.device)
                if turn:  # the first round warms up
                    seconds[key].append(time.perf_counter() - start)
        rate = {key: args.epochs * n / statistics.median(values) for key, values in seconds.items()}
        print(
            f"{name:<8}{rate['stage']:>14.1f}{rate['bare']:>14.1f}{rate['stage'] / rate['bare']:>8.3f}",
            flush=True,
        )
        figures[name] = {**rate, "peak_bytes": compute.peak_memory()}
        if args.json:
            args.json.write_text(json.dumps(figures))


if __name__ == "__main__":
    main()
