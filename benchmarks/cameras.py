"""Several cameras on one engine against one process a camera: decisions a second, age, CPU and memory.

    python benchmarks/cameras.py BUNDLE [--cameras 1 2 4 8] [--fps 30] [--seconds 20] [--precision P]

Each camera is a recording of its own, frames of the sensor's size (640x480 where the bundle leaves it open) at --fps,
replayed at its pace (`replay:DIR --loop --drop latest`) as a real process of `tgkt-edge run` sees a camera: the newest
frame replaces one that waits. With N cameras, one process with N `--camera NAME=replay:DIR` runs for --seconds, then N
processes with one each, side by side. Counted are the decisions of the second half of that time, so that no start is in
it. CPU is the time of all threads over that of the clock; memory the proportional set size (PSS), in which what
processes share counts once. Goals: four cameras in at most 1.6 times the memory of one, and no fewer decisions than
four processes. Takes about 2 * SECONDS for each N.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import yaml
from run_overhead import synthetic_frames

from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.sensor import SensorSpec

TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Found:
    """Decisions a second of all cameras and of the slowest, their age (milliseconds from the moment that the frame was
    there), CPU (cores), PSS (MB)."""

    decisions: float
    slowest: float
    age_p50: float
    age_p99: float
    cpu: float
    memory: float

    def text(self) -> str:
        """One row of the table."""
        return (
            f"{self.decisions:>11.1f} {self.slowest:>9.1f} {self.age_p50:>9.1f} {self.age_p99:>9.1f} "
            f"{self.cpu:>6.2f} {self.memory:>8.1f}"
        )


def write_recording(folder: Path, spec: SensorSpec, fps: float, count: int = 60) -> Path:
    """What `tgkt-edge record` writes of a camera of ``fps`` frames a second."""
    (folder / "frame").mkdir(parents=True)
    width, height = spec.size if isinstance(spec.size, tuple) else (640, 480)
    text = yaml.safe_dump(spec.with_size(width, height).to_dict())
    (folder / "sensor.yaml").write_text(text, encoding="utf-8")
    frames = synthetic_frames(spec, width, height)
    with (folder / "frames.jsonl").open("w", encoding="utf-8") as index:
        for number in range(count):
            name = f"frame/{number:06}.png"
            cv2.imwrite(str(folder / name), frames[number % len(frames)])
            index.write(json.dumps({"number": number, "time": 1.79e9 + number / fps, "file": name}) + "\n")
    return folder


@contextlib.contextmanager
def running(
    bundle: Path, cameras: Sequence[Sequence[str]], out: Path, more: Sequence[str]
) -> Iterator[list[subprocess.Popen[bytes]]]:
    """One process for each of ``cameras``, ended with SIGTERM."""
    command = [
        sys.executable,
        "-m",
        "tgkt_edge",
        "run",
        str(bundle),
        "--loop",
        "--drop",
        "latest",
        "--no-live",
        *more,
    ]
    with contextlib.ExitStack() as open_files:
        processes = []
        for number, own in enumerate(cameras):
            given = [word for camera in own for word in ("--camera", camera)]
            lines = open_files.enter_context((out / f"{number}.jsonl").open("wb"))
            log = open_files.enter_context((out / f"{number}.log").open("wb"))
            processes.append(subprocess.Popen([*command, *given], stdout=lines, stderr=log))
        try:
            yield processes
        finally:
            for process in processes:
                process.send_signal(signal.SIGTERM)
            for number, process in enumerate(processes):
                if process.wait(30):
                    raise SystemExit((out / f"{number}.log").read_text(encoding="utf-8"))


def cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """User and system time of all its threads so far."""
    fields = Path(f"/proc/{process.pid}/stat").read_text(encoding="ascii").rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def pss(process: subprocess.Popen[bytes]) -> float:
    """Its proportional set size in MB."""
    text = Path(f"/proc/{process.pid}/smaps_rollup").read_text(encoding="ascii")
    found = re.search(r"^Pss:\s+(\d+) kB", text, re.MULTILINE)
    assert found is not None
    return int(found.group(1)) / 1e3


def lines_so_far(out: Path, processes: int) -> list[list[str]]:
    """The whole lines that each process has written."""
    texts = [(out / f"{number}.jsonl").read_text(encoding="utf-8") for number in range(processes)]
    return [text[: text.rfind("\n") + 1].splitlines() for text in texts]


def measure(bundle: Path, cameras: Sequence[Sequence[str]], seconds: float, more: Sequence[str]) -> Found:
    """Run the processes and look at the second half of their time."""
    with tempfile.TemporaryDirectory() as text:
        out = Path(text)
        with running(bundle, cameras, out, more) as processes:
            time.sleep(seconds / 2)
            begin, before = time.time(), sum(map(cpu_seconds, processes))
            first = lines_so_far(out, len(cameras))
            time.sleep(seconds / 2)
            took, after = time.time() - begin, sum(map(cpu_seconds, processes))
            last = lines_so_far(out, len(cameras))
            memory = sum(map(pss, processes))
    records = [json.loads(line) for old, new in zip(first, last, strict=True) for line in new[len(old) :]]
    records = [record for record in records if "label" in record]
    if not records:
        raise SystemExit(f"not one decision in the second half of {seconds:g} s: give more --seconds")
    names = [record["camera"] for record in records]
    counts = [names.count(name) for name in set(names)]
    ages = sorted(record["ms"]["total"] for record in records)
    return Found(
        len(records) / took,
        min(counts) / took,
        statistics.median(ages),
        ages[int(len(ages) * 0.99)],
        (after - before) / took,
        memory,
    )


def main() -> None:
    """Parse, run, report."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("--cameras", type=int, nargs="+", default=[1, 2, 4, 8])
    parser.add_argument("--fps", type=float, default=30.0)
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--precision", default="fp32")
    given = parser.parse_args()
    spec = Bundle.open(given.bundle).sensor
    more = ["--precision", given.precision]
    with tempfile.TemporaryDirectory() as text:
        folders = [
            write_recording(Path(text) / f"c{number}", spec, given.fps)
            for number in range(max(given.cameras))
        ]
        print(f"{'cameras':>7}  {'as':<13} decisions/s  slowest   age p50   age p99  cores      MB")
        for count in given.cameras:
            names = [f"c{number}=replay:{folder}" for number, folder in enumerate(folders[:count])]
            together = measure(given.bundle, [names], given.seconds, more)
            print(f"{count:>7}  {'one process':<13} {together.text()}", flush=True)
            apart = measure(given.bundle, [[name] for name in names], given.seconds, more)
            print(f"{count:>7}  {f'{count} processes':<13} {apart.text()}", flush=True)


if __name__ == "__main__":
    main()
