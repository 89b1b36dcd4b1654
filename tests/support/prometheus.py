"""A real Prometheus, which scrapes processes on this machine and is asked over its own HTTP interface."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import urllib.parse
import urllib.request
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.support.waiting import wait_until

PROGRAM = shutil.which("prometheus")


def free_port() -> int:
    """A port of this machine that nobody listens on."""
    with closing(socket.create_server(("127.0.0.1", 0))) as free:
        return int(free.getsockname()[1])


class Prometheus:
    """Prometheus in a process of its own, a context manager; without the program the test skips.

    Args:
        config: of ``prometheus.yml``; file names in it are relative to ``folder``.
    """

    def __init__(self, folder: Path, config: str) -> None:
        if PROGRAM is None:
            pytest.skip("needs prometheus (Debian's package)")
        self.port = free_port()
        (folder / "prometheus.yml").write_text(config, encoding="utf-8")
        self.log = folder / "prometheus.log"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [
                    PROGRAM,
                    f"--config.file={folder / 'prometheus.yml'}",
                    f"--storage.tsdb.path={folder / 'prometheus'}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                ],
                stdout=log,
                stderr=log,
            )

    def api(self, path: str, **query: str) -> Any:
        """The data that ``/api/v1/PATH`` answers."""
        address = f"http://127.0.0.1:{self.port}/api/v1/{path}?{urllib.parse.urlencode(query)}"
        with urllib.request.urlopen(address, timeout=30) as answer:
            found = json.load(answer)
        assert found["status"] == "success", found
        return found["data"]

    def values(self, expression: str) -> list[float]:
        """Of each series that an expression gives now."""
        return [float(series["value"][1]) for series in self.api("query", query=expression)["result"]]

    def __enter__(self) -> Prometheus:
        def answers() -> bool:
            assert self._process.poll() is None, self.log.read_text(encoding="utf-8")
            try:
                return bool(self.api("status/buildinfo"))
            except OSError:
                return False

        try:
            wait_until(answers, "Prometheus to answer")
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def _end(self) -> None:
        self._process.kill()
        self._process.wait(60)
