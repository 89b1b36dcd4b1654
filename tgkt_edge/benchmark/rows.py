"""A row of the table as seen from outside: the process that measures it, and what it has reported so far."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tgkt_edge.benchmark.timing import percentiles, stability
from tgkt_edge.errors import TgktEdgeError
from tgkt_edge.runtime.engines.base import Answer
from tgkt_edge.system.hardware_state import nvidia_smi, read

_PATIENCE = 5.0  # seconds that an idle process gets to end

# The process sees the same libraries as this one, wherever they came from.
_CODE = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from tgkt_edge.benchmark.worker import main; main()"


class RowFailed(Exception):
    """A row cannot run, or no longer: why, and the exit code that stands for it."""

    def __init__(self, why: str, exit_code: int = TgktEdgeError.exit_code) -> None:
        super().__init__(why)
        self.why, self.exit_code = why, exit_code


class Worker:
    """A process that runs :mod:`tgkt_edge.benchmark.worker`.

    Args:
        log: file that takes what it and its libraries print.
    """

    def __init__(self, log: Path) -> None:
        self._log = log
        with log.open("wb") as file:
            # In a session of its own: a Ctrl-C in the terminal is for this process, which then says what it has.
            self._process = subprocess.Popen(
                [sys.executable, "-c", _CODE, json.dumps(sys.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                stderr=file, text=True, encoding="utf-8", start_new_session=True,
            )  # fmt: skip

    @property
    def pid(self) -> int:
        """Of the process."""
        return self._process.pid

    def ask(self, request: dict[str, Any]) -> dict[str, Any]:
        """Send a request and wait for its answer. Raises RowFailed."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
            line = self._process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RowFailed(self._ended())
        reply: dict[str, Any] = json.loads(line)
        if "error" in reply:
            raise RowFailed(reply["error"], reply["exit_code"])
        return reply

    def close(self, patience: float = _PATIENCE) -> None:
        """End the process; it is killed if it does not end in ``patience`` seconds. Closing twice is harmless."""
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                try:
                    pipe.close()
                except BrokenPipeError:  # a request that it did not live to read
                    continue
        try:
            self._process.wait(patience)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def _ended(self) -> str:
        code = self._process.wait()
        lines = self._log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
        last = f": {lines[-1]}" if lines else ""
        if code == -signal.SIGKILL:
            return f"its process was killed (SIGKILL): out of memory?{last}"
        if code < 0:
            known = {item.value: item.name for item in signal.Signals}
            return f"its process crashed with {known.get(-code, f'signal {-code}')}{last}"
        return f"its process ended with exit code {code}{last}"


