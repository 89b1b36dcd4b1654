"""Left alone: one run that loses its camera, broker, disk and most frames again and again, and goes on.

The camera is the V4L2 shim, the broker a real Mosquitto, the disk a small tmpfs; the run is a process of its own, so
that what grows can be seen from outside.
"""

from __future__ import annotations

import contextlib
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tgkt_edge.bundle import Bundle

CAMERA = "v4l2:///dev/video42"
UNPLUGGED, RESTARTS, SPOILT = 200, 50, 10_000

pytestmark = pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="growth is read from /proc")

# `tgkt-edge run` with waits that fit a test: its own are for cameras and brokers that stay away for hours.
RUN = """
import sys
from pathlib import Path
import paho.mqtt.client as mqtt
from tgkt_edge.runtime.pipeline import run
from tgkt_edge.runtime.reconnect import Backoff, Retry
delays = mqtt.Client.reconnect_delay_set
mqtt.Client.reconnect_delay_set = lambda client, *_: delays(client, 0.02, 0.05)
bundle, camera, *sinks = sys.argv[1:]
retry = Retry(stall=0.3, hung_read=1.0, backoff=Backoff(first=0.002, most=0.02))
run(Path(bundle), camera, drop="none", retry=retry, sinks=sinks, live=False)
"""


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


class Run:
    """A run in a process of its own, what it says while it runs, and the switches of its camera."""

    def __init__(self, command: list[str], folder: Path, kit: Any, shim: str, **shape: object) -> None:
        self.switches = {name: folder / name for name in ("GONE", "QUIET", "HANG", "SMALL")}
        more = {f"SHIM_{name}": str(path) for name, path in self.switches.items()}
        more |= {f"SHIM_{name}": str(value) for name, value in shape.items()}
        self.records: list[dict[str, Any]] = []
        self.states: Counter[str] = Counter()
        self.errors = 0
        self.stderr = folder / "stderr"
        with self.stderr.open("wb") as stderr:
            self.process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=stderr, env=kit.environment(LD_PRELOAD=shim, **more)
            )
        self._listener = threading.Thread(target=self._listen)
        self._listener.start()
        self._kit = kit

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

        self._kit.until(reached, what, 120)

    def more(self, count: int) -> None:
        """Wait for so many more records."""
        wanted = len(self.records) + count
        self.until(lambda: len(self.records) >= wanted, f"{count} more records")

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

    def __enter__(self) -> Run:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(20)
        self._listener.join(20)
        assert self.process.stdout is not None
        self.process.stdout.close()


def every_fault_once(run: Run, disk: Disk, broker: Any) -> None:
    """A camera that comes back small, one that is silent, one whose driver hangs; a full disk; a new broker."""
    run.switches["SMALL"].touch()
    run.replug()
    run.more(60)
    run.switches["SMALL"].unlink()
    run.replug()
    with run.switched("QUIET", "stalled"):
        pass
    with run.switched("HANG", "lost"):
        pass
    disk.fill()
    run.more(300)
    disk.free()
    broker.stop()
    broker.start()
    run.more(60)


