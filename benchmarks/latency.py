"""What ``tgkt-edge run`` adds between a frame in memory and its JSON line, beyond inference; and where it goes.

    python benchmarks/latency.py [BUNDLE] [--precision fp32] [--frames 300] [--width 640] [--height 480]

A source hands out one 16-bit frame after the other at the pace of a camera that the engine keeps up with, and notes
when each was in memory (what came before is capturing). The run's output notes when each line was flushed. Added: the
time between, less the inference that the line itself reports. Goal: median below 2 ms at 640x480. The second table
times the parts one at a time. Without BUNDLE a ResNet-50 with random weights is exported first (extra `export`).
Takes about a minute on two cores.
"""

from __future__ import annotations

import argparse
import io
import json
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from run_overhead import export_resnet50, quantise_for_cpu, synthetic_frames

from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.monitoring.input_distance import describe
from tgkt_edge.monitoring.reference_stats import Statistics as AdaptationStatistics
from tgkt_edge.preprocess import preprocess
from tgkt_edge.runtime import Captured, Engine, FrameSource, classify, open_engine
from tgkt_edge.runtime.capture.buffer import Mailbox
from tgkt_edge.runtime.health.drift import Drift
from tgkt_edge.runtime.health.sensor_flags import Health
from tgkt_edge.runtime.infer.processor import top_of
from tgkt_edge.runtime.infer.smoothing import Decider
from tgkt_edge.runtime.output.metrics import STAGES, Statistics
from tgkt_edge.runtime.records import Decision
from tgkt_edge.runtime.sinks import Message
from tgkt_edge.runtime.sinks.stdout import StdoutSink
from tgkt_edge.sensor import SensorSpec


class Paced(FrameSource):
    """``count`` frames from memory, one every ``period`` seconds, as a camera delivers them.

    Attributes:
        ready: by frame number, ``time.perf_counter()`` when it was in memory.
    """

    live = True

    def __init__(self, frames: Sequence[NDArray[Any]], count: int, period: float) -> None:
        self._frames, self._count, self._period = frames, count, period
        self._next = time.perf_counter()
        self.ready: dict[int, float] = {}

    def read(self) -> Captured | None:
        """The next frame; see :meth:`FrameSource.read`."""
        number = len(self.ready)
        if number == self._count:
            return None
        self._next += self._period
        time.sleep(max(0.0, self._next - time.perf_counter()))
        frame = self._frames[
            number % len(self._frames)
        ].copy()  # as every camera's frame, out of the driver's buffer
        captured = Captured(frame, number, time.time(), "memory")
        self.ready[number] = time.perf_counter()
        return captured

    def close(self) -> None:
        """Nothing is held open."""


@dataclass
class Lines(io.TextIOBase):
    """A stream that keeps each line with the moment when it was flushed."""

    lines: list[tuple[float, str]] = field(default_factory=list)
    _text: str = ""

    def write(self, text: str) -> int:
        """Take text; kept at the next flush."""
        self._text += text
        return len(text)

    def flush(self) -> None:
        """What was written since the last flush is with the reader now."""
        if self._text:
            self.lines.append((time.perf_counter(), self._text))
            self._text = ""


def added_ms(ready: dict[int, float], lines: Sequence[tuple[float, str]]) -> list[float]:
    """Milliseconds that each decision took beyond its inference.

    Args:
        ready: seconds by frame number when the frame was in memory.
        lines: seconds when a line was out, of the same clock, and the line; those without ``ms`` are left out.
    """
    found = []
    for out, text in lines:
        record = json.loads(text)
        if "ms" in record:
            found.append((out - ready[record["frame"]]) * 1e3 - record["ms"]["inference"])
    return found


def where_ms(ready: dict[int, float], lines: Sequence[tuple[float, str]]) -> dict[str, float]:
    """Median milliseconds of the three stretches that :func:`added_ms` sums, in the run itself; same arguments."""
    stretches: dict[str, list[float]] = {
        "before preprocessing": [],
        "preprocessing": [],
        "after inference": [],
    }
    for out, text in lines:
        record = json.loads(text)
        if "ms" in record:
            ms = record["ms"]
            stretches["before preprocessing"].append(ms["total"] - ms["preprocess"] - ms["inference"])
            stretches["preprocessing"].append(ms["preprocess"])
            stretches["after inference"].append((out - ready[record["frame"]]) * 1e3 - ms["total"])
    return {name: statistics.median(values) for name, values in stretches.items()}


def measure(
    engine: Engine,
    spec: SensorSpec,
    classes: Sequence[str],
    size: int,
    frames: Sequence[NDArray[Any]],
    count: int,
    period: float,
) -> tuple[dict[int, float], list[tuple[float, str]]]:
    """When each of ``count`` frames was in memory and each line out, with one frame every ``period`` seconds."""
    source, out = Paced(frames, count, period), Lines()
    with open(os.devnull, "w") as nowhere:
        summary = classify(lambda: source, engine, spec, classes, size, out=out, log=nowhere)  # type: ignore[arg-type]
    assert not summary.bad
    return source.ready, out.lines