@dataclass
class Row:
    """One precision on one engine at one batch, and what was measured of it.

    Attributes:
        precision, engine, batch: as asked for. bundle: that it is of. shown: whether its title names the bundle.
        why, exit_code: why it did not run, or not to its end; "" and 0: nothing went wrong.
        name: the engine's own, once it was loaded.
        load_s: seconds from nothing to a loaded engine: its library, checksum, optimising, first inference.
        memory: ``resident`` and ``peak``, bytes that the process grew by, its library included; ``device``, bytes of
            GPU memory, and ``device_told_by``; each None where the machine does not tell.
        warm_up: see :func:`tgkt_edge.benchmark.timing.warm_up`.
        rounds: milliseconds of every call, by round.
        began: when each round began, seconds on a clock common to all rows.
        answers: logits and probabilities of all frames, if asked for.
    """

    precision: str
    engine: str
    batch: int
    bundle: Path
    shown: bool = False
    why: str = ""
    exit_code: int = 0
    name: str = ""
    load_s: float | None = None
    memory: dict[str, Any] = field(default_factory=dict)
    warm_up: dict[str, Any] = field(default_factory=dict)
    rounds: list[list[float]] = field(default_factory=list)
    began: list[float] = field(default_factory=list)
    answers: Answer | None = None
    worker: Worker | None = None

    @property
    def ran(self) -> bool:
        """Whether anything was timed."""
        return bool(self.rounds)

    @property
    def title(self) -> str:
        """For messages."""
        start = f"{self.bundle.name}: " if self.shown else ""
        return f"{start}{self.precision} on {self.engine}, batch {self.batch}"

    def load(self, job: dict[str, Any], longest_warm_up: float, log: Path) -> None:
        """Start the process, load the engine, warm it up. What goes wrong is kept in ``why``."""
        before = device_memory()
        self.worker = Worker(log)
        job = {**job, "precision": self.precision, "engine": self.engine, "batch": self.batch}
        reply = self._ask(job)
        if reply is None:
            return
        self.name, self.load_s = reply["name"], reply["load_s"]
        reply = self._ask({"do": "warm_up", "with": longest_warm_up})
        if reply is None:
            return
        self.warm_up = reply["warm_up"]
        device, told_by = memory_growth(before, device_memory(), self.worker.pid)
        self.memory = {
            "resident": reply["resident"],
            "peak": reply["peak"],
            "device": device,
            "device_told_by": told_by,
        }

    def take_turn(self, seconds: float) -> None:
        """One round."""
        reply = self._ask({"do": "turn", "with": seconds})
        if reply is not None:
            self.rounds.append(reply["ms"])
            self.began.append(reply["began"])

    def answer(self, out: Path) -> None:
        """Have all frames answered; ``out`` is a file in between."""
        if self._ask({"do": "answer", "with": str(out)}) is not None:
            logits, probabilities = np.load(out, allow_pickle=False)
            self.answers = logits, probabilities

    def stop(self, patience: float = _PATIENCE) -> None:
        """End the process, if there is one."""
        worker, self.worker = self.worker, None
        if worker is not None:
            worker.close(patience)

    def fail(self, why: str, exit_code: int = TgktEdgeError.exit_code) -> None:
        """Keep why it does not run, or no longer, and end its process."""
        self.why, self.exit_code = why, exit_code
        self.stop()

    def _ask(self, request: dict[str, Any]) -> dict[str, Any] | None:
        assert self.worker is not None
        try:
            return self.worker.ask(request)
        except RowFailed as failed:
            self.fail(failed.why, failed.exit_code)
            return None

    def result(self) -> dict[str, Any]:
        """For JSON; what compares rows with each other is not in it. ``ms`` is of a call, that is of a batch."""
        every = [value for values in self.rounds for value in values]
        medians = [percentiles(values)["median"] for values in self.rounds]
        return {
            "bundle": str(self.bundle),
            "shown": self.shown,
            "precision": self.precision,
            "engine": self.engine,
            "batch": self.batch,
            "ran": self.ran,
            "why": self.why or None,
            "exit_code": self.exit_code,
            "name": self.name or None,
            "load_s": self.load_s,
            "memory": self.memory or None,
            "warm_up": self.warm_up or None,
            "calls": len(every),
            "ms": percentiles(every) if every else None,
            "frames_per_second": 1000 * self.batch * len(every) / sum(every) if every else None,
            "round_medians_ms": medians,
            "began_s": self.began,
            "stability": stability(medians) if every else None,
        }


def device_memory() -> dict[str, dict[int, int]]:
    """Bytes of GPU memory in use, by origin: ``process`` by process id, ``gpu`` by number, ``nvmap`` of a Jetson."""
    memory: dict[str, dict[int, int]] = {}
    for key, query in (
        ("process", "--query-compute-apps=pid,used_memory"),
        ("gpu", "--query-gpu=index,memory.used"),
    ):
        rows = [row for row in nvidia_smi(query) or () if len(row) == 2 and all(c.isdigit() for c in row)]
        if rows:
            memory[key] = {int(number): int(mib) * 2**20 for number, mib in rows}
    for line in read(Path("/proc/meminfo")).splitlines():
        name, _, amount = line.partition(":")
        if name == "NvMapMemUsed":
            memory["nvmap"] = {0: int(amount.split()[0]) * 1024}
    return memory


def memory_growth(
    before: dict[str, dict[int, int]], after: dict[str, dict[int, int]], pid: int
) -> tuple[int | None, str | None]:
    """GPU memory that loading took, bytes, and in words who tells: the process itself, else the growth of the whole."""
    if pid in after.get("process", {}):
        return after["process"][pid], "nvidia-smi, this process"
    for key, who in (("nvmap", "growth of NvMapMemUsed"), ("gpu", "growth of nvidia-smi's memory.used")):
        if key in before and key in after:
            return sum(after[key].values()) - sum(before[key].values()), who
    return None, None
