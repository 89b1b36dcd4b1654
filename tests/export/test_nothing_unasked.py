"""What every command writes and whom it asks on the network, as the kernel sees it: what it was told, and nothing else.

Libraries have habits of their own: device ids, upload queues, caches under the home folder, look-ups of their vendor.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

from tests.support.bundles import save_near_or_far
from tests.support.images import make_frames, save_frames
from tgkt_edge.library_defaults import DEFAULTS, apply_library_defaults

COMMAND = Path(sys.executable).with_name("tgkt-edge")
CALLS = "open,openat,creat,mkdir,mkdirat,mknod,rename,renameat,renameat2,link,linkat,symlink,symlinkat,connect,sendto"
ADAPT = "--source-model {source} --sensor depth --target {data}/target --paired {data}/paired -o {out}/run"
SMALL = "--translator pixels --image-size 32 --batch 12 --epochs 1 --device cpu --precision fp32"
# OpenMP's and Python's semaphores live in memory; PyTorch asks the kernel to forget its own peak of memory.
HARMLESS = re.compile(r"/dev/(null|tty|shm/.*)|/proc/\d+/.*")


@dataclass(frozen=True)
class Seen:
    """What a process and its children did."""

    done: subprocess.CompletedProcess[str]
    written: set[str]
    asked: set[str]


@dataclass(frozen=True)
class Watch:
    """Runs a command with a home and a temporary folder of its own, under strace."""

    folder: Path

    def __call__(self, *command: object) -> Seen:
        home, temporary = self.folder / "home", self.folder / "tmp"
        for folder in (home, temporary):
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
        traces = self.folder / "traces"
        shutil.rmtree(traces, ignore_errors=True)
        traces.mkdir()
        environment = {
            "PATH": os.environ["PATH"], "HOME": str(home), "TMPDIR": str(temporary), "LANG": "C.UTF-8",
            "OMP_NUM_THREADS": "1", "PYTHONDONTWRITEBYTECODE": "1",
        }  # fmt: skip
        strace = [
            "strace",
            "-ff",
            "--seccomp-bpf",
            "-y",
            "-qq",
            "-s",
            "300",
            "-e",
            f"trace={CALLS}",
            "-o",
            traces / "trace",
        ]
        done = subprocess.run(
            [*map(str, strace), *map(str, command)], env=environment, cwd=self.folder, capture_output=True,
            text=True, timeout=600, check=False,
        )  # fmt: skip
        lines = [line for file in traces.iterdir() for line in file.read_text(errors="replace").splitlines()]
        return Seen(done, set(_written(lines)), set(_asked(lines)))

    def left(self) -> set[str]:
        """What still lies in the two folders."""
        places = (self.folder / "home", self.folder / "tmp")
        return {str(path.relative_to(self.folder)) for place in places for path in place.rglob("*")}


def _written(lines: list[str]) -> Iterator[str]:
    """Paths that were opened to be written, made or renamed to, of calls that succeeded."""
    for line in lines:
        if re.search(r"= -1 E\w+ \(.*\)$", line):
            continue
        if line.startswith(("open", "creat")):
            found = re.search(r"= \d+<(.*)>$", line)
            if found and re.search(r"O_WRONLY|O_RDWR|O_CREAT|^creat", line):
                yield found.group(1).removesuffix("(deleted)")
        elif line.startswith(("mkdir", "mknod", "rename", "link", "symlink")):
            base, name = re.findall(r'(?:<([^>]*)>, )?"((?:[^"\\]|\\.)*)"', line)[-1]
            yield os.path.join(base, name)


def _asked(lines: list[str]) -> Iterator[str]:
    """Hosts and name services that were talked to, and the files that a look-up of a host begins with."""
    for line in lines:
        talk = line.startswith(("connect", "sendto")) and re.search(r"sa_family=AF_INET|resolve", line)
        if talk or (line.startswith("open") and re.search(r'"/etc/(resolv\.conf|hosts)"', line)):
            yield line


@pytest.fixture
def watch(tmp_path: Path) -> Watch:
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    if subprocess.run(["strace", "-o", tmp_path / "o", "true"], capture_output=True, check=False).returncode:
        pytest.skip("strace may not trace here")
    return Watch(tmp_path)


@pytest.mark.slow
def test_the_watch_sees_files_folders_and_look_ups(watch: Watch) -> None:
    code = (
        "import os, socket, subprocess, sys; home = os.path.expanduser('~'); os.mkdir(home + '/a'); "
        "subprocess.run([sys.executable, '-c', f'open({home!r} + \"/a/b\", \"w\").close()']); "
        "os.rename(home + '/a/b', home + '/c')\ntry: socket.getaddrinfo('no.invalid', 80)\nexcept OSError: pass"
    )
    seen = watch(sys.executable, "-c", code)
    assert seen.done.returncode == 0, seen.done.stderr
    home = watch.folder / "home"
    assert {str(home / name) for name in ("a", "a/b", "c")} <= seen.written
    assert seen.asked
    assert watch.left() == {"home/a", "home/c"}


@pytest.mark.slow
def test_every_command_writes_what_it_was_told_and_looks_no_host_up(
    watch: Watch, run: Path, data: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    out.mkdir()
    commands = [
        f"adapt {ADAPT} {SMALL}",
        "evaluate {out}/run --data {data}/target_labels.csv --json",
        "audit {out}/run --frames 3 -o {out}/audit.csv",
        "export {out}/run -o {out}/bundle --precision fp16 --precision int8-cpu --max-drop 0.99",
        "verify {out}/bundle --frames {data}/target --max-drop 0.99",
        "inspect {out}/bundle --json",
        "run {out}/bundle --camera {data}/clip --engine cpu --precision int8-cpu --sink jsonl:{out}/answers.jsonl",
        "benchmark {out}/bundle --seconds 0.2 --rounds 1 --engine cpu",
        "doctor --json",
    ]
    if find_spec("openvino") is not None:
        commands.append(
            "run {out}/bundle --camera {data}/clip --engine openvino --sink jsonl:{out}/again.jsonl"
        )
    for command in commands:
        _does_nothing_else(
            watch, command.format(source=run.parent / "source.safetensors", data=data, out=out), out
        )
    assert (out / "answers.jsonl").stat().st_size > 0


def _does_nothing_else(watch: Watch, command: str, out: Path) -> None:
    seen = watch(COMMAND, *command.split())
    assert seen.done.returncode == 0, (command, seen.done.stderr)
    assert seen.asked == set(), command
    own = (f"{out}/", f"{watch.folder}/tmp/")
    foreign = {path for path in seen.written if not path.startswith(own) and path != str(out)}
    assert {path for path in foreign if not HARMLESS.fullmatch(path)} == set(), command
    # PyTorch makes the empty folder of a compiler's cache that is never used.
    assert {name for name in watch.left() if "torchinductor" not in name} == set(), command


@pytest.mark.slow
def test_neither_do_tables_pages_keys_recordings_and_sinks(watch: Watch, tmp_path: Path) -> None:
    """Commands that need no run, with the libraries that only they load: pyarrow, cryptography, uvicorn."""
    for library in ("pyarrow", "cryptography", "uvicorn"):
        pytest.importorskip(library)
    out, frames, pairs = tmp_path / "out", tmp_path / "frames", tmp_path / "pairs"
    out.mkdir()
    save_near_or_far(out / "bundle", ("near", "far"))
    save_near_or_far(out / "other", ("near", "far"))
    save_frames(frames, make_frames(6))
    save_frames(pairs / "frame", make_frames(6, seed=1))
    texture = np.random.default_rng(0).integers(0, 128, (*make_frames(1)[0].shape, 3))  # no frame in gray
    save_frames(
        pairs / "rgb",
        [(one[..., None] // 32 + texture).astype(np.uint8) for one in make_frames(6, seed=1)],
    )
    signed = "--trust {out}/key.pub"
    sinks = "http://127.0.0.1:0 csv:{out}/a.csv video:{out}/film.mkv frames:{out}/kept"
    signed_run = f"run {{out}}/bundle --camera {{frames}} {signed}" + "".join(
        f" --sink {sink}" for sink in sinks.split()
    )
    for command in (
        "predict {out}/bundle {frames} -o {out}/table.parquet",
        "compare {out}/bundle {out}/other --frames {frames} --page {out}/page.html",
        "data check {pairs} --sensor depth --target {frames} --page {out}/look.html",
        "data presets --json",
        "record --camera {frames} --sensor depth -o {out}/recording",
        "bundle keygen -o {out}/key",
        "bundle sign {out}/bundle --key {out}/key",
        f"bundle verify {{out}}/bundle {signed}",
        signed_run,
        "data import {frames} -o {out}/imported --sensor depth --times mtime",
    ):
        _does_nothing_else(watch, command.format(out=out, frames=frames, pairs=pairs), out)
    assert (out / "kept" / "policy.json").exists()


OPEN = """
import os, sys
os.environ["DEPTHAI_SEARCH_TIMEOUT"] = "10"  # milliseconds
from tgkt_edge.errors import TgktEdgeError
from tgkt_edge.runtime.sources import open_source
from tgkt_edge.sensor import PRESETS
try:
    open_source(sys.argv[1], PRESETS["depth"]).close()
