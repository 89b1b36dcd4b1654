"""A sink of frames, frames for it with their decisions, and what it kept."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tests.support.sinks import INFO
from tgkt_edge.runtime.records import Candidate, Decision
from tgkt_edge.runtime.sinks import Message, Sink, open_sink


def message(number: int, frame: NDArray[Any], lead: float = 0.9, time: float | None = None) -> Message:
    top = (Candidate("a", (1 + lead) / 2), Candidate("b", (1 - lead) / 2))
    about = Decision("a", top[0].probability, top, time=float(number) if time is None else time, frame=number)
    return Message(about, frame)


def opened(folder: Path, options: str = "") -> Sink:
    sink = open_sink(f"frames:{folder}?{options}".rstrip("?"))
    sink.open(INFO)
    return sink


def lines(folder: Path) -> list[dict[str, Any]]:
    index = folder / "frames.jsonl"
    return [json.loads(line) for line in index.read_text().splitlines()] if index.exists() else []


def bytes_in(folder: Path) -> int:
    return sum(path.stat().st_blocks * 512 for path in folder.rglob("*") if path.is_file())


def noise_frames(count: int, seed: int = 0) -> list[NDArray[Any]]:
    """(120, 160) uint16 that no PNG makes smaller: 38 KB each."""
    rng = np.random.default_rng(seed)
    return list(rng.integers(1, 9000, (count, 120, 160)).astype(np.uint16))
