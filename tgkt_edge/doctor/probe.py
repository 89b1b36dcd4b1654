"""Runs a check in a process of its own: a driver library that crashes or hangs must not take doctor with it."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

TIMEOUT = 60.0  # seconds; the first CUDA call on a small board takes many


@dataclass(frozen=True)
class Probed:
    """The JSON object that a check printed last, or why there is none."""

    value: dict[str, Any]
    error: str = ""


def probe(code: str, timeout: float = TIMEOUT) -> Probed:
    """Run ``code`` in this interpreter's like; its last line of stdout is a JSON object."""
    try:
        done = subprocess.run(
            [sys.executable, "-c", code], capture_output=True, text=True, errors="replace", timeout=timeout,
            check=False, stdin=subprocess.DEVNULL,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return Probed({}, f"gave no answer in {timeout:g} s")
    if done.returncode < 0:
        number = -done.returncode
        known = {item.value: item.name for item in signal.Signals}
        return Probed({}, f"crashed with {known.get(number, f'signal {number}')}")
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        lines = done.stderr.strip().splitlines()
        return Probed({}, lines[-1] if lines else f"ended with exit code {done.returncode}")
    try:
        value = json.loads(lines[-1])
    except ValueError:
        return Probed({}, f"printed no answer but {lines[-1]!r}")
    return Probed(value) if isinstance(value, dict) else Probed({}, f"printed no object but {lines[-1]!r}")
