"""What ``tgkt-edge predict`` costs over the bare batch throughput of its engine.

    python benchmarks/predict.py [BUNDLE] [--precision P] [--batch 1 --batch 8] [--rounds 5] [--kind png|npy]

Bare: the engine answers batches that were decoded and preprocessed beforehand, as many calls side by side as it has
lanes. Predict: PNG files on the disk (``--kind npy``: frames that were decoded already), decoded, checked,
preprocessed, inferred and written as JSON lines, with the same engine. Both run in this process in turn, so that a
change of clock or load meets each. Goal: predict reaches 0.95 of the bare engine on decoded frames. Where the CPU
itself is the engine, decoding takes time away from it: ``alone`` is what decoding and preprocessing a frame takes on
one core, and ``reachable`` the ratio that remains when every core is busy all the time.
Without BUNDLE a ResNet-50 at 224 pixels with random weights is exported first (needs the extra `export`).
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from run_overhead import SETTLE, export_resnet50, quantise_for_cpu, synthetic_frames

from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.io.images import read_frame
from tgkt_edge.preprocess import preprocess
from tgkt_edge.runtime import Engine, open_engine
from tgkt_edge.runtime.engines.onnxruntime import lanes_for_files
from tgkt_edge.runtime.health.sensor_flags import flags_of
from tgkt_edge.runtime.infer.preprocess_stage import FormatCheck
from tgkt_edge.runtime.predict.answers import Answers
from tgkt_edge.runtime.predict.frames import RecordedFrames
from tgkt_edge.runtime.predict.journal import Journal
from tgkt_edge.runtime.predict.rows import JsonLines


def save(frames: Sequence[NDArray[Any]], folder: Path, count: int, kind: str) -> Path:
    """A CSV that lists ``count`` frames, the same files again and again: PNG as `record` writes them, or decoded."""
    for number, frame in enumerate(frames):
        file = folder / f"{number}.{kind}"
        if kind == "npy":
            np.save(file, frame)
        else:
            cv2.imwrite(str(file), frame, [cv2.IMWRITE_PNG_COMPRESSION, 1])
    listed = folder / "frames.csv"
    listed.write_text("frame\n" + "".join(f"{n % len(frames)}.{kind}\n" for n in range(count)))
    return listed


def bare(engine: Engine, tensors: NDArray[np.float32], batch: int, count: int) -> float:
    """Frames a second of the engine alone."""
    calls = count // batch
    given = np.stack([tensors[n % len(tensors)] for n in range(batch)])
    begin = time.perf_counter()
    with ThreadPoolExecutor(engine.lanes) as pool:
        list(pool.map(engine.infer, [given] * calls))
    return calls * batch / (time.perf_counter() - begin)


def whole(bundle: Bundle, engine: Engine, listed: Path, out: Path, batch: int) -> float:
    """Frames a second from files to lines."""
    with (
        RecordedFrames(str(listed), bundle.sensor) as frames,
        Journal(out, JsonLines(bundle.classes), {}, overwrite=True) as journal,
    ):
        begin = time.perf_counter()
        with Answers(engine, bundle.sensor, bundle.size, batch, FormatCheck(bundle.sensor)) as answers:
            for rows in answers.rows(frames.jobs(0)):
                journal.add(rows)
        seconds = time.perf_counter() - begin
    assert journal.rows == frames.count
    assert not journal.bad
    return journal.rows / seconds


def decoding(bundle: Bundle, file: Path) -> float:
    """Seconds of one core that a frame takes before it is inferred."""
    begin = time.perf_counter()
    for _ in range(20):
        frame = read_frame(file)
        preprocess(frame, bundle.sensor, bundle.size)
        flags_of(frame, bundle.sensor)
    return (time.perf_counter() - begin) / 20


def measure(
    bundle: Bundle,
    precision: str,
    batches: Sequence[int],
    rounds: int,
    count: int,
    size: tuple[int, int],
    kind: str,
) -> None:
    """Print frames a second of both, by batch, and their ratio."""
    frames = synthetic_frames(bundle.sensor, *size)
    tensors = np.stack([preprocess(frame, bundle.sensor, bundle.size) for frame in frames])
    engine = open_engine(bundle, precision, lanes=lanes_for_files())
    with tempfile.TemporaryDirectory() as folder:
        listed = save(frames, Path(folder), count, kind)
        alone = decoding(bundle, Path(folder) / f"0.{kind}")
        for batch in batches:
            pairs = []
            for _ in range(rounds):
                time.sleep(SETTLE)
                bare(engine, tensors, batch, max(batch, count // 10))
                pairs.append(
                    (
                        bare(engine, tensors, batch, count),
                        whole(bundle, engine, listed, Path(folder) / "t.jsonl", batch),
                    )
                )
            alone_rate, rate = (statistics.median(column) for column in zip(*pairs, strict=True))
            ratio = statistics.median(second / first for first, second in pairs)
            reachable = 1 / (1 + alone * alone_rate / engine.lanes) if "CPU" in engine.name else 1.0
            print(
                f"{precision}, {engine.name}, {engine.lanes} lanes, batch {batch}, {size[0]}x{size[1]} {kind}: "
                f"bare {alone_rate:.2f}, predict {rate:.2f} frames/s, ratio {ratio:.3f} (goal 0.95); "
                f"alone {alone * 1e3:.2f} ms, reachable {reachable:.3f}"
            )


def main() -> None:
    """Parse, measure, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", nargs="?", type=Path)
    parser.add_argument("--precision", default="fp32", help="of the bundle; without one: fp32 or int8-cpu")
    parser.add_argument("--batch", type=int, action="append", help="repeatable; default 1 and 8")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=120)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument(
        "--kind", choices=("png", "npy"), default="png", help="of the files; npy: decoded already"
    )
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bundle = Bundle.open(given.bundle) if given.bundle else export_resnet50(Path(folder))
        size = (given.width, given.height)
        if not given.bundle and given.precision == "int8-cpu":
            bundle = quantise_for_cpu(bundle, synthetic_frames(bundle.sensor, *size))
        measure(bundle, given.precision, given.batch or [1, 8], given.rounds, given.frames, size, given.kind)


if __name__ == "__main__":
    main()
