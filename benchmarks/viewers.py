"""Whether people who watch the live page slow the decisions down.

    python benchmarks/viewers.py [BUNDLE] [--viewers 0 1 5 20] [--rounds 5] [--frames 40] [--width 640] [--height 480]

One run with an ``http://`` sink on frames from memory, as fast as the engine takes them, and so many viewers, who do
what the page does: each follows the stream of decisions and fetches the newest frame after each of them. Printed are
frames per second with each number of viewers, the counts in turn in every round, and the ratio to no viewer at all.
The viewers live in a process of their own at the lowest priority, for they belong on other machines; the copying by
the kernel on this one is still in the figures. Without BUNDLE a ResNet-50 with random weights is exported first
(extra `export`; the sink needs `sinks`). Takes about three minutes on two cores.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from latency import Lines
from numpy.typing import NDArray
from run_overhead import MemorySource, export_resnet50, synthetic_frames

from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.runtime import Captured, Engine, classify, open_engine
from tgkt_edge.runtime.sinks import open_sink
from tgkt_edge.sensor import SensorSpec


class Gated(MemorySource):
    """Frames from memory once ``gate`` is open."""

    def __init__(self, frames: Sequence[NDArray[Any]], count: int) -> None:
        super().__init__(frames, count)
        self.gate = threading.Event()

    def read(self) -> Captured | None:
        """The next frame; see :meth:`FrameSource.read`."""
        self.gate.wait()
        return super().read()


def watch(port: int, ready: threading.Semaphore) -> None:
    """One viewer, until the server ends: an event, the frame that belongs to it, the next event."""
    stream = http.client.HTTPConnection("127.0.0.1", port)
    stream.request("GET", "/api/events")
    answer = stream.getresponse()
    pictures = http.client.HTTPConnection("127.0.0.1", port)
    ready.release()
    with contextlib.suppress(OSError, http.client.HTTPException):
        for line in answer:
            if line.startswith(b"data: "):
                pictures.request("GET", "/api/frame?width=640")
                pictures.getresponse().read()
    pictures.close()
    stream.close()


def crowd(port: int, count: int) -> None:
    """The viewers' process: says when all are there, and ends with the server."""
    os.nice(19)
    ready = threading.Semaphore(0)
    threads = [threading.Thread(target=watch, args=(port, ready)) for _ in range(count)]
    for thread in threads:
        thread.start()
    for _ in threads:
        ready.acquire()
    print("ready", flush=True)
    for thread in threads:
        thread.join()


@contextlib.contextmanager
def viewers(port: int, count: int) -> Iterator[None]:
    """So many viewers in a process of their own, all of them connected."""
    if not count:
        yield
        return
    command = [sys.executable, __file__, "--crowd", str(port), str(count)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        if process.stdout.readline() != "ready\n":
            raise RuntimeError(f"the viewers' process ended with code {process.wait()}")
        try:
            yield
        finally:
            process.kill()


def frames_per_second(
    engine: Engine,
    spec: SensorSpec,
    classes: Sequence[str],
    size: int,
    frames: Sequence[NDArray[Any]],
    count: int,
    watching: int,
) -> float:
    """Decisions a second over ``count`` frames, from the first line to the last, while ``watching`` viewers look."""
    source, out, sink = Gated(frames, count), Lines(), open_sink("http://127.0.0.1:0")

    def work() -> None:
        with open(os.devnull, "w") as nowhere:
            classify(lambda: source, engine, spec, classes, size, sinks=[sink], out=out, log=nowhere)  # type: ignore[arg-type]

    run = threading.Thread(target=work)
    run.start()
    while not sink.name.rpartition(":")[2].strip("/").isdecimal() or sink.name.endswith(":0"):
        time.sleep(0.01)
    with viewers(int(sink.name.rpartition(":")[2].strip("/")), watching):
        source.gate.set()
        run.join()
    moments = [moment for moment, text in out.lines if "event" not in json.loads(text)]
    assert len(moments) == count
    return (count - 1) / (moments[-1] - moments[0])


def report(
    bundle: Bundle, counts: Sequence[int], rounds: int, per_round: int, width: int, height: int
) -> None:
    """Measure and print."""
    frames = synthetic_frames(bundle.sensor, width, height)
    engine = open_engine(bundle)
    found: dict[int, list[float]] = {count: [] for count in counts}
    for number in range(rounds):
        turn = number % len(counts)
        for count in (*counts[turn:], *counts[:turn]):
            found[count].append(
                frames_per_second(
                    engine, bundle.sensor, bundle.classes, bundle.size, frames, per_round, count
                )
            )
    engine.close()
    print(f"{rounds} rounds of {per_round} frames of {width}x{height}, input {bundle.size}, {engine.name}")
    alone = statistics.median(found[counts[0]])
    for count in counts:
        fps = statistics.median(found[count])
        spread = f"{min(found[count]):.2f} to {max(found[count]):.2f}"
        print(f"{count:4} viewers: {fps:6.2f} fps ({spread}), {fps / alone:.3f} of that with {counts[0]}")


def main() -> None:
    """Parse, measure, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", nargs="?", type=Path)
    parser.add_argument("--viewers", type=int, nargs="+", default=[0, 1, 5, 20])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--frames", type=int, default=40)
    parser.add_argument("--width", type=int, default=640)
    parser.add_argument("--height", type=int, default=480)
    parser.add_argument("--crowd", type=int, nargs=2, help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.crowd:
        crowd(*given.crowd)
        return
    with tempfile.TemporaryDirectory() as folder:
        bundle = Bundle.open(given.bundle) if given.bundle else export_resnet50(Path(folder))
        report(bundle, given.viewers, given.rounds, given.frames, given.width, given.height)


if __name__ == "__main__":
    main()