def test_a_run_outlives_its_camera_broker_and_disk_and_loses_no_decision(
    tmp_path: Path, shim: str, kit: Any, depth_bundle: Bundle, mosquitto: Any, subscriber: Any
) -> None:
    disk, broker = Disk(tmp_path / "disk"), mosquitto(tmp_path)
    broker.start()
    sinks = [
        "jsonl:-",
        f"jsonl:{disk.folder}/log.jsonl",
        f"mqtt://127.0.0.1:{broker.port}/t?buffer=1000000",
        "http://127.0.0.1:0",
    ]
    command = disk.command([sys.executable, "-c", RUN, str(depth_bundle.path), CAMERA, *sinks])
    with (
        subscriber(broker.port) as reader,
        Run(command, tmp_path, kit, shim, FPS=2000, SPOILT=3) as run,
        contextlib.closing(contextlib.ExitStack()) as last,
    ):
        last.callback(broker.stop)
        disk.belongs_to(run.process.pid)
        run.more(1000)
        for _ in range(10):
            run.replug()
        every_fault_once(run, disk, broker)
        kit.until(lambda: reader.frames()[-1:] > [run.frames[-1] - 500], "the broker's share", 60)
        before = run.size()

        def restart_broker() -> None:
            for restart in range(RESTARTS):
                broker.stop()
                broker.start()
                got = len(reader.got)
                kit.until(
                    lambda got=got: len(reader.got) > got + 5, f"decisions after restart {restart}", 120
                )

        restarting = threading.Thread(target=restart_broker)
        restarting.start()
        for cycle in range(UNPLUGGED):
            run.replug()
            if cycle % 50 == 25:
                every_fault_once(run, disk, _Untouched())
        restarting.join(120)
        assert not restarting.is_alive()
        run.until(lambda: run.errors >= SPOILT, f"{SPOILT} spoilt frames")
        kit.until(lambda: reader.frames()[-1:] > [run.frames[-1] - 500], "the broker's share", 60)
        after = run.size()

        # No more frames: now everybody must have all of them.
        run.switches["GONE"].touch()
        lost = run.states["lost"]
        run.until(lambda: run.states["lost"] > lost, "the last loss")
        count = len(run.frames)
        kit.until(lambda: len(set(reader.frames())) >= count, f"all {count} decisions", 60)
        log = [json.loads(line) for line in (disk.folder / "log.jsonl").read_text().splitlines()]
        run.end()

    said = run.stderr.read_text()
    print(f"{count} frames, {run.errors} spoilt; {before} before, {after} after\n{said[-2000:]}")
    assert run.process.returncode == 0, said
    assert run.frames == list(range(count))
    assert [record["frame"] for record in log if "frame" in record] == run.frames
    assert list(dict.fromkeys(reader.frames())) == run.frames  # QoS 1: some arrive twice, none is missing
    wrong = [record["error"] for record in run.records if "error" in record]
    for reason in ("as damaged", "is incomplete", "64x24"):
        assert sum(reason in error for error in wrong) > 100, reason
    assert len(wrong) >= SPOILT
    reopened = (
        UNPLUGGED + 10 + 5 * 3 + 1
    )  # and two size changes and a hung driver in each of every_fault_once
    assert (
        reopened <= int(said.split("camera lost ")[1].split()[0]) <= reopened + 5
    )  # a slow stall may add one
    assert "log.jsonl: 0 messages lost, " in said
    assert "/t: 0 messages lost, " in said
    assert "No space left on device" in said or "File too large" in said
    assert after["threads"] <= before["threads"]
    assert after["files"] <= before["files"]
    assert after["kB"] - before["kB"] < 10_000, (before, after)


class _Untouched:
    """A broker that somebody else restarts."""

    def stop(self) -> None:
        """Nothing."""

    def start(self) -> None:
        """Nothing."""


@pytest.mark.parametrize("case", ["hung from the start", "hung later", "hung later, as is the broker"])
def test_sigterm_ends_a_run_whose_driver_hangs_within_two_seconds(
    tmp_path: Path, shim: str, kit: Any, depth_bundle: Bundle, mosquitto: Any, subscriber: Any, case: str
) -> None:
    log = tmp_path / "log.jsonl"
    with mosquitto(tmp_path) as broker, subscriber(broker.port) as reader:
        sinks = ["jsonl:-", f"jsonl:{log}", f"mqtt://127.0.0.1:{broker.port}/t", "http://127.0.0.1:0"]
        if case == "hung from the start":
            (tmp_path / "HANG").touch()  # opening takes a first frame
        words = kit.command("run", depth_bundle.path, "--camera", CAMERA, "--drop", "none", "--no-live")
        command = [*words, *(word for sink in sinks for word in ("--sink", sink))]
        with Run(command, tmp_path, kit, shim, FPS=500) as run:
            run.until(lambda: reader.last("t/status") == "online", "the sinks")
            if case != "hung from the start":
                run.more(200)
            if "broker" in case:
                broker.process.send_signal(signal.SIGSTOP)
                run.more(200)
            run.switches["HANG"].touch()
            kit.until(lambda: quiet(run), "the hang")
            seconds = run.end()
            broker.process.send_signal(signal.SIGCONT)
        frames, said = run.frames, run.stderr.read_text()
        print(f"{case}: {len(frames)} frames, gone after {seconds:.2f} s\n{said}")
        assert run.process.returncode == 0, said
        assert "ended by: terminated" in said
        assert frames == list(range(len(frames)))
        assert (len(frames) > 150) == (case != "hung from the start")
        assert [r["frame"] for r in map(json.loads, log.read_text().splitlines()) if "frame" in r] == frames
        kit.until(lambda: reader.last("t/status") == "offline", "the sink's last word or the last will", 60)
        if "broker" not in case:
            assert reader.frames() == frames
        assert seconds < 2  # what a service manager is promised


def quiet(run: Run) -> bool:
    """Whether no record came for a while."""
    before = len(run.records)
    time.sleep(0.1)
    return len(run.records) == before
