"""Whether a run of a million frames grows, and what the pipeline itself costs a frame.

    python benchmarks/endurance.py [--frames 1000000] [--width 64] [--height 48] [--lanes 1] [--sink URI ...]

A source that hands out frames as fast as they are taken and an engine that answers at once: all that is left is the
pipeline; with --lanes 2 or more as files are answered, side by side. Printed are microseconds a frame, and memory,
threads and open files at every tenth. Exits 1 if memory grew by more than 200 kB in the median tenth or 2 MB in all
(18 with sinks, whose queues may fill), or threads or files by one, after the first tenth. Takes minutes.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.runtime import Captured, FrameSource, classify
from tgkt_edge.runtime.sinks import Sink, open_sink
from tgkt_edge.sensor import PRESETS

CLASSES = ("bedroom", "kitchen", "office")


class Size(NamedTuple):
    """What a process holds: kilobytes in memory, threads, open files."""

    kilobytes: int
    threads: int
    files: int

    @classmethod
    def now(cls) -> Size:
        """Of this process, from /proc."""
        text = Path("/proc/self/status").read_text(encoding="ascii")
        return cls(
            int(text.split("VmRSS:")[1].split()[0]),
            threading.active_count(),
            len(os.listdir("/proc/self/fd")),
        )


class Endless(FrameSource):
    """``count`` frames as fast as they are taken, every tenth unreadable or of another shape.

    Attributes:
        sizes: the process at every tenth of the way.
    """

    live = False

    def __init__(self, count: int, width: int, height: int) -> None:
        rng = np.random.default_rng(0)
        self._good = [rng.integers(0, 8000, (height, width), dtype=np.uint16) for _ in range(16)]
        self._wrong: list[NDArray[Any] | None] = [None, self._good[0][1:], self._good[0].astype(np.uint8)]
        self._count, self._number = count, 0
        self.sizes: list[Size] = []

    def read(self) -> Captured | None:
        """The next frame; see :meth:`FrameSource.read`."""
        number = self._number
        if number == self._count:
            return None
        self._number += 1
        if self._number % max(1, self._count // 10) == 0:
            self.sizes.append(Size.now())
        frame: NDArray[Any] | None = self._good[number % 16]
        if number % 10 == 9:
            frame = self._wrong[number // 10 % 3]
        return Captured(frame, number, time.time(), "memory", None if frame is not None else "unreadable")

    def close(self) -> None:
        """Nothing is held open."""


class Instant:
    """An engine that answers at once, the next class for each frame."""

    name = "instant"

    def __init__(self, lanes: int = 1) -> None:
        self.lanes = lanes
        self._answers = [np.roll(np.array([[0.7, 0.2, 0.1]], np.float32), shift) for shift in range(3)]
        self._count = 0

    def infer(self, batch: NDArray[np.float32]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """See :meth:`tgkt_edge.runtime.Engine.infer`."""
        self._count += 1
        answer = self._answers[self._count % 3]
        return answer, answer

    def close(self) -> None:
        """Nothing is held."""


@dataclass(frozen=True)
class Found:
    """Seconds a frame, the sizes at every tenth of the run, and by how much the later ones exceed the first."""

    seconds: float
    sizes: Sequence[Size]

    @property
    def growth(self) -> Size:
        """The largest of all later sizes less the first."""
        first, *later = self.sizes
        return Size(*(max(column) - one for one, column in zip(first, zip(*later, strict=True), strict=True)))

    @property
    def usual(self) -> float:
        """Median growth from tenth to tenth, kilobytes: a leak grows in each, a queue that fills up only once."""
        return statistics.median(after.kilobytes - before.kilobytes for before, after in pairwise(self.sizes))


def endure(
    count: int, width: int = 64, height: int = 48, sinks: Sequence[Sink] = (), lanes: int = 1
) -> Found:
    """Send ``count`` frames through the pipeline, with JSON lines to nowhere and the ``sinks``."""
    source = Endless(count, width, height)
    begin = time.perf_counter()
    with open(os.devnull, "w") as nowhere:
        summary = classify(
            lambda: source,
            Instant(lanes),
            PRESETS["depth"],
            CLASSES,
            32,
            sinks=sinks,
            out=nowhere,
            log=nowhere,
        )
    assert (summary.frames, summary.bad) == (count, count // 10)
    return Found((time.perf_counter() - begin) / count, source.sizes)


def main() -> None:
    """Parse, run, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--width", type=int, default=64)
    parser.add_argument("--height", type=int, default=48)
    parser.add_argument("--lanes", type=int, default=1)
    parser.add_argument("--sink", action="append", default=[], help="as for tgkt-edge run")
    given = parser.parse_args()
    sinks = [open_sink(uri) for uri in given.sink]
    found = endure(given.frames, given.width, given.height, sinks, given.lanes)
    for tenth, size in enumerate(found.sizes, 1):
        print(
            f"{given.frames * tenth // 10:>10} frames: {size.kilobytes} kB, {size.threads} threads, {size.files} files"
        )
    print(
        f"{found.seconds * 1e6:.0f} microseconds a frame; after the first tenth grown by {found.growth}, "
        f"by {found.usual:.0f} kB in the median tenth"
    )
    most = 2000 + (16_000 if sinks else 0)  # a sink that falls behind has 10,000 records in its queue
    grown = found.growth
    sys.exit(found.usual > 200 or grown.kilobytes > most or grown.threads > 0 or grown.files > 0)


if __name__ == "__main__":
    main()
