"""What the pipeline of ``tgkt-edge run`` costs over its bare engine.

    python benchmarks/run_overhead.py [BUNDLE] [--precision P] [--rounds 7] [--frames 40] [--width 640] [--height 480]

Bare: ONNX Runtime answers tensors that were preprocessed beforehand. Run: the whole pipeline (capture thread, checks,
preprocessing, inference, JSON lines, statistics) on decoded frames in memory, with the same session: where its weights
happen to lie in memory makes several per cent. Each is measured in two ways: one inference after the other on all
cores, as frames of cameras are answered, and side by side, one on each core, as ``run`` answers files. All four run in
this process in turn, so that a change of clock or load meets each. Goal: a run over files reaches at least 0.93 of the
bare engine one after the other with a ResNet-50 at 224, also where ``--precision int8-cpu`` leaves less time to hide
anything in. Without BUNDLE such a network with random weights is exported first (needs the extra `export`). Takes
about two minutes on two cores.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.bundle.bundle import INPUT_NAME, MODEL_FILES, OUTPUT_NAMES, Bundle
from tgkt_edge.preprocess import preprocess
from tgkt_edge.runtime import Captured, Engine, FrameSource, classify, open_engine
from tgkt_edge.runtime.engines.onnxruntime import lanes_for_files
from tgkt_edge.sensor import PRESETS, SensorSpec

NAMES = ("bare", "run", "bare side by side", "run side by side")

SETTLE = 0.1
"""Seconds before each measurement: ONNX Runtime's threads spin on for some 60 ms after their last call."""


class MemorySource(FrameSource):
    """``count`` frames that lie decoded in memory, over and over."""

    live = False

    def __init__(self, frames: Sequence[NDArray[Any]], count: int) -> None:
        self._frames, self._count, self._number = frames, count, 0

    def read(self) -> Captured | None:
        """The next frame; see :meth:`FrameSource.read`."""
        if self._number == self._count:
            return None
        number = self._number
        self._number += 1
        return Captured(self._frames[number % len(self._frames)], number, time.time(), "memory")

    def close(self) -> None:
        """Nothing is held open."""


