"""A run in a process of its own whose camera, broker and disk a test takes away."""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.support.cli import cli_environment
from tests.support.waiting import wait_until


class Disk:
    """A small disk that can be full: a tmpfs that only the run sees; else a limit of file sizes."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()
        mount = f"mount -t tmpfs -o size=32m tmpfs {folder}"
        self.own = shutil.which("unshare") is not None and (
            subprocess.run(["unshare", "-m", "sh", "-c", mount], capture_output=True, check=False).returncode
            == 0
        )
        self._prefix = ["unshare", "-m", "sh", "-c", f'{mount} && exec "$@"', "sh"] if self.own else []
        self._pid = 0

    def command(self, words: list[str]) -> list[str]:
        """The command line that starts ``words`` with this disk at ``folder``."""
        return [*self._prefix, *words]

    def belongs_to(self, pid: int) -> None:
        """The process that ``command`` started: its view of the folder is where the disk is."""
        self._pid = pid
        if self.own:
            self.folder = Path(f"/proc/{pid}/root{self.folder}")

    def fill(self) -> None:
        """Leave no room."""
        if not self.own:
            resource.prlimit(self._pid, resource.RLIMIT_FSIZE, (1, resource.RLIM_INFINITY))
            return
        with pytest.raises(OSError, match="No space"), (self.folder / "filler").open("wb", 0) as file:
            while True:
                file.write(bytes(4096))

    def free(self) -> None:
        """Give the room back."""
        if self.own:
            (self.folder / "filler").unlink()
        else:
            resource.prlimit(
                self._pid, resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY)
            )


class WatchedRun:
    """A run in a process of its own, what it says while it runs, and the switches of its camera."""

    def __init__(self, command: list[str], folder: Path, shim: str, **shape: object) -> None:
        self.switches = {name: folder / name for name in ("GONE", "QUIET", "HANG", "SMALL")}
        more = {f"SHIM_{name}": str(path) for name, path in self.switches.items()}
        more |= {f"SHIM_{name}": str(value) for name, value in shape.items()}
        self.records: list[dict[str, Any]] = []
        self.states: Counter[str] = Counter()
        self.errors = 0
        self.stderr = folder / "stderr"
        with self.stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=stderr, env=cli_environment(LD_PRELOAD=shim, **more)
            )
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            record = json.loads(line)  # every line is whole
            self.records.append(record)
            if record.get("event") == "state":
                self.states[record["state"]] += 1
            elif "error" in record:
                self.errors += 1

    @property
    def frames(self) -> list[int]:
        """Numbers of all frames that were answered on stdout so far."""
        return [record["frame"] for record in list(self.records) if "frame" in record]

    def until(self, condition: Any, what: str) -> None:
        """Wait for something that the run does."""

        def reached() -> bool:
            assert self.process.poll() is None, self.stderr.read_text()
            return bool(condition())

        wait_until(reached, what, 120)

    def more(self, count: int) -> None:
        """Wait for so many more records."""
        expected = len(self.records) + count
        self.until(lambda: len(self.records) >= expected, f"{count} more records")

    @contextlib.contextmanager
    def switched(self, name: str, state: str) -> Iterator[None]:
        """Switch one fault on, wait until the run says ``state``, and after the block until frames come again."""
        before = self.states[state]
        self.switches[name].touch()
        self.until(lambda: self.states[state] > before, f"{state} with {name}")
        yield
        live = self.states["live"]
        self.switches[name].unlink()
        self.until(lambda: self.states["live"] > live, f"live after {name}")
        self.more(3)

    def replug(self) -> None:
        """Unplug the camera, and plug it in again once that was noticed."""
        with self.switched("GONE", "lost"):
            pass

    def comes_back_small(self) -> None:
        """Unplug the camera, and plug it in again in another size, which it keeps until the run has refused that."""
        lost, live = self.states["lost"], self.states["live"]
        self.switches["SMALL"].touch()
        self.switches["GONE"].touch()
        self.until(lambda: self.states["lost"] > lost, "lost with GONE")
        said = len(self.records)
        self.switches["GONE"].unlink()
        self.until(
            lambda: any("64x24" in record.get("detail", "") for record in self.records[said:]),
            "a refusal of the other size",
        )
        self.switches["SMALL"].unlink()
        self.until(lambda: self.states["live"] > live, "live in its own size")
        self.more(3)

    def size(self) -> dict[str, int]:
        """Threads, open files and kilobytes in memory."""
        proc = Path(f"/proc/{self.process.pid}")
        resident = int((proc / "status").read_text(encoding="ascii").split("VmRSS:")[1].split()[0])
        return {
            "threads": len(os.listdir(proc / "task")),
            "files": len(os.listdir(proc / "fd")),
            "kB": resident,
        }

    def end(self, number: signal.Signals = signal.SIGTERM) -> float:
        """Send a signal; return the seconds until the process was gone."""
        begin = time.monotonic()
        self.process.send_signal(number)
        self.process.wait(60)
        seconds = time.monotonic() - begin
        self._listener.join(60)
        return seconds

    def __enter__(self) -> WatchedRun:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(60)
        self._listener.join(60)
        assert self.process.stdout is not None
        self.process.stdout.close()
