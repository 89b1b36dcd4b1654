"""SIGTERM in the middle of a table, of a sink of frames, of updates and of signing: how long, and what is left behind.

    python benchmarks/stops.py BUNDLE FRAMES [--times 6] [--out FILE]

BUNDLE and FRAMES as ``tgkt-edge demo`` leaves them (``demo/bundle``, ``demo/data/target``). Each is started as a
process of its own, ``--times`` times, and stopped at another moment of its work. Printed are the seconds from the
signal to the end, and what was found: a record, image, table or signature that is not whole is a fault, and so is more
than two seconds; the program then exits 1.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tables import machine

from tgkt_edge.bundle.bundle import SIGNATURE
from tgkt_edge.bundle.keys import generate_key
from tgkt_edge.bundle.signature import verify_signature
from tgkt_edge.errors import TgktEdgeError
from tgkt_edge.io.atomic import write_text
from tgkt_edge.io.images import read_frame

COMMAND = (sys.executable, "-m", "tgkt_edge")
LIMIT_S = 2.0
REPEATED = 40
"""Times that each frame is given, so that a table takes long enough to be stopped."""


@dataclass(frozen=True)
class Stopped:
    """Seconds from the signal to the end, the exit code, how much was there, and what was wrong."""

    seconds: float
    code: int
    found: int
    faults: tuple[str, ...]


def stop(
    command: list[Any], begun: Callable[[], bool], delay: float, log: Path, brief: bool = False
) -> tuple[float, int]:
    """Start a process, wait until its work has begun and ``delay`` seconds more, and end it by SIGTERM.

    Args:
        brief: whether it may have ended by then; that counts as stopped at once.
    """
    with log.open("w") as stream:
        process = subprocess.Popen([*COMMAND, *map(str, command)], stdout=subprocess.DEVNULL, stderr=stream)
        try:
            end = time.monotonic() + 120
            while process.poll() is None and not begun() and time.monotonic() < end:
                time.sleep(0.01)
            time.sleep(delay)
            if process.poll() is not None and not brief:
                raise SystemExit(f"{command[0]} had ended before it was stopped: {log.read_text()[-500:]}")
            process.send_signal(signal.SIGTERM)
            start = time.monotonic()
            code = process.wait(60)
        finally:
            process.kill()
            process.wait()
    return time.monotonic() - start, code


def rows_of(table: Path, suffix: str) -> tuple[int, list[str]]:
    """Rows of a table in the form of ``suffix``, and what is wrong with it."""
    if suffix == ".csv":
        with table.open(newline="", encoding="utf-8") as stream:
            rows = list(csv.reader(stream))
        faults = [f"a row of {len(row)} fields" for row in rows if len(row) != len(rows[0])]
        whole = table.read_bytes().endswith(b"\n")
        return len(rows) - 1, faults + ([] if whole else ["the last row is cut"])
    lines = table.read_text(encoding="utf-8").splitlines()
    faults = []
    for line in lines:
        try:
            json.loads(line)
        except ValueError:
            faults.append("a line that is no JSON")
    return len(lines), faults


def stop_predict(work: Path, bundle: Path, frames: Path, suffix: str, delay: float) -> Stopped:
    """A table that is not complete: whole rows alone, under the name from which the same command goes on."""
    table, log = work / f"t{suffix}", work / "log"
    for old in work.glob("t.*"):
        old.unlink()
    command = ["predict", bundle, frames, "-o", table, "--batch", 1]

    partial = table.with_name(f"{table.name}.partial")  # the rows so far, until all are there
    seconds, code = stop(command, lambda: partial.is_file() and partial.stat().st_size > 2000, delay, log)
    found, faults = rows_of(partial, suffix)
    return Stopped(seconds, code, found, (*faults, *(["the table is there"] if table.exists() else [])))


def stop_frames(work: Path, bundle: Path, frames: Path, delay: float) -> Stopped:
    """A sink of frames: every line has its image, every image its line, and each can be decoded."""
    home, log = work / "home", work / "log"
    shutil.rmtree(home, ignore_errors=True)
    sink = f"frames:{home}?budget_mb=3&spacing=0"
    command = ["run", bundle, "--camera", frames, "--loop", "--sink", sink]
    seconds, code = stop(command, lambda: len(list(home.rglob("*.png"))) > 3, delay, log)
    faults, count = [], 0
    for part in home.iterdir():
        if not part.is_dir():
            continue
        listed = part / "frames.jsonl"
        lines = listed.read_text(encoding="utf-8").splitlines() if listed.is_file() else []
        names = {json.loads(line)["file"] for line in lines}
        there = {file.relative_to(part).as_posix() for file in part.rglob("*.png")}
        faults += [f"{part.name}: a line without an image" for _ in names - there]
        faults += [f"{part.name}: an image without a line" for _ in there - names]
        for file in sorted(there):
            try:
                read_frame(part / file)
            except TgktEdgeError as error:
                faults.append(str(error))
        count += len(there)
    size = sum(file.stat().st_blocks * 512 for file in home.rglob("*") if file.is_file())
    faults += [] if size <= 3e6 else [f"{size} bytes, over the budget"]
    return Stopped(seconds, code, count, tuple(faults))


def stop_updates(work: Path, bundles: tuple[Path, Path], frames: Path, delay: float) -> Stopped:
    """A run whose bundle changes all the time: every record and event is whole, and no frame has two."""
    link, out, log = work / "link", work / "run.jsonl", work / "log"
    for old in (link, out):
        old.unlink(missing_ok=True)
    link.symlink_to(bundles[0])
    command = ["run", link, "--watch", "--camera", frames, "--loop", "--sink", f"jsonl:{out}"]
    number = [0]

    def swap() -> None:
        number[0] += 1
        beside = work / "beside"
        beside.unlink(missing_ok=True)
        beside.symlink_to(bundles[number[0] % 2])
        os.replace(beside, link)

    def begun() -> bool:
        if not out.is_file() or out.stat().st_size < 2000:
            return False
        swap()
        return True

    seconds, code = stop(command, begun, delay, log)
    found, faults = rows_of(out, ".jsonl")
    lines = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    frames_seen = [line["frame"] for line in lines if "label" in line]
    faults += ["a frame with two records"] if len(set(frames_seen)) < len(frames_seen) else []
    return Stopped(seconds, code, found, tuple(faults))


def stop_sign(work: Path, bundle: Path, key: Path, delay: float) -> Stopped:
    """Signing: the bundle is signed, or it is not; and its files are as they were."""
    log = work / "log"
    (bundle / SIGNATURE).unlink(missing_ok=True)
    before = sorted(file.name for file in bundle.rglob("*"))
    start = time.monotonic()
    seconds, code = stop(
        ["bundle", "sign", bundle, "--key", key],
        lambda: time.monotonic() > start + 0.2,
        delay,
        log,
        brief=True,
    )
    signed = (bundle / SIGNATURE).is_file()
    faults = []
    if signed:
        try:
            verify_signature(bundle, [key.with_name(f"{key.name}.pub")])
        except TgktEdgeError as error:
            faults.append(str(error))
    left = sorted(file.name for file in bundle.rglob("*") if file.name != SIGNATURE)
    return Stopped(
        seconds, code, int(signed), tuple(faults + ([] if left == before else [f"left behind: {left}"]))
    )


def measured(args: argparse.Namespace, work: Path) -> Iterator[tuple[str, list[Stopped]]]:
    """What is stopped, and how each time went."""
    frames = work / "frames"
    frames.mkdir()
    for number, file in enumerate(sorted(args.frames.rglob("*.png"))):
        for again in range(REPEATED):
            shutil.copy(file, frames / f"{again:03}-{number:05}.png")
    bundle, other = (Path(shutil.copytree(args.bundle, work / name)) for name in ("bundle", "other"))
    key = work / "keys" / "release-key"
    generate_key(key)
    delays = [0.05 + 0.3 * number for number in range(args.times)]
    for suffix in (".csv", ".jsonl"):
        yield (
            f"predict, {suffix[1:]}",
            [stop_predict(work, bundle, frames, suffix, delay) for delay in delays],
        )
    yield "run, frames:", [stop_frames(work, bundle, frames, delay) for delay in delays]
    yield "run, --watch", [stop_updates(work, (bundle, other), frames, delay) for delay in delays]
    yield "bundle sign", [stop_sign(work, other, key, delay / 4) for delay in delays]


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("bundle", type=Path)
    parser.add_argument("frames", type=Path)
    parser.add_argument("--times", type=int, default=6)
    parser.add_argument("--out", type=Path, help="Markdown to write")
    args = parser.parse_args()
    lines, failed = [], False
    with tempfile.TemporaryDirectory() as folder:
        for name, stops in measured(args, Path(folder)):
            faults = [fault for one in stops for fault in one.faults]
            slow = max(one.seconds for one in stops)
            failed |= bool(faults) or slow > LIMIT_S
            found = f"{min(one.found for one in stops)} to {max(one.found for one in stops)}"
            codes = ", ".join(str(code) for code in sorted({one.code for one in stops}))
            told = "; ".join(sorted(set(faults))) or "none"
            lines.append(f"| {name} | {len(stops)} | {slow:.2f} | {codes} | {found} | {told} |")
            print(lines[-1], file=sys.stderr, flush=True)
    head = [
        "| stopped | times | longest, s | exit codes | rows, images, signatures then | not whole |",
        "|---|---|---|---|---|---|",
    ]
    text = "\n".join(
        [
            "# Stopped in the middle",
            "",
            f"`python benchmarks/stops.py BUNDLE FRAMES --times {args.times}`, {machine()}",
            "",
            *head,
            *lines,
            "",
        ]
    )
    if args.out is not None:
        write_text(args.out, text)
    print(text)
    return int(failed)


if __name__ == "__main__":
    raise SystemExit(main())