def parts(
    spec: SensorSpec, classes: Sequence[str], size: int, frames: Sequence[NDArray[Any]], rounds: int
) -> dict[str, float]:
    """Median milliseconds of each part of the way, measured alone."""
    health, decider, count = Health(spec, live=True), Decider(classes), Statistics()
    units = [preprocess(frame, spec, size) for frame in frames]
    drift = Drift(
        _adaptation(units, len(classes)), live=False
    )  # a camera's is looked at five times a second only
    ms = dict.fromkeys(STAGES, 1.0)
    probabilities = np.full(len(classes), 1 / len(classes), np.float32)
    captured = Captured(frames[0], 0, time.time(), "memory")

    def record() -> Message:
        decided = decider.decide(probabilities, captured.time)
        top = top_of(probabilities, classes, 3)
        return Message(
            Decision(
                *decided, top=top, ms=ms, time=captured.time, frame=captured.number, source=captured.name
            )
        )

    table: dict[str, float] = {"hand-over between threads": hand_over(rounds)}
    with open(os.devnull, "w") as nowhere:
        lines = StdoutSink(nowhere)
        work: dict[str, Callable[[NDArray[Any]], object]] = {
            "check": lambda frame: spec.check(frame),
            "health": lambda frame: health.look(frame, captured.time),
            "preprocess": lambda frame: preprocess(frame, spec, size),
            "drift": lambda _: drift.look(units[0], 0.0, probabilities, captured.time),
            "decide": lambda _: record(),
            "statistics": lambda _: count.count(classes[0], ms, time.perf_counter()),
            "encode, write": lambda _: lines.write(record(), patient=True),
        }
        for name, call in work.items():
            seconds = []
            for number in range(rounds):
                begin = time.perf_counter()
                call(frames[number % len(frames)])
                seconds.append(time.perf_counter() - begin)
            table[name] = statistics.median(seconds) * 1e3
    return table


def _adaptation(units: Sequence[NDArray[np.float32]], classes: int) -> AdaptationStatistics:
    """Statistics as large as they become: 512 frames, each a little different."""
    rng = np.random.default_rng(0)
    described = np.stack([describe(unit, 0.0) for unit in units])
    described = described[np.arange(512) % len(described)]
    answers = rng.dirichlet(np.ones(classes), 512).astype(np.float32)
    found = AdaptationStatistics.of(
        (described + rng.normal(0, 0.1, described.shape)).astype(np.float32),
        answers,
        tilts=np.full(512, -0.1, np.float32),  # so that `upside_down` is looked at, as with real depth
    )
    assert found is not None
    assert found.upright is not None
    return found


def hand_over(rounds: int) -> float:
    """Median milliseconds from putting an item into a mailbox until the thread that waits for it has it."""
    box: Mailbox[float] = Mailbox()

    def put() -> None:
        for _ in range(rounds):
            time.sleep(0.002)
            box.put(time.perf_counter())
        box.finish()

    thread = threading.Thread(target=put)
    thread.start()
    seconds = []
    while (sent := box.take()) is not None:
        seconds.append(time.perf_counter() - sent)
    thread.join()
    return statistics.median(seconds) * 1e3


def report(bundle: Bundle, precision: str, count: int, width: int, height: int) -> float:
    """Print both tables; return the median of what is added, in milliseconds."""
    frames = synthetic_frames(bundle.sensor, width, height)
    engine = open_engine(bundle, precision)
    tensor = preprocess(frames[0], bundle.sensor, bundle.size)[np.newaxis]
    inference = []
    for _ in range(10):
        begin = time.perf_counter()
        engine.infer(tensor)
        inference.append(time.perf_counter() - begin)
    period = 1.5 * statistics.median(inference) + 0.01
    ready, lines = measure(engine, bundle.sensor, bundle.classes, bundle.size, frames, count, period)
    added = sorted(added_ms(ready, lines))
    engine.close()
    middle = statistics.median(added)
    print(
        f"{len(added)} frames of {width}x{height}, input {bundle.size}, {engine.name}, {precision}, one every "
        f"{period * 1e3:.0f} ms; inference {statistics.median(inference) * 1e3:.1f} ms\n"
        f"added between frame and JSON beyond inference: median {middle:.2f} ms, p90 {added[len(added) * 9 // 10]:.2f} "
        f"ms, p99 {added[len(added) * 99 // 100]:.2f} ms (goal: median < 2)"
    )
    for name, milliseconds in where_ms(ready, lines).items():
        print(f"  {name:<28}{milliseconds:8.3f}")
    print("the parts alone, over and over in warm caches, median ms:")
    table = parts(bundle.sensor, bundle.classes, bundle.size, frames, 200)
    for name, milliseconds in table.items():
        print(f"  {name:<28}{milliseconds:8.3f}")
    print(f"  {'their sum':<28}{sum(table.values()):8.3f}")
    return middle


def main() -> None:
    """Parse, measure, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", nargs="?", type=Path)
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--frames", type=int, default=300)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        bundle = Bundle.open(given.bundle) if given.bundle else export_resnet50(Path(folder))
        if not given.bundle and given.precision == "int8-cpu":
            bundle = quantise_for_cpu(bundle, synthetic_frames(bundle.sensor, given.width, given.height))
        report(bundle, given.precision, given.frames, given.width, given.height)


if __name__ == "__main__":
    main()
