"""One row of the table in a process of its own, so that its load time and memory are its own, and a crash, too.

Requests are JSON objects, one a line on stdin, each answered with one on stdout: the job first, then ``warm_up``,
``turn`` and ``answer`` as often as asked. It ends when stdin does. Whatever libraries print goes to stderr.
"""

from __future__ import annotations

import json
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tgkt_edge.benchmark.timing import warm_up
from tgkt_edge.bundle.bundle import Bundle
from tgkt_edge.errors import TgktEdgeError, UsageError
from tgkt_edge.evaluation.engine_timing import settle
from tgkt_edge.runtime import Engine, open_engine
from tgkt_edge.system.hardware_state import read

TIMED_FRAMES = 32
"""About so many different frames take turns in the timed calls."""


def batches(frames: NDArray[np.float32], size: int) -> list[NDArray[np.float32]]:
    """About TIMED_FRAMES of (N, 1, S, S) frames as contiguous batches (size, 1, S, S); frames repeat if N < size."""
    count = max(1, min(TIMED_FRAMES, len(frames)) // size)
    return [
        np.ascontiguousarray(frames[np.arange(i * size, (i + 1) * size) % len(frames)]) for i in range(count)
    ]


def padded(frames: NDArray[np.float32], size: int) -> Iterator[tuple[int, NDArray[np.float32]]]:
    """(N, 1, S, S) frames in full batches, each with how many of its rows count: the last is filled up."""
    for first in range(0, len(frames), size):
        part = frames[first : first + size]
        count = len(part)
        if count < size:
            part = np.concatenate([part, np.repeat(part[-1:], size - count, axis=0)])
        yield count, np.ascontiguousarray(part)


def resident() -> tuple[int, int] | None:
    """Resident memory of this process, bytes: now and at its peak. None where the system does not tell."""
    status = read(Path("/proc/self/status"))
    found = dict(re.findall(r"^(VmRSS|VmHWM):\s+(\d+) kB", status, re.MULTILINE))
    return (int(found["VmRSS"]) * 1024, int(found["VmHWM"]) * 1024) if len(found) == 2 else None


class Row:
    """A loaded engine and the frames it is fed.

    Args:
        job: ``bundle``, ``precision``, ``engine``, ``batch``, ``threads`` (None: the engine's own choice) and
            ``inputs``, an .npy file of (N, 1, S, S) float32.
    """

    def __init__(self, job: dict[str, Any]) -> None:
        self._frames: NDArray[np.float32] = np.load(job["inputs"], mmap_mode="r")
        self._batch = int(job["batch"])
        self._batches = batches(self._frames, self._batch)
        self._calls = 0
        self._before = resident()
        begin = time.perf_counter()
        more = {} if job["threads"] is None else {"threads": job["threads"]}
        self.engine: Engine = open_engine(
            Bundle.open(Path(job["bundle"])), job["precision"], job["engine"], **more
        )
        self.about = {"name": self.engine.name, "load_s": time.perf_counter() - begin}

    def _call(self) -> None:
        batch = self._batches[self._calls % len(self._batches)]
        self._calls += 1
        try:
            self.engine.infer(batch)
        except ValueError as error:  # the frames are right, so it is their number
            raise UsageError(f"`batches={self._batch}`: {error}") from error

    def warm_up(self, longest: float) -> dict[str, Any]:
        """Until steady; and the memory that the engine, with its library, has taken."""
        found = warm_up(self._call, longest)
        now = resident()
        if self._before is None or now is None:
            return {"warm_up": found, "resident": None, "peak": None}
        return {"warm_up": found, "resident": now[0] - self._before[0], "peak": now[1] - self._before[0]}

    def turn(self, seconds: float) -> dict[str, Any]:
        """Time calls for so long, one at least, once the traces of the row before are gone (see ``settle``)."""
        settle(self._call)
        begin = time.monotonic()  # one clock for all processes
        ms: list[float] = []
        while not ms or time.monotonic() - begin < seconds:
            start = time.perf_counter()
            self._call()
            ms.append(1000 * (time.perf_counter() - start))
        return {"ms": ms, "began": begin, "ended": time.monotonic()}

    def answer(self, out: str) -> dict[str, Any]:
        """Answer all frames, and write logits and probabilities, (2, N, K) float32, to an .npy file."""
        rows = []
        for count, part in padded(self._frames, self._batch):
            rows.append(np.stack(self.engine.infer(part))[:, :count])
        np.save(out, np.concatenate(rows, axis=1), allow_pickle=False)
        return {}


def main() -> None:
    """Serve the requests on stdin."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the business of who asks
    replies = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    row: Row | None = None
    for line in sys.stdin:
        request = json.loads(line)
        try:
            if row is None:
                row = Row(request)
                reply = row.about
            else:
                does: dict[str, Callable[[Any], dict[str, Any]]] = {
                    "warm_up": row.warm_up,
                    "turn": row.turn,
                    "answer": row.answer,
                }
                reply = does[request["do"]](request["with"])
        except TgktEdgeError as error:
            reply = {"error": str(error), "exit_code": error.exit_code}
        replies.write(json.dumps(reply) + "\n")
        replies.flush()


if __name__ == "__main__":
    main()
