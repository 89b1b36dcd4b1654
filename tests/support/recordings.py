"""Recordings made and read in this process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tgkt_edge.runtime import open_source
from tgkt_edge.runtime.recorder.record import RecordSummary, record
from tgkt_edge.sensor import PRESETS


def record_quietly(camera: object, out: Path, **how: Any) -> RecordSummary:
    """Record without the live line."""
    return record(str(camera), out, live=False, **how)


def replay(folder: Path, preset: str = "depth", **how: Any) -> list[Any]:
    """All frames of a recording, or of any source that ends."""
    with open_source(str(folder), PRESETS[preset], **how) as source:
        assert source.live is False
        return list(iter(source.read, None))


def recorded_lines(folder: Path) -> list[dict[str, Any]]:
    """What the recording's index says of each frame."""
    return [json.loads(line) for line in (folder / "frames.jsonl").read_text().splitlines()]
