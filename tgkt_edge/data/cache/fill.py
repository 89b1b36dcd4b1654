"""Decoding what a file of rows misses, in several processes: threads wait for Python's own lock."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from tgkt_edge.data.bad_files import Progress
from tgkt_edge.data.cache.rows_file import RowsFile, room_refused
from tgkt_edge.data.cache.worker import Decoder, Piece
from tgkt_edge.data.recipes import Item, Recipe
from tgkt_edge.errors import TgktEdgeError
from tgkt_edge.system.cpu import usable_cpus
from tgkt_edge.system.threads import in_threads

A_PIECE = 64
"""Items that a process is given at once; fewer than two of these are decoded in this process."""

MOST = 32
"""Processes."""

_CODE = "import json, sys; sys.path[:] = json.loads(sys.argv[1]); from tgkt_edge.data.cache.worker import main; main()"

Bad = list[tuple[int, str]]
"""Numbers of items that cannot be used, and why."""


def fill(
    file: RowsFile,
    recipe: Recipe,
    items: Sequence[Item],
    digests: Mapping[Path, str],
    what: str,
    progress: Progress | None,
) -> Bad:
    """Write all ``file.missing`` rows that can be decoded; returns the others, ascending.

    Args:
        digests: of the items' files, which are compared with what is read now.

    Raises:
        TgktEdgeError: the disk refused, or a process was killed.
    """
    pieces = [file.missing[i : i + A_PIECE] for i in range(0, len(file.missing), A_PIECE)]
    count = _Count(what, len(items), len(items) - len(file.missing), progress)
    workers = min(usable_cpus(), MOST, len(pieces))
    if workers < 2:
        return _here(file, recipe, items, digests, count)
    bad: Bad = []
    todo = iter(pieces)
    gate = threading.Lock()
    stop = threading.Event()

    def serve(worker: _Worker) -> None:
        try:
            while not stop.is_set():
                with gate:
                    rows = next(todo, None)
                if rows is None:
                    return
                found = worker.decode([(row, items[row]) for row in rows], digests)
                with gate:
                    bad.extend(found)
                    count.add(len(rows))
        except BaseException:
            stop.set()
            raise

    running = [_Worker(file, recipe) for _ in range(workers)]
    try:
        with ThreadPoolExecutor(max_workers=workers) as pool:
            for done in [pool.submit(serve, worker) for worker in running]:
                done.result()
    finally:
        stop.set()
        for worker in running:
            worker.end()
    return sorted(bad)


def _here(
    file: RowsFile, recipe: Recipe, items: Sequence[Item], digests: Mapping[Path, str], count: _Count
) -> Bad:
    decoder, bad = Decoder(recipe, file, digests), []

    def decode(piece: Piece) -> str | None:
        return decoder.decode(piece)

    with room_refused(file.path, file.layout.size):
        pieces = ((row, items[row]) for row in file.missing)
        for row, reason in zip(file.missing, in_threads(decode, pieces), strict=True):
            if reason is not None:
                bad.append((row, reason))
            count.add(1)
    return bad


class _Count:
    """How many rows are there, for the person who waits."""

    def __init__(self, what: str, total: int, done: int, progress: Progress | None) -> None:
        self._what, self._total, self._done, self._progress = what, total, done, progress

    def add(self, rows: int) -> None:
        self._done += rows
        if self._progress is not None:
            self._progress(self._what, self._done, self._total)


class _Worker:
    """A process of :mod:`tgkt_edge.data.cache.worker`, which writes into the same open file."""

    def __init__(self, file: RowsFile, recipe: Recipe) -> None:
        self._path = file.path
        self._process = subprocess.Popen(
            [sys.executable, "-c", _CODE, json.dumps(sys.path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            text=True, encoding="utf-8", pass_fds=[file.descriptor], start_new_session=True,
            env={**os.environ, "OMP_NUM_THREADS": "1", "OPENCV_FOR_THREADS_NUM": "1"},
        )  # fmt: skip
        self._size = file.layout.size
        job = {
            "path": str(file.path),
            "descriptor": file.descriptor,
            "rows": file.layout.rows,
            "recipe": recipe.to_dict(),
        }
        self._send(job)

    def decode(self, pieces: Sequence[Piece], digests: Mapping[Path, str]) -> Bad:
        """Have rows written; returns those that cannot be."""
        files = {file for _, item in pieces for file in item if file in digests}
        self._send(
            {
                "items": [[row, [str(file) for file in item]] for row, item in pieces],
                "digests": {str(file): digests[file] for file in files},
            }
        )
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise TgktEdgeError(
                f"{self._path}: a process that decodes images ended ({self._ending()}). What it wrote is kept: run the "
                f"same again to go on."
            )
        reply: dict[str, Any] = json.loads(line)
        with room_refused(self._path, self._size):
            if "error" in reply:
                raise OSError(reply["errno"], reply["error"])
        return [(int(row), str(reason)) for row, reason in reply["bad"]]

    def end(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.communicate()

    def _send(self, request: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(request) + "\n")
            self._process.stdin.flush()
        except BrokenPipeError:
            pass  # it ended: reading its answer says so

    def _ending(self) -> str:
        code = self._process.wait()
        return f"signal {-code}, perhaps for want of memory" if code < 0 else f"exit code {code}"
