"""Frames of a V4L2 camera, answered by an LD_PRELOAD shim in place of the kernel, read in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from tests.support.cli import cli_environment
from tests.support.v4l2 import CAMERA

# Reads frames and reports them: what the source hands out, not what a model makes of it.
READ = """
import json, sys, time
import numpy as np
from tgkt_edge.errors import TgktEdgeError
from tgkt_edge.runtime import open_source
from tgkt_edge.runtime.sources.v4l2 import V4l2Source
from tgkt_edge.sensor import PRESETS
camera, preset, count, saved, timeout = sys.argv[1:]
frames, report = [], []
try:
    if timeout != "0":
        source = V4l2Source("/dev/video42", PRESETS.get(preset), float(timeout))
    else:
        source = open_source(camera, PRESETS[preset])
    with source:
        assert source.live
        for _ in range(int(count)):
            captured = source.read()
            frames.append(captured.frame if captured.frame is not None else np.zeros(0))
            report.append({
                "number": captured.number, "error": captured.error, "age": time.time() - captured.time,
                "time": captured.time, "lost": captured.lost, "format": str(source.format),
            })
    source.close()
except TgktEdgeError as error:
    report.append({"lost": str(error), "code": error.exit_code})
np.savez(saved, *frames)
print(json.dumps(report))
"""


class Read:
    """What READ found: frames, and a line about each or about the end."""

    def __init__(self, frames: list[NDArray[Any]], report: list[dict[str, Any]]) -> None:
        self.frames, self.report = frames, report

    @property
    def lost(self) -> str:
        assert self.report[-1]["code"] == 5, self.report
        return str(self.report[-1]["lost"])


@pytest.fixture
def read(tmp_path: Path, shim: str) -> Callable[..., Read]:
    def call(preset: str = "depth", count: int = 4, timeout: float = 0, **shape: object) -> Read:
        env = cli_environment(
            LD_PRELOAD=shim, **{f"SHIM_{name}": str(value) for name, value in shape.items()}
        )
        saved = tmp_path / "frames.npz"
        done = subprocess.run(
            [sys.executable, "-c", READ, CAMERA, preset, str(count), saved, str(timeout)],
            env=env, check=True, timeout=60, capture_output=True, text=True,
        )  # fmt: skip
        with np.load(saved) as archive:
            return Read([archive[name] for name in archive.files], json.loads(done.stdout))

    return call
