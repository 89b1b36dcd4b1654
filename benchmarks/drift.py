"""How often the drift flags are raised: on new frames of the same kind, and on corrupted ones.

    python benchmarks/drift.py RUN [RUN ...] -o WORK [--epochs 5]

RUN is a finished run on real data. Its target frames are cut into stretches, and a network is adapted (SHOT, from the
run's source model) on every other stretch alone; the rest are places that it never saw. Both halves are then asked
about, the second one also corrupted in several ways. Columns:

- share of single frames beyond the input limit (promised for new frames: 1 %, or one in the frames + 1);
- whether the flag ``input_drift`` is on after all frames in order;
- share of single frames called upside down (promised likewise; "-" where the adaptation frames cannot tell), and the
  flag ``upside_down``;
- share of windows of different views, in random orders of the frames, that are beyond the limits of ``class_drift``
  (promised: 1 %), or "-" where the frames are too alike to make one;
- mean rank of the answers' entropies among the adaptation's, 0.5 for the adaptation frames themselves.

Trained networks in WORK are used again. Minutes a run.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml
from numpy.typing import NDArray
from real import tool

from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.data.discovery import in_folder, read_csv_columns
from tgkt_edge.io.images import read_frame
from tgkt_edge.monitoring.class_windows import STREAM_FRAMES, Views
from tgkt_edge.monitoring.input_distance import describe
from tgkt_edge.monitoring.orientation import tilt
from tgkt_edge.monitoring.reference_stats import Statistics, of_bundle
from tgkt_edge.preprocess import invalid_share, preprocess
from tgkt_edge.runtime import open_engine
from tgkt_edge.runtime.health.drift import Drift
from tgkt_edge.sensor import RawFrame
from tgkt_edge.train.run_folder.folder import Run

STRETCHES = 40
DRAWS = 40

Floats = NDArray[np.float32]


def spoilers(rng: np.random.Generator, top: int) -> dict[str, Callable[[RawFrame], NDArray[Any]]]:
    """What may happen to a sensor whose largest count is ``top``; results are rounded and clipped."""
    return {
        "counts x 10": lambda f: f * 10.0,
        "counts x 2": lambda f: f * 2.0,
        "counts / 10": lambda f: f / 10,
        "inverted": lambda f: top - f.astype(float),
        "noise, 12 %": lambda f: f + rng.normal(0, 0.12 * top, f.shape),
        "noise, 30 %": lambda f: f + rng.normal(0, 0.3 * top, f.shape),
        "a third of pixels random": lambda f: np.where(
            rng.random(f.shape) < 0.3, rng.uniform(0, top, f.shape), f
        ),
        "covered": lambda f: rng.normal(0.01 * top, 0.005 * top, f.shape),
        "blurred": lambda f: cv2.GaussianBlur(f, (0, 0), 12),
        "upside down": lambda f: f[::-1],
        "on its side": lambda f: np.rot90(f),
    }


def adapted(run: Run, work: Path, epochs: int) -> tuple[Bundle, list[Path], list[Path]]:
    """A bundle adapted on half of the run's target frames, those, and the others."""
    inputs, sensor, config = run.read_config()
    target = Path(inputs.target)
    files = (
        read_csv_columns(target, "--target", ("frame",))["frame"]
        if target.is_file()
        else in_folder(target, "--target")
    )
    halves: tuple[list[Path], list[Path]] = ([], [])
    for number, file in enumerate(files):
        halves[number * STRETCHES // len(files) % 2].append(file.resolve())
    folder = work / run.path.resolve().name
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "seen.csv").open("w", newline="") as out:
        csv.writer(out).writerows([["frame"], *([str(file)] for file in halves[0])])
    (folder / "sensor.yaml").write_text(yaml.safe_dump(sensor.to_dict()))
    if not (folder / "bundle").exists():
        tool("adapt", "--method", "shot", "--target", folder / "seen.csv", "--sensor", folder / "sensor.yaml",
             "--source-model", run.source, "--image-size", config.image_size, "--epochs", epochs, "--overwrite",
             "-o", folder / "run")  # fmt: skip
        tool("export", folder / "run", "-o", folder / "bundle")
    return Bundle.open(folder / "bundle"), *halves


def ask(bundle: Bundle, engine: Any, frames: list[RawFrame]) -> tuple[list[Floats], list[float], Floats]:
    """Network inputs, raw invalid shares, and (N, K) answers."""
    spec = bundle.sensor
    units = [preprocess(frame, spec, bundle.size) for frame in frames]
    answers = np.concatenate([engine.infer(unit[np.newaxis])[1] for unit in units])
    return units, [invalid_share(frame, spec) for frame in frames], answers


def windows(known: Statistics, described: Floats, answers: Floats) -> str:
    """Share of moments with enough views, in random orders of the frames, that are beyond a limit of class_drift."""
    rng, alarms = np.random.default_rng(0), []
    for _ in range(DRAWS if known.answers.limits else 0):
        views = Views(known.answers, known.input.weights)
        for index in rng.permutation(len(described))[:STREAM_FRAMES]:
            if excess := views.see(described[index], answers[index]):
                alarms.append(excess > 1)
    return f"{np.mean(alarms):.1%}" if alarms else "-"


def row(what: str, known: Statistics, units: list[Floats], invalid: list[float], answers: Floats) -> str:
    """One line of the table."""
    described = np.stack([describe(unit, share) for unit, share in zip(units, invalid, strict=True)])
    beyond = np.mean([known.input.distance(one) > 1 for one in described])
    drift, flags = Drift(known, live=False), list[str]()
    for unit, share, answer in zip(units, invalid, answers, strict=True):
        flags = drift.look(unit, share, answer, 0.0)[1]
    flag, turned = ("on" if name in flags else "off" for name in ("input_drift", "upside_down"))
    upright = known.upright
    over = (
        "-" if upright is None else f"{np.mean([upright.turned(tilt(unit)) for unit in units]):.1%}, {turned}"
    )
    rank = known.answers.distances(answers)[1]
    shares = windows(known, described, answers)
    return f"| {what} | {len(units)} | {beyond:.1%} | {flag} | {over} | {shares} | {rank:.2f} |"


def main() -> None:
    """Parse, adapt, measure, print."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path)
    parser.add_argument("--epochs", type=int, default=5)
    parser.add_argument("-o", "--out", type=Path, required=True)
    args = parser.parse_args()
    for path in args.runs:
        bundle, seen, new = adapted(Run(path), args.out, args.epochs)
        known = of_bundle(bundle)
        if known is None:
            raise SystemExit(f"{path}: too few target frames for statistics")
        engine = open_engine(bundle)
        print(f"\n{path.resolve().name}: adapted on {len(seen)} frames, {len(new)} of other stretches\n")
        print(
            "| frames | count | beyond the limit | input_drift | upside_down | class_drift windows | mean rank |"
        )
        print("|---|---|---|---|---|---|---|")
        fresh = [read_frame(file) for file in new]
        print(row("adaptation's", known, *ask(bundle, engine, [read_frame(file) for file in seen])))
        print(row("new", known, *ask(bundle, engine, fresh)), flush=True)
        top = np.iinfo(bundle.sensor.numpy_dtype).max
        for what, spoil in spoilers(np.random.default_rng(0), top).items():
            frames = [np.clip(np.rint(spoil(f)), 0, top).astype(f.dtype) for f in fresh[::2]]
            if what == "on its side" and bundle.sensor.size not in (None, "any"):
                continue
            print(row(what, known, *ask(bundle, engine, frames)), flush=True)
        engine.close()


if __name__ == "__main__":
    main()
