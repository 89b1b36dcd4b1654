"""Images per second of each training stage against bare loops of the passes and updates that it cannot do without.

    python benchmarks/train_overhead.py [--stages source student ...] [--size 112] [--batch 32] [--rounds 3]
        [--precision fp32] [--json FILE]

The bare loop repeats, on one resident batch, only what the stage must compute: passes through networks, and the update
of the weights (gradient, its clipping, the optimizer, the moving average where the stage has them). No data, no
augmentation, no losses, no logging. A second bare loop has the passes alone. Stage and loops take turns within one
process; printed is the median of each, and what the stage reaches of each loop. The stage's first epoch, in which its
networks are built and memory is taken for the first time, does not count. Passes of an epoch:

- source: the network forward and backward.
- tgmb: T on TI and TR frames, F_s on the translations, both forward and backward; F_s on TI RGB forward.
- tgkt: F_t on every target frame forward, for the pseudo-labels; F_t on TI and TR frames forward and backward; T and
  F_s on TR, F_s on TI RGB forward.
- student (the default method's tgkt): F_t on every target frame forward, then forward and backward; and twice a stage a
  network on every target frame forward.
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
from functools import partial
from pathlib import Path

import numpy as np
import torch

from tgkt_edge.config import build_config
from tgkt_edge.data.loading import Images
from tgkt_edge.preprocess import resize_side
from tgkt_edge.train.batches import Store
from tgkt_edge.train.logger import RunLog
from tgkt_edge.train.methods.source import train_source
from tgkt_edge.train.methods.student import CLIP, train_student
from tgkt_edge.train.methods.tgkt import train_tgkt
from tgkt_edge.train.methods.tgmb import train_tgmb, translator_optimizer
from tgkt_edge.train.nn.device import open_compute
from tgkt_edge.train.nn.model import SceneClassifier, Translator, frozen, normalise
from tgkt_edge.train.nn.optim import classifier_sgd, descend, moving_average
from tgkt_edge.train.resume_state import StageState

CLASSES = 6
STAGES = ("source", "tgmb", "tgkt", "student")

Step = Callable[[Callable[[], object]], None]
"""Takes what computes a gradient, and does one step with it."""


class Clock(StageState):
    """Saves nothing, and keeps when a stage had its networks built, or after that its first epoch behind it.

    Args:
        seconds: what counts them. epochs: of a stage; of one alone the first counts.
    """

    def __init__(self, seconds: Callable[[], float], epochs: int) -> None:
        super().__init__(None, 1e9)
        self._seconds, self.epochs, self.began = seconds, epochs, 0.0

    def load(self, *_: object, **__: object) -> int:
        """Nothing was done before."""
        self.began = self.now()
        return 0

    def save(self, epoch: int, *_: object, **__: object) -> None:
        """An epoch is over."""
        if epoch == 1 < self.epochs:
            self.began = self.now()

    def now(self) -> float:
        """Seconds, once a GPU has done what it was given."""
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        return self._seconds()


def main() -> None:
    """Parse, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--stages", nargs="+", choices=STAGES, default=list(STAGES))
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
    parser.add_argument(
        "--cpu-seconds",
        action="store_true",
        help="of this process in place of the clock's: for one thread on a machine that does other work, too",
    )
    parser.add_argument("--json", type=Path, help="file for the figures, written after each stage")
    args = parser.parse_args()
    flags = {"image_size": args.size, "batch": args.batch, "device": args.device, "precision": args.precision}
    config = build_config(
        None,
        ["weights=none", *(f"{name}.epochs={args.epochs}" for name in STAGES)],
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
    state = Clock(time.process_time if args.cpu_seconds else time.perf_counter, args.epochs)
    log, epochs = RunLog(None), max(1, args.epochs - 1)  # those that count
    x = normalise(torch.rand(args.batch, 3, args.size, args.size, device=compute.device))
    both = torch.cat([x, x]).contiguous(memory_format=torch.channels_last)

    def bare_source(step: Step, network: torch.nn.Module = learner) -> None:
        def backward() -> None:
            with compute.autocast():
                loss = network(x).float().sum()
            loss.backward()

        network.train()
        for _ in range(epochs * args.steps):
            step(backward)

    def bare_tgmb(step: Step) -> None:
        def backward() -> None:
            with compute.autocast():
                loss = source(translator(both)).float().sum()
            loss.backward()

        translator.train().requires_grad_(True)
        for _ in range(epochs * args.steps):
            answer(lambda: source.features(x))
            step(backward)

    def bare_tgkt(step: Step) -> None:
        def backward() -> None:
            with compute.autocast():
                loss = learner.features(x).float().sum() + learner(x).float().sum()
            loss.backward()

        frozen(translator)
        for _ in range(epochs):
            learner.eval()
            for _ in range(args.steps):
                answer(lambda: learner(x))
            learner.train()
            for _ in range(args.steps):
                answer(lambda: source(translator(x)))
                answer(lambda: source.features(x))
                step(backward)

    def bare_student(step: Step) -> None:
        def backward() -> None:
            with compute.autocast():
                loss = learner(x).float().sum()
            loss.backward()

        for _ in range(epochs):
            learner.eval()
            for _ in range(args.steps):
                answer(lambda: learner(x))
            learner.train()
            if config.student.norms == "frozen":
                for module in learner.modules():
                    if isinstance(module, torch.nn.BatchNorm2d):
                        module.eval()
            for _ in range(args.steps):
                step(backward)
        for _ in range(2 * args.steps):
            answer(lambda: source(x))

    def answer(forward: Callable[[], object]) -> None:
        with torch.no_grad(), compute.autocast():
            forward()

    def passes(backward: Callable[[], object]) -> None:
        for network in (learner, translator):
            network.zero_grad(set_to_none=True)
        backward()

    def updates(name: str) -> Step:
        """Gradients, and what the stage does with them, of optimizers of its kind."""
        if name == "tgmb":
            optimizer = translator_optimizer(translator, config.tgmb)
        else:
            optimizer = classifier_sgd(learner, getattr(config, name), classifier=name != "tgkt")
        average = moving_average(learner, 10.0) if name == "student" and config.student.ema else None

        def step(backward: Callable[[], object]) -> None:
            # The last of very many steps: the learning rate is small, and the weights stay what they are.
            descend(optimizer, backward, 1 << 40, 1, CLIP if name == "student" else None)
            if average is not None:
                average.update_parameters(learner)

        return step

    soft = rng.dirichlet(np.ones(CLASSES), n)
    shares = np.full(CLASSES, 1 / CLASSES)
    trained: dict[str, Callable[[], object]] = {
        "source": lambda: train_source(images, config, compute, log, state),
        "tgmb": lambda: train_tgmb(source, frames, photos, paired, config, compute, log, state),
        "tgkt": lambda: train_tgkt(source, translator, frames, photos, paired, config, compute, log, state),
        "student": lambda: train_student(source, frames, soft, soft, shares, config, compute, log, state),
    }
    bare: dict[str, Callable[[Step], None]] = {
        "source": bare_source, "tgmb": bare_tgmb, "tgkt": bare_tgkt, "student": bare_student,
    }  # fmt: skip
    figures: dict[str, dict[str, float | None]] = {}

    def measure(name: str, works: dict[str, Callable[[], object]]) -> None:
        """Print images a second of each of ``works``, which take turns, and what the first reaches of the others."""
        seconds: dict[str, list[float]] = {key: [] for key in works}
        compute.reset_memory()
        for turn in range(args.rounds + 1):
            for key, work in works.items():
                state.began = state.now()
                work()
                if turn:  # the first round warms up
                    seconds[key].append(state.now() - state.began)
        rate = {key: epochs * n / statistics.median(values) for key, values in seconds.items()}
        first, *others = rate.values()
        cells = "".join(f"{one:>14.1f}" for one in rate.values()) + "".join(
            f"{first / one:>10.3f}" for one in others
        )
        print(f"{name:<8}{cells}", flush=True)
        figures[name] = {**rate, "peak_bytes": compute.peak_memory()}
        if args.json:
            args.json.write_text(json.dumps(figures))

    print(
        f"{platform.processor() or platform.machine()}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
    )
    print(
        f"{compute.device} {compute.precision}, {args.size} pixels, "
        f"batch {args.batch}, {args.rounds} rounds of {epochs} epochs of {n} images"
        f"{', seconds of the process' if args.cpu_seconds else ''}"
    )
    if args.compile:
        compute.learner(compiled := copy.deepcopy(learner))
        print(f"{'':<8}{'compiled':>14}{'eager img/s':>14}{'ratio':>10}")
        measure(
            "source", {"stage": lambda: bare_source(passes, compiled), "bare": lambda: bare_source(passes)}
        )
        return
    print(f"{'':<8}{'stage img/s':>14}{'bare img/s':>14}{'passes img/s':>14}{'of bare':>10}{'of passes':>10}")
    for name in args.stages:
        loops = {"bare": partial(bare[name], updates(name)), "passes": partial(bare[name], passes)}
        measure(name, {"stage": trained[name], **loops})


if __name__ == "__main__":
    main()
