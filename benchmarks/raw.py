"""Preprocessing inside a graph against the package's own: codes that differ, and milliseconds. results/raw.md

    python benchmarks/raw.py [--data ../shared/data] [--threads 1] [--most N]

Every real depth and NIR frame of the data folder, at the sizes that networks take, through the preprocessing that
``export --raw`` puts before a network (alone, in ONNX Runtime on the CPU) and through ``preprocess``.
"""

from __future__ import annotations

import argparse
import os
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from tgkt_edge.export.raw.preprocessing import RawInput, preprocessing_graph
from tgkt_edge.io.images import read_frame
from tgkt_edge.preprocess import CODE_MAX, preprocess
from tgkt_edge.sensor import PRESETS, SensorSpec

SETS = {
    "nyuv2 depth": ("nyuv2/depth", "*.png", "nyuv2"),
    "epfl NIR": ("epfl-rgbnir", "*_nir.jpg", "nir8"),
    "sensor16 depth, holes": ("sensor16/depth", "*.png", "depth"),
    "SUN RGB-D depth, holes": ("SUNRGBD", "depth/*.png", "sunrgbd"),
}
"""Name -> folder, files, preset."""

OPSET, IR = 18, 10


@dataclass
class Found:
    """Of one set: frames, pixels of the networks' inputs, how many differ, by how much at most; ms a frame."""

    frames: int = 0
    pixels: int = 0
    differing: int = 0
    most: int = 0
    sizes: set[str] = field(default_factory=set)
    graph_ms: list[float] = field(default_factory=list)
    own_ms: list[float] = field(default_factory=list)


def compare(files: list[Path], spec: SensorSpec, size: int, threads: int) -> Found:
    """All frames of one set at one size of the network's input."""
    found = Found()
    sessions: dict[tuple[int, ...], Any] = {}
    for file in files:
        frame = read_frame(file)
        if frame.shape not in sessions:
            sessions = {frame.shape: session(spec, size, frame.shape, threads)}
        began = time.perf_counter()
        (unit,) = sessions[frame.shape].run(["frame"], {"counts": frame[np.newaxis]})
        between = time.perf_counter()
        expected = preprocess(frame, spec, size, str(file))
        found.own_ms.append(1e3 * (time.perf_counter() - between))
        found.graph_ms.append(1e3 * (between - began))
        difference = np.abs(np.rint(unit[0] * CODE_MAX) - np.rint(expected * CODE_MAX))
        found.frames, found.pixels = found.frames + 1, found.pixels + difference.size
        found.differing += int(np.count_nonzero(difference))
        found.most = max(found.most, int(difference.max()))
        found.sizes.add(f"{frame.shape[1]}x{frame.shape[0]}")
    return found


def session(spec: SensorSpec, size: int, shape: tuple[int, ...], threads: int) -> Any:
    """The preprocessing of frames of one shape in ONNX Runtime."""
    model = preprocessing_graph(spec, size, RawInput(shape[0], shape[1]), OPSET, IR)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    return onnxruntime.InferenceSession(
        model.SerializeToString(), options, providers=["CPUExecutionProvider"]
    )


def rows(data: Path, threads: int, most: int | None) -> Iterator[str]:
    """A line of the table for each set and size."""
    for name, (folder, pattern, preset) in SETS.items():
        files = sorted((data / folder).rglob(pattern))[:most]
        for size in (112, 224) if files else ():
            found = compare(files, PRESETS[preset], size, threads)
            shapes = sorted(found.sizes)
            shown = shapes[0] if len(shapes) == 1 else f"{len(shapes)} sizes"
            yield (
                f"| {name} | {found.frames} | {shown} | {size} "
                f"| {found.differing} of {found.pixels:,} | {found.most} | "
                f"{statistics.median(found.graph_ms):.1f} | {statistics.median(found.own_ms):.2f} |"
            )


def main() -> None:
    """Measure, and print the page."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--data", type=Path, default=Path(os.environ.get("TGKT_EDGE_DATA") or "../shared/data")
    )
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--most", type=int, default=None, help="frames of each set; default: all")
    given = parser.parse_args()
    print("# Preprocessing inside the graph\n")
    print(
        f"`python benchmarks/raw.py --threads {given.threads}`: codes of 65,535 that differ between the graph in ONNX"
    )
    print(
        "Runtime and `preprocess`, and the median of milliseconds a frame of both: on a machine that others used, too,"
    )
    print("so compare the two; where frames differ in size, a graph's first run is most of it.\n")
    print("| frames | | of | network input | codes that differ | by at most | graph, ms | `preprocess`, ms |")
    print("|---|---|---|---|---|---|---|---|")
    for row in rows(given.data, given.threads, given.most):
        print(row, flush=True)


if __name__ == "__main__":
    main()