except TgktEdgeError as error:
    print(error)
if library := sys.modules.get("depthai"):
    try:
        library.Pipeline()
    except RuntimeError as error:  # no device
        print(error)
signals = int(next(line.split()[1] for line in open("/proc/self/status") if line.startswith("SigIgn")), 16)
assert signals >> 24 & 1, "SIGXFSZ, signal 25, is no longer ignored"
"""


CAMERAS = {
    # Empty folders.
    "depthai": ("depthai://", {"home/.cache", "home/.cache/depthai", "home/.cache/depthai/telemetry"}),
    "pyorbbecsdk": ("orbbec://", set()),
    # Its report of use, which is not sent: see library_defaults.
    "pyrealsense2": ("realsense://", {"home/.rum", "home/.rum/rum.json"}),
}
DISCOVERY = re.compile(r"^sendto\(.*htons\((11491|3956)\)")
"""A look for cameras on the local network, DepthAI's and GigE Vision's: a broadcast, which needs no host's name."""


@pytest.mark.slow
@pytest.mark.parametrize("library", CAMERAS)
def test_a_cameras_library_does_no_more_than_look_for_the_camera(watch: Watch, library: str) -> None:
    if subprocess.run(
        [sys.executable, "-c", f"import {library}"], capture_output=True, check=False
    ).returncode:
        pytest.skip(f"needs {library}, and what it loads (Debian: libusb-1.0-0)")
    uri, left = CAMERAS[library]
    seen = watch(sys.executable, "-c", OPEN, uri)
    assert seen.done.returncode == 0, seen.done.stderr
    assert seen.done.stdout  # there is no such camera here
    assert [line for line in seen.asked if not DISCOVERY.search(line)] == []
    assert watch.left() == left
    own = tuple(f"{watch.folder}/{name}" for name in left)
    foreign = {path for path in seen.written if not HARMLESS.fullmatch(path)}
    assert {path for path in foreign if not path.startswith(own or "-")} == set()


def test_a_variable_that_the_user_set_keeps_its_value() -> None:
    chosen = {"ORT_DISABLE_TELEMETRY": "0"}
    apply_library_defaults(chosen)
    assert chosen == {**DEFAULTS, "ORT_DISABLE_TELEMETRY": "0"}
    unset = {"ORT_DISABLE_TELEMETRY": ""}
    apply_library_defaults(unset)
    assert unset == DEFAULTS
    assert os.environ["ORT_DISABLE_TELEMETRY"] != ""  # by the import of the package