def synthetic_frames(spec: SensorSpec, width: int, height: int, count: int = 8) -> list[NDArray[Any]]:
    """Smooth frames with noise; where the sensor has an invalid count, a tenth of each frame is holes."""
    rng = np.random.default_rng(0)
    top = min(np.iinfo(spec.numpy_dtype).max, 8000)
    rows, columns = np.mgrid[0:height, 0:width] / max(width, height)
    frames = []
    for _ in range(count):
        surface = 0.5 + 0.4 * np.sin(rows * rng.uniform(2, 9) + columns * rng.uniform(2, 9))
        frame = (top * surface * rng.uniform(0.97, 1.0, size=surface.shape)).astype(spec.numpy_dtype)
        if spec.invalid:
            frame[rng.random(frame.shape) < 0.02] = spec.invalid[0]
            frame[: height // 4, : width // 3] = spec.invalid[0]
        frames.append(frame)
    return frames


def export_resnet50(folder: Path) -> Bundle:
    """A bundle of ResNet-50 with random weights, one channel in, 10 classes out, 224 x 224."""
    import torch
    import torchvision

    class Network(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.backbone = torchvision.models.resnet50(weights=None, num_classes=10)

        def forward(self, frame: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
            logits = self.backbone((frame.expand(-1, 3, -1, -1) - 0.45) / 0.225)  # (N, 10)
            return logits, logits.softmax(dim=1)

    torch.onnx.export(
        Network().eval(),
        (torch.rand(2, 1, 224, 224),),
        folder / "model.onnx",
        input_names=[INPUT_NAME],
        output_names=list(OUTPUT_NAMES),
        dynamic_shapes={"frame": {0: torch.export.Dim("batch", min=1)}},
        dynamo=True,
        external_data=False,
        verbose=False,
    )
    classes = tuple(f"class {number}" for number in range(10))
    return Bundle(path=folder, classes=classes, sensor=PRESETS["depth"], size=224).write()


def quantise_for_cpu(bundle: Bundle, frames: Sequence[NDArray[Any]]) -> Bundle:
    """``bundle`` with its ``int8-cpu`` file; speed does not depend on the ranges, so few frames calibrate it."""
    import onnx

    from tgkt_edge.export.int8 import quantise
    from tgkt_edge.export.int8_calibration import calibrate

    inputs = np.stack([preprocess(frame, bundle.sensor, bundle.size) for frame in frames])
    ranges = calibrate(bundle.model(), inputs, "minmax").ranges
    onnx.save_model(quantise(bundle.model(), ranges, "int8-cpu"), str(bundle.path / MODEL_FILES["int8-cpu"]))
    return bundle.write()


def speed_of_engine(engine: Engine, tensors: Sequence[NDArray[np.float32]], count: int) -> float:
    """Frames per second of the bare engine, asked by as many threads as it has lanes."""
    lanes = engine.lanes

    def some(first: int) -> None:
        for index in range(first, count, lanes):
            engine.infer(tensors[index % len(tensors)])

    begin = time.perf_counter()
    if lanes == 1:
        some(0)
    else:
        with ThreadPoolExecutor(lanes) as pool:
            list(pool.map(some, range(lanes)))
    return count / (time.perf_counter() - begin)


def speed_of_run(bundle: Bundle, engine: Engine, frames: Sequence[NDArray[Any]], count: int) -> float:
    """Frames per second of the whole pipeline."""
    begin = time.perf_counter()
    with open(os.devnull, "w") as nowhere:
        summary = classify(
            partial(MemorySource, frames, count),
            engine,
            bundle.sensor,
            bundle.classes,
            bundle.size,
            out=nowhere,
            log=nowhere,
            live=True,
        )
    seconds = time.perf_counter() - begin
    assert summary.frames == count
    assert not summary.bad
    return count / seconds


def measure(
    bundle: Bundle, precision: str, rounds: int, frames_per_round: int, width: int, height: int
) -> float:
    """Print frames per second, round by round; return the ratio of the run over files and the bare engine."""
    frames = synthetic_frames(bundle.sensor, width, height)
    tensors = [preprocess(frame, bundle.sensor, bundle.size)[np.newaxis] for frame in frames]
    # One after the other first, which is the engine that every ratio is of.
    engines = [open_engine(bundle, precision), open_engine(bundle, precision, lanes=lanes_for_files())]
    seen: dict[str, list[float]] = {name: [] for name in NAMES}
    for number in range(rounds):
        for name, engine, whole in zip(NAMES, [engines[0], *engines, engines[1]], (0, 1, 0, 1), strict=True):
            time.sleep(SETTLE)
            speed_of_engine(engine, tensors, max(2, frames_per_round // 10))
            speed = (
                speed_of_run(bundle, engine, frames, frames_per_round)
                if whole
                else speed_of_engine(engine, tensors, frames_per_round)
            )
            seen[name].append(speed)
        print(
            f"round {number + 1}: " + ", ".join(f"{name} {values[-1]:.2f}" for name, values in seen.items())
        )
    bare, run, bare_lanes, run_lanes = (statistics.median(values) for values in seen.values())
    print(
        f"medians of {rounds} rounds of {frames_per_round} frames of {width}x{height}, input {bundle.size}, "
        f"{precision}, {lanes_for_files()} lanes, frames per second:\n"
        f"  one after the other: bare {bare:.2f}, run {run:.2f}, ratio {run / bare:.3f}\n"
        f"  side by side:        bare {bare_lanes:.2f}, run {run_lanes:.2f}, ratio {run_lanes / bare_lanes:.3f}; "
        f"to bare one after the other {run_lanes / bare:.3f} (goal >= 0.93)"
    )
    return run_lanes / bare


def main() -> None:
    """Parse, measure, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", nargs="?", type=Path)
    parser.add_argument("--precision", default="fp32", help="of the bundle; without one: fp32 or int8-cpu")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bundle = Bundle.open(given.bundle) if given.bundle else export_resnet50(Path(folder))
        if not given.bundle and given.precision == "int8-cpu":
            bundle = quantise_for_cpu(bundle, synthetic_frames(bundle.sensor, given.width, given.height))
        measure(bundle, given.precision, given.rounds, given.frames, given.width, given.height)


if __name__ == "__main__":
    main()
